//! `exec` and `shell`: a command in a sandbox that exists.

use crate::{
    connection::Connection,
    container,
    failure::{Failure, Result},
    sandbox::{get, pod_name, pods, state},
    terminal::{self, Raw, follow_size},
};
use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, AttachedProcess};
use std::io::IsTerminal as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, stderr, stdin, stdout},
    task::JoinSet,
};

/// Shown under `exec --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox exec my-sandbox -- python3 -c 'print(6*7)'
  echo hello | agent-sandbox exec -i my-sandbox -- tee /tmp/greeting
  agent-sandbox exec -it my-sandbox -- bash
The exit code is the command's; 126 and 127 mean that it could not be started, 125 that it was not even tried.";

/// Shown under `shell --help`.
pub(crate) const SHELL_EXAMPLES: &str = "Examples:
  agent-sandbox shell my-sandbox
  agent-sandbox shell my-sandbox -c sidecar";

/// Arguments of `exec`.
#[derive(Args, Debug)]
pub struct ExecArgs {
    /// Name of the sandbox
    pub(crate) name: String,
    /// Pass standard input on
    #[arg(long, short = 'i')]
    pub(crate) stdin: bool,
    /// Give the command a terminal
    #[arg(long, short = 't')]
    pub(crate) tty: bool,
    /// Container, where the sandbox has several
    #[arg(long, short, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Arguments of `shell`.
#[derive(Args, Debug)]
pub struct ShellArgs {
    /// Name of the sandbox
    pub(crate) name: String,
    /// Container, where the sandbox has several
    #[arg(long, short, value_name = "NAME")]
    pub(crate) container: Option<String>,
}

/// bash where the image has it, else sh.
const SHELL: [&str; 3] = ["/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash -l || exec sh -l"];

pub(crate) async fn shell(args: ShellArgs, connection: &Connection) -> Result<u8> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("shell: standard input is no terminal")
            .remedy("use 'agent-sandbox exec -i' instead"));
    }
    let command = SHELL.map(str::to_owned).to_vec();
    perform(
        ExecArgs { name: args.name, stdin: true, tty: true, container: args.container, command },
        connection,
    )
    .await
}

pub(crate) async fn perform(args: ExecArgs, connection: &Connection) -> Result<u8> {
    let sandbox = get(connection, &args.name).await?;
    let pod = pod_name(&sandbox);
    let tty = terminal::wanted(args.tty);
    let mut params = AttachParams::default().stdin(args.stdin).stdout(true).stderr(!tty).tty(tty);
    let chosen = container::choose(&sandbox, args.container.as_deref())?;
    if let Some(note) = &chosen.note {
        eprintln!("{note}");
    }
    params.container = chosen.name;
    connection.explain(|| format!("exec in pod {pod} through the API server"));
    let process = match pods(connection).exec(&pod, &args.command, &params).await {
        Ok(process) => process,
        Err(error) => return Err(explain(&args.name, &state(&sandbox).word.to_lowercase(), error)),
    };
    let raw = if tty { Raw::enter() } else { None };
    let code = stream(process, args.stdin).await;
    drop(raw);
    code
}

/// What the server refuses is told in its words, unless what the sandbox is doing says more.
fn explain(name: &str, word: &str, error: kube::Error) -> Failure {
    match word {
        "suspended" | "suspending" => Failure::new(format!("sandbox {name:?} is {word}"))
            .remedy(format!("start it with 'agent-sandbox resume {name}'")),
        "ready" => Failure::from_kube(&format!("exec in sandbox {name:?}"), error),
        _ => {
            let failure =
                Failure::from_kube(&format!("sandbox {name:?} is {word}, so nothing can run in it"), error);
            failure.remedy(format!("'agent-sandbox why {name}' says more"))
        }
    }
}

/// Joins the process with this terminal until it ends; its exit code.
pub(crate) async fn stream(mut process: AttachedProcess, with_stdin: bool) -> Result<u8> {
    let status = process.take_status();
    let mut input = JoinSet::new();
    if let Some(sizes) = process.terminal_size() {
        input.spawn(follow_size(sizes));
    }
    if let Some(writer) = process.stdin().filter(|_| with_stdin) {
        input.spawn(feed(writer));
    }
    let mut output = JoinSet::new();
    if let Some(reader) = process.stdout() {
        output.spawn(drain(reader, stdout()));
    }
    if let Some(reader) = process.stderr() {
        output.spawn(drain(reader, stderr()));
    }
    while let Some(drained) = output.join_next().await {
        // Nobody reads on: the command need not be waited for, as SIGPIPE would not let it.
        if matches!(drained, Ok(Drained::ReaderGone)) {
            return Err(Failure::reader_gone());
        }
    }
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    input.abort_all();
    exit_code(status)
}

async fn feed(mut writer: impl AsyncWrite + Unpin) {
    // The other end closing its input early is the command's right.
    let _ = copy(&mut stdin(), &mut writer).await;
    let _ = writer.shutdown().await;
}

/// How a stream of the command's output ended.
enum Drained {
    ToTheEnd,
    ReaderGone,
}

async fn drain(mut reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin) -> Drained {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = reader.read(&mut buffer).await else { return Drained::ToTheEnd };
        let written = async {
            writer.write_all(&buffer[..read]).await?;
            writer.flush().await
        };
        if written.await.is_err() {
            return Drained::ReaderGone;
        }
    }
}

/// The exit code as Kubernetes tells it: success, or a cause `ExitCode`.
fn exit_code(status: Option<Status>) -> Result<u8> {
    let Some(status) = status else {
        return Err(Failure::new("the connection ended before the command did").exit_code(125));
    };
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let code = causes
        .and_then(|causes| causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode")))
        .and_then(|cause| cause.message.as_deref()?.parse::<i32>().ok());
    match code {
        Some(code) => Ok(u8::try_from(code & 0xff).unwrap_or(1)),
        None => {
            Err(Failure::new(status.message.unwrap_or_else(|| "the command could not be run".to_owned()))
                .exit_code(126))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(value: serde_json::Value) -> Option<Status> {
        Some(serde_json::from_value(value).expect("status"))
    }

    #[test]
    fn the_exit_code_is_the_cause_of_the_failure() {
        assert_eq!(exit_code(status(json!({"status": "Success"}))).expect("code"), 0);
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": "42"}]}});
        assert_eq!(exit_code(status(failed)).expect("code"), 42);
        assert!(exit_code(None).is_err());
    }
}
