//! `logs`: what a sandbox's main process has written.

use crate::{
    connection::Connection,
    failure::{Doing as _, Result},
    sandbox::{get, pod_name, pods},
};
use clap::Args;
use futures::io::AsyncReadExt as _;
use kube::api::LogParams;
use tokio::io::{AsyncWriteExt as _, stdout};

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
    /// Only what was written in the last seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) since: Option<i64>,
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
    let pod = pod_name(&get(connection, &args.name).await?);
    let params = LogParams {
        follow: args.follow,
        tail_lines: args.tail,
        since_seconds: args.since,
        timestamps: args.timestamps,
        previous: args.previous,
        container: args.container.clone(),
        ..LogParams::default()
    };
    let doing = || format!("read the logs of sandbox {:?}", args.name);
    let stream = pods(connection).log_stream(&pod, &params).await.doing(doing)?;
    copy_out(stream, &mut stdout()).await.doing(doing)
}

/// Copies a response body as it comes.
pub(crate) async fn copy_out(
    stream: impl futures::AsyncRead,
    out: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> std::io::Result<()> {
    futures::pin_mut!(stream);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return out.flush().await;
        }
        out.write_all(&buffer[..read]).await?;
        out.flush().await?;
    }
}
