//! `attach`: the streams of a container's own process.

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use runtime::Output;
use streams::exec::{Session, Size};
use streams::{EXEC, status};

use super::{Body, Kubelet, Query, Refused, exec, upgrade};
use crate::registry::Live;

pub(super) async fn serve(
    kubelet: &Kubelet,
    request: Request<Incoming>,
    query: &Query,
    live: &Live,
    name: &str,
) -> Result<Response<Body>, Refused> {
    let container = exec::running(live, name)?;
    let asked = exec::wanted(query);
    let mut wanted = asked;
    wanted.tty = live.tty;
    wanted.stdin &= live.stdin;
    wanted.stderr &= !live.tty;
    let attached = container.attach(wanted.stdin).await;
    let attached = attached.map_err(|error| {
        Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot attach to container \"{name}\": {error}"))
    })?;
    let upgrade = upgrade::accept(request, &EXEC)?;
    let (on, protocol) = (upgrade.on, upgrade.protocol);
    kubelet.tasks.spawn(async move {
        let Some(io) = upgrade::finish(on).await else { return };
        let (session, carry) = streams::exec::serve(io, protocol, asked, wanted);
        tokio::join!(carry, run(attached, session));
    });
    Ok(upgrade.response)
}

async fn run(attached: runtime::Attach, mut session: Session) {
    if !session.opened().await {
        return;
    }
    let runtime::Attach { output: mut reader, input: mut writer } = attached;
    let Session { mut stdin, mut sizes, output, gone, .. } = session;
    let input = async {
        let mut open = true;
        loop {
            tokio::select! {
                data = stdin.recv(), if open => match data {
                    Some(data) => {
                        if writer.send(&data).await.is_err() {
                            return;
                        }
                    }
                    None => {
                        open = false;
                        let _ = writer.close().await;
                    }
                },
                Some(Size { width, height }) = sizes.recv() => {
                    let _ = writer.resize(width, height).await;
                }
                else => return,
            }
        }
    };
    let shown = async {
        loop {
            let sent = match reader.next().await {
                Ok(Some(Output::Stdout(data))) => output.stdout(data).await,
                Ok(Some(Output::Stderr(data))) => output.stderr(data).await,
                Ok(Some(Output::Exit(exit))) => return Some(status::exited(exit.exit_code)),
                Ok(None) => return Some(status::success()),
                Err(error) => {
                    return Some(status::internal(&format!("error attaching to container: {error}")));
                }
            };
            if sent.is_err() {
                return None;
            }
        }
    };
    let ended = tokio::select! {
        ended = shown => ended,
        () = async { input.await; std::future::pending().await } => None,
        () = gone.cancelled() => None,
    };
    if let Some(status) = ended {
        output.finish(status).await;
    }
}
