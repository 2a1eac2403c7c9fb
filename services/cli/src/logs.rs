//! `logs`: what a sandbox's main process has written.

use crate::{
    connection::Connection,
    container,
    expire::Span,
    failure::{Doing as _, Failure, Result},
    sandbox::{get, pod_name, pods, state},
};
use clap::Args;
use crd::v1beta1::Sandbox;
use futures::io::AsyncReadExt as _;
use kube::api::LogParams;
use std::io::ErrorKind;
use tokio::io::{AsyncWriteExt as _, stdout};

/// Shown under `logs --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox logs -f my-sandbox
  agent-sandbox logs my-sandbox --tail 20 --since 10m
  agent-sandbox logs my-sandbox --previous";

/// Arguments of `logs`.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// Name of the sandbox
    pub(crate) name: String,
    /// Go on as more is written
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<i64>,
    /// Only what was written since then: a duration (30s, 5m, 2h)
    #[arg(long, value_name = "DURATION")]
    pub(crate) since: Option<Span>,
    /// With the time of each line
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Of the container's previous run
    #[arg(long, short)]
    pub(crate) previous: bool,
    /// Container, where the sandbox has several
    #[arg(long, short, value_name = "NAME")]
    pub(crate) container: Option<String>,
}

pub(crate) async fn perform(args: LogsArgs, connection: &Connection) -> Result<()> {
    let sandbox = get(connection, &args.name).await?;
    let pod = pod_name(&sandbox);
    let chosen = container::choose(&sandbox, args.container.as_deref())?;
    if let Some(note) = &chosen.note {
        eprintln!("{note}");
    }
    let params = LogParams {
        follow: args.follow,
        tail_lines: args.tail,
        since_seconds: args.since.map(Span::seconds),
        timestamps: args.timestamps,
        previous: args.previous,
        container: chosen.name,
        ..LogParams::default()
    };
    let doing = || format!("read the logs of sandbox {:?}", args.name);
    let stream = match pods(connection).log_stream(&pod, &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Err(no_process(&args.name, &sandbox)),
        stream => stream.doing(doing)?,
    };
    copy_out(stream, &mut stdout(), doing).await
}

/// Logs are of a process; where there is none, what the sandbox is doing says why.
fn no_process(name: &str, sandbox: &Sandbox) -> Failure {
    let word = state(sandbox).word.to_lowercase();
    let failure =
        Failure::new(format!("sandbox {name:?} is {word}: it has no process, and logs go with the process"));
    failure.remedy(match word.as_str() {
        "suspended" | "suspending" => format!("'agent-sandbox resume {name}' starts it again"),
        _ => format!("'agent-sandbox why {name}' says more"),
    })
}

/// Copies a response body as it comes; `doing` is for the message.
///
/// # Errors
/// The body breaks off, it cannot be written, or nobody reads it any more.
pub(crate) async fn copy_out(
    stream: impl futures::AsyncRead,
    out: &mut (impl tokio::io::AsyncWrite + Unpin),
    doing: impl Fn() -> String,
) -> Result<()> {
    futures::pin_mut!(stream);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await.doing(&doing)?;
        if read == 0 {
            return Ok(());
        }
        let written = async {
            out.write_all(&buffer[..read]).await?;
            out.flush().await
        };
        match written.await {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Err(Failure::reader_gone()),
            written => written.doing(&doing)?,
        }
    }
}
