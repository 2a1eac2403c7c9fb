//! Forgets events that were last seen long ago.
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use kubekit::write::{self, DeleteOptions};
use kubekit::{Failure, Precondition};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often events are looked through.
const PERIOD: Duration = Duration::from_secs(120);
/// Events per page.
const PAGE: u32 = 500;

/// Looks through all events again and again until shutdown.
pub(crate) async fn run(client: Client, keep: Duration, shutdown: CancellationToken) {
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::from_hours(1));
    loop {
        let pass = pass(&client, keep);
        match shutdown.run_until_cancelled(pass).await {
            None => return,
            Some(Err(error)) => tracing::debug!(%error, "expiring events failed; trying again later"),
            Some(Ok(())) => {}
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_none() {
            return;
        }
    }
}

async fn pass(client: &Client, keep: SignedDuration) -> Result<(), kube::Error> {
    let all: Api<Event> = Api::all(client.clone());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = all.list(&page).await?;
        let now = Timestamp::now();
        for event in list.items.iter().filter(|event| is_over(event, keep, now)) {
            delete(client, event).await?;
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

async fn delete(client: &Client, event: &Event) -> Result<(), kube::Error> {
    let (meta, namespace) = (&event.metadata, event.metadata.namespace.as_deref().unwrap_or("default"));
    let Some(at) = Precondition::of(meta) else { return Ok(()) };
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    match write::delete(&api, meta.name.as_deref().unwrap_or_default(), &at, &DeleteOptions::default()).await
    {
        // Seen again just now.
        Err(error) if Failure::of(&error) == Failure::Conflict => Ok(()),
        other => other.map(drop),
    }
}

/// Whether an event was last seen longer ago than `keep`.
fn is_over(event: &Event, keep: SignedDuration, now: Timestamp) -> bool {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let seen = [
        series,
        event.event_time.as_ref().map(|time| time.0),
        event.last_timestamp.as_ref().map(|time| time.0),
        event.metadata.creation_timestamp.as_ref().map(|time| time.0),
    ];
    seen.into_iter().flatten().max().is_some_and(|last| now.duration_since(last) > keep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::EventSeries;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

    #[test]
    fn an_event_is_kept_for_an_hour_after_it_was_last_seen() {
        let hour = SignedDuration::from_hours(1);
        let at = |minutes: i64| Timestamp::from_second(minutes * 60).unwrap();
        let mut event = Event::default();
        assert!(!is_over(&event, hour, at(1000)), "no time, no judgement");
        event.metadata.creation_timestamp = Some(Time(at(0)));
        assert!(!is_over(&event, hour, at(60)));
        assert!(is_over(&event, hour, at(61)));
        event.series = Some(EventSeries { count: Some(2), last_observed_time: Some(MicroTime(at(30))) });
        assert!(!is_over(&event, hour, at(61)));
        assert!(is_over(&event, hour, at(91)));
    }
}
