//! Work on files that takes its time: on a thread of its own, with progress, and ended by a signal without leaving anything.

use ::backup::{Error, Progress};
use cli::{Failure, Result, size};
use std::{sync::Arc, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// How often is looked how far it is.
const LOOK: Duration = Duration::from_millis(250);

/// Waits for `work`, saying how far it is. SIGINT and SIGTERM tell it to end.
pub(crate) async fn watched<T: Send + 'static>(
    doing: &str,
    progress: Arc<Progress>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new(format!("listen for signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut shown = cli::Progress::start();
    let begun = progress.bytes();
    let mut tick = tokio::time::interval(LOOK);
    let mut task = tokio::task::spawn_blocking(work);
    loop {
        tokio::select! {
            done = &mut task => {
                return done.map_err(|error| Failure::new(format!("{doing}: {error}")))?;
            }
            _ = tick.tick() => shown.say(&format!("{doing}: {}", size(progress.bytes() - begun))),
            _ = interrupt.recv() => progress.end(),
            _ = terminate.recv() => progress.end(),
        }
    }
}

/// A failure in words, with what to do.
pub(crate) fn words(error: &Error) -> Failure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    let failure = Failure::new(text);
    match error {
        Error::Exists(_) => failure.remedy("name another file, or replace it with --replace"),
        Error::TooNew { .. } => {
            failure.remedy("use the version of agent-sandbox that made it, or a newer one")
        }
        Error::Damaged { .. } => failure.remedy("nothing was changed; use another backup"),
        Error::Stopped => failure.remedy("nothing was left behind").exit_code(130),
        _ => failure,
    }
}
