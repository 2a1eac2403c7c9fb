//! Waiting until a Sandbox is as somebody wants it, by watching it.

use crate::{
    connection::Connection,
    failure::{Failure, Result},
    progress::Progress,
    sandbox::{sandboxes, state},
    why,
};
use crd::v1beta1::Sandbox;
use futures::{StreamExt as _, pin_mut};
use kube::runtime::watcher;
use std::time::Duration;

/// What a look at the Sandbox says.
pub(crate) enum Verdict {
    /// It is as wanted.
    Done,
    /// Not yet.
    Wait,
    /// It will never be.
    Hopeless(Failure),
}

/// Waits until `judge` says so of Sandbox `name`; `None` is a Sandbox that does not exist. Shows progress.
///
/// # Errors
/// `judge` said it is hopeless, or `timeout` passed.
pub(crate) async fn until(
    connection: &Connection,
    name: &str,
    timeout: Duration,
    judge: impl Fn(Option<&Sandbox>) -> Verdict,
) -> Result<Option<Sandbox>> {
    let watch = watcher::watch_object(sandboxes(connection), name);
    pin_mut!(watch);
    let mut progress = Progress::start();
    let deadline = tokio::time::sleep(timeout);
    pin_mut!(deadline);
    let mut last = None;
    loop {
        let seen = tokio::select! {
            seen = watch.next() => seen,
            () = &mut deadline => {
                drop(progress);
                return Err(Box::pin(timed_out(name, timeout, last.as_ref(), connection)).await);
            }
        };
        match seen {
            Some(Ok(seen)) => last = seen,
            Some(Err(watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error))) => {
                progress.say(&Failure::from_kube("watch", error).to_string());
                tokio::time::sleep(Duration::from_millis(300)).await;
                continue;
            }
            Some(Err(_)) => continue,
            None => return Err(Failure::new(format!("watch of sandbox {name:?} ended"))),
        }
        match judge(last.as_ref()) {
            Verdict::Done => return Ok(last),
            Verdict::Hopeless(failure) => return Err(failure),
            Verdict::Wait => progress.say(&describe(name, last.as_ref())),
        }
    }
}

fn describe(name: &str, sandbox: Option<&Sandbox>) -> String {
    let Some(sandbox) = sandbox else { return format!("{name}: waiting to be seen") };
    let state = state(sandbox);
    format!("{name}: {} {}", state.word.to_lowercase(), state.message).trim_end().to_owned()
}

async fn timed_out(
    name: &str,
    timeout: Duration,
    last: Option<&Sandbox>,
    connection: &Connection,
) -> Failure {
    let failure = Failure::new(format!("gave up after {} s; {}", timeout.as_secs(), describe(name, last)));
    let advice = why::advice(name, connection).await.unwrap_or_default();
    failure
        .remedy(format!("{advice}\n  'agent-sandbox why {name}' shows what happened until now").trim_start())
}
