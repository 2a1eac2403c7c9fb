//! From the sandbox that was just created to its command's end: start, streams, exit code.

use super::RunArgs;
use crate::{
    connection::Connection,
    exec,
    failure::{Doing as _, Failure, Result},
    logs::copy_out,
    manifest::CONTAINER,
    sandbox::pods,
    terminal::Raw,
    verdict::{self, Verdict, container},
    wait::{Scene, until},
};
use k8s_openapi::api::core::v1::ContainerStateTerminated;
use kube::api::AttachParams;
use std::time::Duration;
use tokio::{
    io::{AsyncWrite, stderr, stdout},
    task::JoinSet,
};

/// How long an end that the node knows may take to reach the Pod's status.
const END_KNOWN: Duration = Duration::from_secs(5);
/// A command may run as long as it likes.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Streams the command until it ends; its exit code.
///
/// # Errors
/// It cannot start, or the server went away.
pub(super) async fn to_the_end(name: &str, args: &RunArgs, tty: bool, connection: &Connection) -> Result<u8> {
    let timeout = Duration::from_secs(args.timeout);
    until(connection, name, timeout, |scene| verdict::started(name, scene)).await?;
    if tty {
        on_terminal(name, args.stdin, connection).await?;
        return exit_code(name, connection).await;
    }
    let mut input = JoinSet::new();
    if args.stdin {
        let params = AttachParams::default().stdin(true).stdout(false).stderr(false).container(CONTAINER);
        match pods(connection).attach(name, &params).await {
            Ok(process) => drop(input.spawn(async move { exec::stream(process, true).await.map(drop) })),
            Err(error) => unless_ended(name, error, connection).await?,
        }
    }
    output(name, connection).await?;
    input.abort_all();
    exit_code(name, connection).await
}

/// Attached, the node sends first what was written before; a command that was quicker than that has everything in its log.
async fn on_terminal(name: &str, with_stdin: bool, connection: &Connection) -> Result<()> {
    let params =
        AttachParams::default().stdin(with_stdin).stdout(true).stderr(false).tty(true).container(CONTAINER);
    match pods(connection).attach(name, &params).await {
        Ok(process) => {
            let raw = Raw::enter();
            // With a terminal the stream ends with the process; its code is in the Pod's status.
            let streamed = exec::stream(process, with_stdin).await;
            drop(raw);
            streamed.map(drop).or_else(|failure| if failure.is_silent() { Err(failure) } else { Ok(()) })
        }
        Err(error) => {
            unless_ended(name, error, connection).await?;
            // The log holds what a terminal was sent.
            let raw = Raw::enter();
            let copied = output(name, connection).await;
            drop(raw);
            copied
        }
    }
}

/// A command that has ended needs no more input; anything else that refuses an attach is a failure. The node learns of an
/// end a moment before the Pod's status does.
async fn unless_ended(name: &str, error: kube::Error, connection: &Connection) -> Result<()> {
    let failure = Failure::from_kube(&format!("attach to sandbox {name:?}"), error);
    match until(connection, name, END_KNOWN, |scene| has_ended(name, scene)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(failure),
    }
}

/// Standard output and error from the Pod's log, which misses nothing however quick the command is.
async fn output(name: &str, connection: &Connection) -> Result<()> {
    let (mut to_out, mut to_err) = (stdout(), stderr());
    tokio::try_join!(
        copy_log(name, connection, "Stdout", &mut to_out),
        copy_log(name, connection, "Stderr", &mut to_err)
    )?;
    Ok(())
}

async fn copy_log(
    name: &str,
    connection: &Connection,
    stream: &str,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    let doing = || format!("read the output of sandbox {name:?}");
    let path = format!(
        "/api/v1/namespaces/{}/pods/{name}/log?follow=true&container={CONTAINER}&stream={stream}",
        connection.namespace
    );
    let request =
        http::Request::get(path).body(Vec::new()).map_err(|error| Failure::new(error.to_string()))?;
    let body = connection.client.request_stream(request).await.doing(doing)?;
    copy_out(body, to, doing).await
}

fn ended(pod: &k8s_openapi::api::core::v1::Pod) -> Option<&ContainerStateTerminated> {
    container(pod)?.state.as_ref()?.terminated.as_ref()
}

fn has_ended(name: &str, scene: &Scene) -> Verdict {
    match &scene.sandbox {
        _ if scene.pod.as_ref().and_then(ended).is_some() => Verdict::Done,
        None if scene.seen => {
            Verdict::Hopeless(Failure::new(format!("sandbox {name:?} was deleted while it ran")))
        }
        _ => Verdict::Wait,
    }
}

async fn exit_code(name: &str, connection: &Connection) -> Result<u8> {
    let scene = until(connection, name, FOREVER, |scene| has_ended(name, scene)).await?;
    scene
        .pod
        .as_ref()
        .and_then(ended)
        .map_or_else(|| Err(Failure::new("the command left no exit code")), code)
}

/// The exit code of an end, and a word on one that is not the command's own.
fn code(ended: &ContainerStateTerminated) -> Result<u8> {
    match (ended.reason.as_deref(), &ended.message) {
        (Some("ContainerCannotRun" | "StartError"), Some(message)) => {
            Err(Failure::new(message.clone()).exit_code(u8::try_from(ended.exit_code).unwrap_or(127)))
        }
        (reason, _) => {
            if reason == Some("OOMKilled") {
                eprintln!("the command was killed: out of memory");
            }
            Ok(u8::try_from(ended.exit_code & 0xff).unwrap_or(1))
        }
    }
}
