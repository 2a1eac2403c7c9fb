//! `exec`: a command in a running container.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use runtime::{Container, Exec, ExecRequest};
use serde_json::Value;
use streams::exec::{Output, Session, Size, Wanted};
use streams::{EXEC, MAX_CHUNK, status};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::{Body, Kubelet, Query, Refused, upgrade};
use crate::registry::Live;

/// How long the first size of the client's terminal is waited for.
const FIRST_SIZE: std::time::Duration = std::time::Duration::from_millis(50);

/// Which channels a request asks for.
pub(super) fn wanted(query: &Query) -> Wanted {
    let either = |long: &str, short: &str| query.flag(long) || query.flag(short);
    let tty = query.flag("tty");
    Wanted {
        stdin: either("stdin", "input"),
        stdout: either("stdout", "output"),
        stderr: either("stderr", "error") && !tty,
        tty,
    }
}

pub(super) fn serve(
    kubelet: &Kubelet,
    request: Request<Incoming>,
    query: &Query,
    live: &Live,
    name: &str,
) -> Result<Response<Body>, Refused> {
    let container = running(live, name)?;
    let command = query.all("command");
    if command.is_empty() {
        let message = "you must specify at least 1 command".to_owned();
        return Err(Refused(StatusCode::BAD_REQUEST, message));
    }
    let wanted = wanted(query);
    let upgrade = upgrade::accept(request, &EXEC)?;
    let (on, protocol) = (upgrade.on, upgrade.protocol);
    kubelet.tasks.spawn(async move {
        let Some(io) = upgrade::finish(on).await else { return };
        let (session, carry) = streams::exec::serve(io, protocol, wanted, wanted);
        tokio::join!(carry, run(container, command, wanted, session));
    });
    Ok(upgrade.response)
}

/// The container, if it runs.
pub(super) fn running(live: &Live, name: &str) -> Result<Container, Refused> {
    let message = || format!("container not found (\"{name}\")");
    live.container.clone().ok_or_else(|| Refused(StatusCode::NOT_FOUND, message()))
}

async fn run(container: Container, command: Vec<String>, wanted: Wanted, mut session: Session) {
    if !session.opened().await {
        return;
    }
    let size = if wanted.tty {
        tokio::time::timeout(FIRST_SIZE, session.sizes.recv()).await.ok().flatten()
    } else {
        None
    };
    let request = ExecRequest {
        command,
        env: Vec::new(),
        cwd: None,
        stdin: wanted.stdin,
        tty: wanted.tty,
        size: size.map(|Size { width, height }| (width, height)),
    };
    let output = session.output.clone();
    let status = match container.exec(&request) {
        Ok(exec) => carry(exec, session).await,
        Err(error) => Some(status::internal(&format!("error executing command in container: {error}"))),
    };
    if let Some(status) = status {
        output.finish(status).await;
    }
}

/// Carries all streams until the command has ended. None if the client left first.
async fn carry(mut exec: Exec, session: Session) -> Option<Value> {
    let Session { stdin, sizes, output, gone, .. } = session;
    let (stdout, stderr) = (exec.stdout.take(), exec.stderr.take());
    let input = feed(exec.stdin.take(), stdin);
    let outputs = async {
        tokio::join!(drain(stdout, &output, false), drain(stderr, &output, true));
    };
    let ended = async {
        let (ended, ()) = tokio::join!(wait(&mut exec, sizes), outputs);
        ended
    };
    let outcome = tokio::select! {
        ended = ended => Some(ended),
        () = async { input.await; std::future::pending().await } => None,
        () = gone.cancelled() => None,
    };
    let Some(ended) = outcome else {
        exec.kill();
        return None;
    };
    Some(match ended {
        Ok(exit) => match exit.error {
            Some(error) => not_run(exit.code, &error),
            None => status::exited(exit.code),
        },
        Err(error) => status::internal(&format!("error executing command in container: {error}")),
    })
}

/// A command that never ran: clients get its code like any other, and the runtime's words.
fn not_run(code: i32, error: &str) -> Value {
    let mut status = status::exited(code);
    status["message"] = Value::from(format!("error executing command in container: {error}"));
    status
}

async fn wait(exec: &mut Exec, mut sizes: mpsc::Receiver<Size>) -> std::io::Result<runtime::ExecExit> {
    loop {
        tokio::select! {
            ended = exec.wait() => return ended,
            Some(size) = sizes.recv() => {
                let _ = exec.resize(size.width, size.height);
            }
        }
    }
}

/// Passes input on, and its end.
async fn feed(stdin: Option<runtime::ExecStdin>, mut typed: mpsc::Receiver<Bytes>) {
    let Some(mut stdin) = stdin else { return };
    while let Some(data) = typed.recv().await {
        if stdin.write_all(&data).await.is_err() {
            return;
        }
        let _ = stdin.flush().await;
    }
    let _ = stdin.shutdown().await;
}

async fn drain(stream: Option<impl AsyncRead + Unpin>, output: &Output, errors: bool) {
    let Some(mut stream) = stream else { return };
    let mut piece = vec![0; MAX_CHUNK];
    // A terminal whose program has ended reports an error where a pipe reports the end.
    while let Ok(size @ 1..) = stream.read(&mut piece).await {
        let data = Bytes::copy_from_slice(&piece[..size]);
        let sent = if errors { output.stderr(data).await } else { output.stdout(data).await };
        if sent.is_err() {
            return;
        }
    }
}
