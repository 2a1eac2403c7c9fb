//! The two forms of events. They are kept as `v1`; `events.k8s.io/v1` names some fields differently and keeps the old
//! ones as `deprecated*`.

use serde_json::{Value, json};

use crate::value::{object, remove, set};

/// Old name, new name.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// From `events.k8s.io/v1` to `v1`, the stored form.
pub fn to_core(event: &mut Value) {
    convert(event, "v1", RENAMED.iter().map(|(old, new)| (*new, *old)));
}

/// From `v1` to `events.k8s.io/v1`.
pub fn to_events(event: &mut Value) {
    convert(event, "events.k8s.io/v1", RENAMED.iter().copied());
}

/// Converts an event in place to the form of a group; does nothing if it has that form.
pub fn to_group(event: &mut Value, group: &str) {
    match (group, event.get("apiVersion").and_then(Value::as_str)) {
        ("", Some("events.k8s.io/v1")) => to_core(event),
        ("events.k8s.io", Some("v1")) => to_events(event),
        _ => {}
    }
}

fn convert<'a>(event: &mut Value, version: &str, names: impl Iterator<Item = (&'a str, &'a str)>) {
    for (from, to) in names {
        if let Some(value) = remove(event, from) {
            set(event, to, value);
        }
    }
    set(event, "apiVersion", version);
    // v1 always has the object that the event is about.
    if version == "v1" && event.is_object() {
        object(event, "involvedObject");
        if event.get("source").is_none() {
            set(event, "source", json!({}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Started",
                          "involvedObject": {"kind": "Pod", "name": "p"}, "message": "m", "type": "Normal",
                          "source": {"component": "kubelet"}, "count": 2, "firstTimestamp": "t",
                          "reportingComponent": "kubelet", "reportingInstance": "n", "eventTime": "u"});
        let mut event = core.clone();
        to_group(&mut event, "events.k8s.io");
        assert_eq!(event["apiVersion"], "events.k8s.io/v1");
        assert_eq!((&event["note"], &event["regarding"]["name"]), (&json!("m"), &json!("p")));
        assert_eq!(
            (&event["deprecatedCount"], &event["reportingController"]),
            (&json!(2), &json!("kubelet"))
        );
        to_group(&mut event, "");
        assert_eq!(event, core);
    }
}
