//! `why`: a sandbox's timeline, what it waits for and what to do about it.

use crate::{
    connection::Connection,
    failure::{Doing as _, Result},
    output::{say, table},
    sandbox::{get, pod_name, pods, state},
};
use clap::Args;
use crd::v1beta1::Sandbox;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::{Api, api::ListParams};

mod advice;

/// Shown under `why --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox why my-sandbox
  agent-sandbox -n team why worker";

/// Arguments of `why`.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// Name of the sandbox
    pub(crate) name: String,
}

/// Something that happened: when, to which object, what.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    at: Timestamp,
    object: String,
    what: String,
}

/// All that is known of one sandbox.
struct Case {
    sandbox: Sandbox,
    pod: Option<Pod>,
    claims: Vec<PersistentVolumeClaim>,
    events: Vec<Event>,
}

pub(crate) async fn perform(args: WhyArgs, connection: &Connection) -> Result<()> {
    let case = observe(&args.name, connection).await?;
    let state = state(&case.sandbox);
    say!(
        "sandbox/{} is {}{}",
        args.name,
        state.word,
        if state.message.is_empty() { String::new() } else { format!(": {}", state.message) }
    );
    let mut moments = timeline(&case);
    moments.sort();
    let first = moments.first().map(|moment| moment.at);
    let rows: Vec<Vec<String>> = moments.iter().map(|moment| row(moment, first)).collect();
    say!();
    table(&["TIME", "AFTER", "OBJECT", "WHAT"], &rows);
    say!();
    for line in advice::advise(&case, &state) {
        say!("{line}");
    }
    Ok(())
}

/// What a sandbox that is not ready waits for, and what to do; nothing where that cannot be found out.
pub(crate) async fn advice(name: &str, connection: &Connection) -> Option<String> {
    let case = observe(name, connection).await.ok()?;
    let state = state(&case.sandbox);
    Some(advice::advise(&case, &state).join("\n  "))
}

async fn observe(name: &str, connection: &Connection) -> Result<Case> {
    let sandbox = get(connection, name).await?;
    let pod_name = pod_name(&sandbox);
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(connection.client.clone(), &connection.namespace);
    let events: Api<Event> = Api::namespaced(connection.client.clone(), &connection.namespace);
    let selector = crd::names::selector(name);
    let (labelled, none) = (ListParams::default().labels(&selector), ListParams::default());
    let pods = pods(connection);
    let (pod, claims, events) =
        tokio::join!(pods.get_opt(&pod_name), claims.list(&labelled), events.list(&none));
    let claims = claims.doing(|| "list volume claims".to_owned())?.items;
    let mut ours = vec![name.to_owned(), pod_name];
    ours.extend(claims.iter().filter_map(|claim| claim.metadata.name.clone()));
    let mut events = events.doing(|| "list events".to_owned())?.items;
    events.retain(|event| event.involved_object.name.as_ref().is_some_and(|name| ours.contains(name)));
    Ok(Case { sandbox, pod: pod.doing(|| "get the pod".to_owned())?, claims, events })
}

fn row(moment: &Moment, first: Option<Timestamp>) -> Vec<String> {
    let after = first.map_or(0.0, |first| moment.at.duration_since(first).as_secs_f64());
    let time = moment.at.strftime("%H:%M:%S").to_string();
    vec![time, format!("+{after:.1}s"), moment.object.clone(), moment.what.clone()]
}

fn timeline(case: &Case) -> Vec<Moment> {
    let mut moments: Vec<Moment> = case.events.iter().filter_map(from_event).collect();
    let created = |object: &str, at: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
        at.map(|time| Moment { at: time.0, object: object.to_owned(), what: "created".to_owned() })
    };
    moments.extend(created("sandbox", case.sandbox.metadata.creation_timestamp.as_ref()));
    moments
        .extend(case.pod.iter().filter_map(|pod| created("pod", pod.metadata.creation_timestamp.as_ref())));
    let status = case.sandbox.status.iter().flat_map(|status| &status.conditions);
    moments.extend(status.map(|condition| Moment {
        at: condition.last_transition_time.0,
        object: "sandbox".to_owned(),
        what: format!(
            "{}={} ({}: {})",
            condition.type_, condition.status, condition.reason, condition.message
        ),
    }));
    moments
}

/// When it happened last: the newest time that the event bears, whichever of the API's generations wrote it.
fn time_of(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let times = [event.event_time.as_ref(), series].into_iter().flatten().map(|time| time.0);
    times.chain(event.last_timestamp.as_ref().map(|time| time.0)).max()
}

fn from_event(event: &Event) -> Option<Moment> {
    let at = time_of(event)?;
    let object = event.involved_object.kind.as_deref().unwrap_or("object").to_lowercase();
    let times =
        event.count.filter(|&count| count > 1).map_or_else(String::new, |count| format!(" ({count} times)"));
    let reason = event.reason.as_deref().unwrap_or_default();
    Some(Moment {
        at,
        object,
        what: format!("{reason}: {}{times}", event.message.as_deref().unwrap_or_default()),
    })
}
