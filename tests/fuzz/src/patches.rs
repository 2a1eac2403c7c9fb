//! The four kinds of patch on any object: nothing panics, results are bounded, and what is applied twice was applied once.

use crate::json;
use arbitrary::{Result, Unstructured};
use merge::{FieldSet, Manager, apply};
use schema::{Document, Schema};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

const NAMES: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "name",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "uid",
    "managedFields",
    "manager",
    "operation",
    "fieldsType",
    "fieldsV1",
    "time",
    "v1",
    "Apply",
    "Update",
    "FieldsV1",
    "containers",
    "env",
    "ports",
    "containerPort",
    "protocol",
    "TCP",
    "UDP",
    "args",
    "volumes",
    "emptyDir",
    "hostPath",
    "template",
    "selector",
    "strategy",
    "type",
    "replicas",
    "limits",
    "resources",
    "cpu",
    "tolerations",
    "key",
    "value",
    "$patch",
    "delete",
    "replace",
    "merge",
    "$retainKeys",
    "$setElementOrder/containers",
    "$setElementOrder/env",
    "$setElementOrder/ports",
    "$setElementOrder/finalizers",
    "$deleteFromPrimitiveList/finalizers",
    "$deleteFromPrimitiveList/args",
    "op",
    "path",
    "from",
    "add",
    "remove",
    "test",
    "move",
    "copy",
    "/metadata/labels",
    "/spec/containers/0",
    "/spec/containers/-",
    "/spec/containers/0/name",
    "/spec/args/1",
    "/metadata",
    "/spec",
    "",
    "f:metadata",
    "f:spec",
    "f:name",
    "f:containers",
    "k:{\"name\":\"a\"}",
    "v:\"a\"",
    "i:0",
    ".",
    "a",
    "b",
    "x-list",
    "x-set",
];

static SCHEMAS: LazyLock<[Arc<Schema>; 3]> = LazyLock::new(|| {
    let bundled =
        |group: &str, kind: &str| Document::bundled().schema(group, "v1", kind).expect("a kind it has");
    let item = json!({"type": "object", "properties": {"name": {"type": "string", "default": "d"}, "value": {"type": "integer"}}, "required": ["value"]});
    let custom = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "x-list": {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "value"]},
        "x-set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "args": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"},
        "template": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"},
    }}}});
    [bundled("", "Pod"), bundled("apps", "Deployment"), Schema::compile(&custom).expect("it is right")]
});

pub(crate) fn run(data: &[u8]) {
    // Too few bytes are no input.
    let _ = decide(&mut Unstructured::new(data));
}

fn decide(input: &mut Unstructured<'_>) -> Result<()> {
    let schema = input.choose(&*SCHEMAS)?;
    let how = input.int_in_range(0..=3)?;
    let live = json::value(input, NAMES)?;
    let patch = json::value(input, NAMES)?;
    match how {
        0 => json_patch(live, &patch),
        1 => merge_patch(live, &patch),
        2 => strategic(schema, live, &patch),
        _ => {
            let other = json::value(input, NAMES)?;
            server_side(schema, live, patch, other, input.arbitrary()?);
        }
    }
    Ok(())
}

fn json_patch(mut live: Value, patch: &Value) {
    if merge::json_patch(&mut live, patch).is_ok() {
        assert!(merge::measure(&live).depth <= merge::MAX_DEPTH, "too deep");
    }
}

fn merge_patch(mut live: Value, patch: &Value) {
    if merge::merge_patch(&mut live, patch).is_ok() {
        let once = live.clone();
        merge::merge_patch(&mut live, patch).expect("it could be applied before");
        assert_eq!(live, once, "a merge patch is idempotent");
    }
}

fn strategic(schema: &Schema, mut live: Value, patch: &Value) {
    let _ = merge::strategic(schema, &mut live, patch);
}

/// As the server does it: what is no object, or has another shape than the schema's, never comes this far.
fn server_side(schema: &Schema, live: Value, applied: Value, other: Value, force: bool) {
    let shaped = |mut value: Value| -> Option<Value> {
        schema::prune(schema, &mut value);
        schema::settle_nulls(schema, &mut value);
        let metadata = value.as_object_mut()?.entry("metadata").or_insert_with(|| json!({}));
        let fits = metadata.is_object() && schema::check_types(schema, &value).is_empty();
        fits.then_some(value)
    };
    let (Some(mut live), Some(mut applied), Some(mut other)) = (shaped(live), shaped(applied), shaped(other))
    else {
        return;
    };
    let _ = apply::check(schema, &applied);
    for value in [&mut applied, &mut other] {
        value["metadata"].as_object_mut().expect("it was made one").remove("managedFields");
    }
    apply::track_update(schema, None, &mut live, &manager("ann"));
    if apply::check(schema, &applied).is_err() || apply::check(schema, &live).is_err() {
        return;
    }
    let Ok(once) = apply::apply(schema, Some(&live), &applied, &manager("bob"), force) else {
        assert!(!force, "force knows no conflict");
        return;
    };
    let twice = apply::apply(schema, Some(&once), &applied, &manager("bob"), false);
    assert_eq!(twice.as_ref(), Ok(&once), "an apply is idempotent");
    for entry in once["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let set = FieldSet::from_json(&entry["fieldsV1"]);
        assert_eq!(FieldSet::from_json(&set.to_json()), set, "sets survive their wire form");
    }
    apply::track_update(schema, Some(&once), &mut other, &manager("cyd"));
}

fn manager(name: &str) -> Manager {
    let time = "2026-01-01T00:00:00Z".to_owned();
    Manager { name: name.to_owned(), api_version: "v1".to_owned(), time, ..Manager::default() }
}
