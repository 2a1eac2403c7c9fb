//! `run`: a command in a sandbox of its own, which is gone afterwards whatever happens to this process.
//!
//! **Invariant:** the sandbox carries a shutdown time less than a minute ahead, which this process keeps pushing on: if
//! it dies, even by SIGKILL, the sandbox expires and is deleted by the controller.

use crate::{
    connection::Connection,
    exec,
    failure::{Doing as _, Failure, Result},
    logs::copy_out,
    manifest::{BUILT_IN_IMAGE, CONTAINER, ShapeArgs},
    progress::Progress,
    sandbox::{pods, sandboxes},
    terminal::Raw,
};
use clap::Args;
use crd::v1beta1::ShutdownPolicy;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    api::{AttachParams, DeleteParams, Patch, PatchParams, PostParams},
    runtime::watcher,
};
use serde_json::json;
use std::{io::IsTerminal as _, time::Duration};
use tokio::{
    io::{AsyncWrite, stderr, stdout},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// Shown under `run --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox run -- python3 -c 'print(6*7)'
  agent-sandbox run --runtime gvisor --memory 256Mi -- ./untrusted.sh
  agent-sandbox run --image alpine:3 -it -- sh
  cat data.csv | agent-sandbox run -i -- wc -l
The exit code is the command's. The sandbox is deleted at the end, also if this command is killed.";

/// How far ahead the shutdown time is kept, and how often it is pushed on. A killed client's sandbox is gone within a minute.
const LEASE: SignedDuration = SignedDuration::from_secs(45);
const RENEWAL: Duration = Duration::from_secs(12);

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub(crate) shape: ShapeArgs,
    /// Name of the sandbox [default: run- and a random suffix]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Pass standard input on
    #[arg(long, short = 'i')]
    pub(crate) stdin: bool,
    /// Give the command a terminal
    #[arg(long, short = 't')]
    pub(crate) tty: bool,
    /// Command and its arguments [default: the image's own]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

pub(crate) async fn perform(args: RunArgs, connection: &Connection) -> Result<u8> {
    if args.command.is_empty() && args.shape.image.starts_with(BUILT_IN_IMAGE) {
        return Err(Failure::new("run: the built-in image has no command of its own")
            .remedy("add one: agent-sandbox run -- COMMAND"));
    }
    let tty = args.tty && std::io::stdin().is_terminal();
    let name = create(&args, tty, connection).await?;
    let mut background = JoinSet::new();
    background.spawn(renew(connection.clone(), name.clone()));
    let code = tokio::select! {
        code = follow(&name, &args, tty, connection) => code,
        signal = interrupted() => Ok(128 + signal),
    };
    background.abort_all();
    let removed = sandboxes(connection).delete(&name, &DeleteParams::default()).await;
    match removed {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        answer => answer.map(drop).doing(|| format!("delete sandbox {name:?}"))?,
    }
    code
}

async fn create(args: &RunArgs, tty: bool, connection: &Connection) -> Result<String> {
    let mut sandbox = args.shape.sandbox(args.name.as_deref().unwrap_or_default(), &args.command)?;
    if args.name.is_none() {
        sandbox.metadata.name = None;
        sandbox.metadata.generate_name = Some("run-".to_owned());
    }
    sandbox.spec.shutdown_time = Some(lease().into());
    sandbox.spec.shutdown_policy = Some(ShutdownPolicy::Delete);
    let pod = &mut sandbox.spec.pod_template.spec;
    pod.restart_policy = Some("Never".to_owned());
    // Nobody waits for the files of a finished run.
    pod.termination_grace_period_seconds = Some(2);
    pod.containers[0].stdin = args.stdin.then_some(true);
    pod.containers[0].stdin_once = args.stdin.then_some(true);
    pod.containers[0].tty = tty.then_some(true);
    let created = sandboxes(connection).create(&PostParams::default(), &sandbox).await;
    let created = created.doing(|| "create a sandbox".to_owned())?;
    created.metadata.name.ok_or_else(|| Failure::new("the server gave the sandbox no name"))
}

fn lease() -> Time {
    let end = Timestamp::now().checked_add(LEASE).unwrap_or(Timestamp::MAX);
    Time(Timestamp::from_second(end.as_second()).unwrap_or(end))
}

async fn renew(connection: Connection, name: String) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let body = json!({"spec": {"shutdownTime": lease()}});
        // A missed renewal is made up for by the next one: three fit into a lease.
        let _ = sandboxes(&connection).patch(&name, &PatchParams::default(), &Patch::Merge(&body)).await;
    }
}

async fn interrupted() -> u8 {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
    }
}

async fn follow(name: &str, args: &RunArgs, tty: bool, connection: &Connection) -> Result<u8> {
    started(name, connection).await?;
    if tty {
        let params =
            AttachParams::default().stdin(true).stdout(true).stderr(false).tty(true).container(CONTAINER);
        let process =
            pods(connection).attach(name, &params).await.doing(|| format!("attach to sandbox {name:?}"))?;
        let raw = Raw::enter();
        // With a terminal the stream ends with the process; its code is in the Pod's status.
        let _ = exec::stream(process, true).await;
        drop(raw);
        return exit_code(name, connection).await;
    }
    let mut streams = JoinSet::new();
    if args.stdin {
        let params = AttachParams::default().stdin(true).stdout(false).stderr(false).container(CONTAINER);
        let process =
            pods(connection).attach(name, &params).await.doing(|| format!("attach to sandbox {name:?}"))?;
        streams.spawn(async move { exec::stream(process, true).await.map(drop) });
    }
    output(name, connection).await?;
    streams.abort_all();
    exit_code(name, connection).await
}

/// Standard output and error from the Pod's log, which misses nothing however quick the command is.
async fn output(name: &str, connection: &Connection) -> Result<()> {
    let (mut to_out, mut to_err) = (stdout(), stderr());
    let (out, err) = tokio::join!(
        copy_log(name, connection, "Stdout", &mut to_out),
        copy_log(name, connection, "Stderr", &mut to_err)
    );
    out.and(err)
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
    copy_out(body, to).await.doing(doing)
}

/// Waits until the container has started, or is known never to.
async fn started(name: &str, connection: &Connection) -> Result<()> {
    let mut progress = Progress::start();
    until(name, connection, |pod, status| {
        let Some(state) = status.and_then(|status| status.state.as_ref()) else {
            progress.say(&format!("{name}: {}", phase(pod)));
            return None;
        };
        if state.running.is_some() || state.terminated.is_some() {
            return Some(Ok(()));
        }
        let waiting = state.waiting.as_ref()?;
        let reason = waiting.reason.clone().unwrap_or_default();
        let message = waiting.message.clone().unwrap_or_default();
        progress.say(&format!("{name}: {reason} {message}"));
        hopeless(&reason).then(|| Err(Failure::new(format!("{reason}: {message}")).exit_code(125)))
    })
    .await
}

fn phase(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_else(|| "Pending".to_owned())
}

/// Waiting reasons that do not go away by themselves; `run` does not sit them out.
fn hopeless(reason: &str) -> bool {
    matches!(
        reason,
        "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
    )
}

async fn exit_code(name: &str, connection: &Connection) -> Result<u8> {
    until(name, connection, |_, status| {
        let ended = status?.state.as_ref()?.terminated.as_ref()?;
        if let Some(message) =
            ended.message.as_ref().filter(|_| ended.reason.as_deref() == Some("ContainerCannotRun"))
        {
            return Some(Err(
                Failure::new(message.clone()).exit_code(u8::try_from(ended.exit_code).unwrap_or(127))
            ));
        }
        if ended.reason.as_deref() == Some("OOMKilled") {
            eprintln!("the command was killed: out of memory");
        }
        Some(Ok(u8::try_from(ended.exit_code & 0xff).unwrap_or(1)))
    })
    .await
}

/// Watches the Pod until `judge` has an answer.
async fn until<T>(
    name: &str,
    connection: &Connection,
    mut judge: impl FnMut(&Pod, Option<&ContainerStatus>) -> Option<Result<T>>,
) -> Result<T> {
    use futures::StreamExt as _;
    let watch = watcher::watch_object(pods(connection), name);
    futures::pin_mut!(watch);
    let mut seen = false;
    while let Some(event) = watch.next().await {
        match event {
            Ok(Some(pod)) => {
                seen = true;
                let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
                let status = statuses.and_then(|all| all.iter().find(|status| status.name == CONTAINER));
                if let Some(answer) = judge(&pod, status) {
                    return answer;
                }
            }
            Ok(None) if seen => {
                return Err(Failure::new(format!("sandbox {name:?} was deleted while it ran")).exit_code(125));
            }
            Ok(None) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    Err(Failure::new(format!("watch of pod {name:?} ended")))
}
