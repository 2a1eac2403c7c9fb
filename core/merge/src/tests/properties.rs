//! What holds for any object.

use proptest::prelude::*;

use super::*;
use crate::apply::{apply, track_update};
use crate::{FieldSet, Manager};

pub(super) fn manager(name: &str, second: u8) -> Manager {
    Manager {
        name: name.to_owned(),
        api_version: "v1".to_owned(),
        time: format!("2026-01-01T00:00:{second:02}Z"),
        ..Manager::default()
    }
}

/// A Pod out of few names and values, so that two of them overlap.
pub(super) fn pod() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(vec!["a", "b", "c"]);
    let map = move || prop::collection::btree_map(name(), prop::sample::select(vec!["1", "2"]), 1..3);
    let env = prop::collection::btree_map(name(), prop::option::of("[12]"), 1..3).prop_map(|env| {
        let item = |(name, value): (&str, Option<String>)| match value {
            Some(value) => json!({"name": name, "value": value}),
            None => json!({"name": name}),
        };
        env.into_iter().map(item).collect::<Value>()
    });
    let port = (1..3_u16, prop::option::of(prop::sample::select(vec!["TCP", "UDP"])));
    let ports = prop::collection::btree_map(1..3_u16, port, 1..2).prop_map(|ports| {
        let item = |(_, (port, protocol)): (u16, (u16, Option<&str>))| match protocol {
            Some(protocol) => json!({"containerPort": port, "protocol": protocol}),
            None => json!({"containerPort": port}),
        };
        ports.into_values().map(|port| item((0, port))).collect::<Value>()
    });
    let args = prop::collection::vec("[xy]", 1..3);
    let container = (prop::option::of(env), prop::option::of(ports), prop::option::of(args));
    let containers = prop::collection::btree_map(name(), container, 1..3).prop_map(|all| {
        let item = |(name, (env, ports, args))| {
            let mut out = json!({"name": name});
            for (key, value) in [("env", env), ("ports", ports), ("args", args)] {
                if let Some(value) = value {
                    out[key] = value;
                }
            }
            out
        };
        all.into_iter()
            .map(|(name, (env, ports, args))| item((name, (env, ports, args.map(Value::from)))))
            .collect::<Value>()
    });
    (
        prop::option::of(map()),
        prop::option::of(prop::collection::btree_set("[pq]", 1..3)),
        prop::option::of(containers),
    )
        .prop_map(|(labels, finalizers, containers)| {
            let mut pod = base();
            if let Some(labels) = labels {
                pod["metadata"]["labels"] = json!(labels);
            }
            if let Some(finalizers) = finalizers {
                pod["metadata"]["finalizers"] = json!(finalizers);
            }
            if let Some(containers) = containers {
                pod["spec"]["containers"] = containers;
            }
            pod
        })
}

fn base() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": "n"}})
}

/// An object without its record of owners, and with the items of its lists in a fixed order.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"].as_object_mut().unwrap().remove("managedFields");
    sort(&mut object);
    object
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.iter_mut().filter(|(name, _)| *name != "args").for_each(|(_, it)| sort(it))
        }
        Value::Array(items) => {
            items.iter_mut().for_each(sort);
            items.sort_by_key(ToString::to_string);
        }
        _ => {}
    }
}

fn sets(object: &Value) -> Vec<FieldSet> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| FieldSet::from_json(&entry["fieldsV1"])).collect()
}

proptest! {
    /// Applying again what was just applied changes nothing, not even a time.
    #[test]
    fn apply_is_idempotent(live in pod(), applied in pod()) {
        let schema = kind("", "Pod");
        let mut start = live;
        track_update(&schema, None, &mut start, &manager("creator", 1));
        let once = apply(&schema, Some(&start), &applied, &manager("me", 2), true).unwrap();
        let twice = apply(&schema, Some(&once), &applied, &manager("me", 3), false).unwrap();
        prop_assert_eq!(once, twice);
    }

    /// Who applies without conflict and then applies nothing leaves the object as it was.
    #[test]
    fn applying_nothing_takes_back_what_was_applied(live in pod(), applied in pod()) {
        let schema = kind("", "Pod");
        let mut start = live;
        track_update(&schema, None, &mut start, &manager("creator", 1));
        if let Ok(changed) = apply(&schema, Some(&start), &applied, &manager("me", 2), false) {
            let back = apply(&schema, Some(&changed), &base(), &manager("me", 3), false).unwrap();
            prop_assert_eq!(content(&back), content(&start));
        }
    }

    /// What was applied is there, whatever was there before, and a second applier that agrees shares it.
    #[test]
    fn what_is_applied_is_there_and_can_be_shared(live in pod(), applied in pod()) {
        let schema = kind("", "Pod");
        let mut start = live;
        track_update(&schema, None, &mut start, &manager("creator", 1));
        let changed = apply(&schema, Some(&start), &applied, &manager("me", 2), true).unwrap();
        let shared = apply(&schema, Some(&changed), &applied, &manager("you", 3), false).unwrap();
        prop_assert_eq!(content(&shared), content(&changed));
        let left = apply(&schema, Some(&shared), &base(), &manager("me", 4), false).unwrap();
        prop_assert_eq!(content(&left), content(&changed));
    }

    /// The wire form of a set says all there is to say.
    #[test]
    fn field_sets_survive_their_wire_form(live in pod(), applied in pod()) {
        let schema = kind("", "Pod");
        let mut start = live;
        track_update(&schema, None, &mut start, &manager("creator", 1));
        let changed = apply(&schema, Some(&start), &applied, &manager("me", 2), true).unwrap();
        for set in sets(&changed) {
            prop_assert_eq!(&FieldSet::from_json(&set.to_json()), &set);
        }
    }

    /// Union, intersection and difference are what they are for sets.
    #[test]
    fn sets_obey_the_laws_of_sets(left in pod(), right in pod()) {
        let schema = kind("", "Pod");
        let of = |pod: &Value| crate::typed::field_set(&schema, pod);
        let (a, b) = (of(&left), of(&right));
        prop_assert_eq!(a.clone().union(&b), b.clone().union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert!(a.difference(&a).is_empty());
    }
}
