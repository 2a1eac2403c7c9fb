//! `containerLogs`.

use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::{Body, Kubelet, Query, Refused, streamed};
use crate::logs::{self, Options};
use crate::registry::Live;

/// Pieces that may wait for a slow reader.
const QUEUE: usize = 64;

pub(super) async fn serve(
    kubelet: &Kubelet,
    query: &Query,
    live: &Live,
    pod: &str,
    name: &str,
) -> Result<Response<Body>, Refused> {
    let options = options(query, kubelet.shared.now())?;
    let path = live.logs.get(usize::from(options.previous)).cloned();
    let Some(path) = path.filter(|path| path.exists()) else {
        let what = if options.previous { "previous terminated container" } else { "container" };
        let message = format!("{what} \"{name}\" in pod \"{pod}\" not found");
        return Err(Refused(StatusCode::BAD_REQUEST, message));
    };
    let (to, pieces) = mpsc::channel(QUEUE);
    let running = live.running.subscribe();
    kubelet.tasks.spawn(async move {
        if let Err(error) = logs::send(&path, &options, running, &to).await {
            tracing::warn!(path = %path.display(), %error, "log not read");
        }
    });
    Ok(streamed(pieces, "text/plain"))
}

fn options(query: &Query, now: Timestamp) -> Result<Options, Refused> {
    let wrong = |message: String| Refused(StatusCode::BAD_REQUEST, message);
    let seconds: Option<i64> = query.number("sinceSeconds")?;
    let since = match (seconds, query.get("sinceTime")) {
        (Some(seconds), _) => now.checked_sub(SignedDuration::from_secs(seconds.max(0))).ok(),
        (None, Some(time)) => {
            Some(time.parse().map_err(|_| wrong(format!("sinceTime: invalid value {time:?}")))?)
        }
        (None, None) => None,
    };
    let stream = match query.get("stream") {
        None | Some("All") => None,
        Some("Stdout") => Some("stdout".to_owned()),
        Some("Stderr") => Some("stderr".to_owned()),
        Some(other) => {
            return Err(wrong(format!("stream: invalid value {other:?}: use All, Stdout or Stderr")));
        }
    };
    Ok(Options {
        follow: query.flag("follow"),
        timestamps: query.flag("timestamps"),
        previous: query.flag("previous"),
        tail: query.number("tailLines")?,
        since,
        limit: query.number("limitBytes")?,
        stream,
    })
}
