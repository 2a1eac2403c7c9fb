//! Kubernetes itself as the judge: `data/kubernetes-1.36.jsonl` has objects (`given`) with what Kubernetes 1.36.0's
//! own scheme defaults, validation and table printers, run over them, made of each: the object with its defaults
//! (empty fields left out), the errors of a create (sorted), and the cells of its row. The errors of events are what a whole
//! kube-apiserver 1.36.3 answers (tests/differential, `write/about-nothing*`): their rules need the version of the request.

#![allow(clippy::unwrap_used)] // the data is ours: a case that cannot be read should fail the test

use jiff::Timestamp;
use serde_json::{Map, Value};

/// When the rows were printed; the ages in them are in days.
const PRINTED: &str = "2026-11-23T22:12:00Z";

/// The value without what Kubernetes leaves out when it is empty: null, false, zero, empty texts, lists and maps.
fn filled(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept =
                map.iter().map(|(name, value)| (name.clone(), filled(value))).filter(|(_, v)| !is_empty(v));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().map(filled).collect()),
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Each recorded case, with the kind of its object and the object with our defaults.
fn each(check: impl Fn(&Value, &kinds::Kind, &Value)) {
    let mut count = 0;
    for line in include_str!("data/kubernetes-1.36.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let mut object = case["given"].clone();
        let version = object["apiVersion"].as_str().unwrap().to_owned();
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let kind = kinds::by_kind(group, version, object["kind"].as_str().unwrap()).unwrap();
        kinds::default(kind, &mut object);
        check(&case, kind, &object);
        count += 1;
    }
    assert!(count > 350, "only {count} cases");
}

#[test]
fn defaults_are_those_of_kubernetes() {
    each(|case, _, object| assert_eq!(filled(object), case["object"], "{}", case["given"]));
}

#[test]
fn refusals_are_those_of_kubernetes() {
    each(|case, kind, object| {
        let errors = kinds::validate_create(kind, object);
        let mut texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(Value::from(texts), case["errors"], "{}", case["given"]);
    });
}

#[test]
fn rows_are_those_of_kubernetes() {
    let now: Timestamp = PRINTED.parse().unwrap();
    each(|case, kind, object| {
        if !case["cells"].is_null() {
            assert_eq!(Value::from(kinds::row(kind, object, now).cells), case["cells"], "{}", case["given"]);
        }
    });
}
