//! Objects that exist before anybody creates them: the first namespaces, the system's priority classes, roles and their
//! bindings, our own CRDs.

use jiff::Timestamp;
use serde_json::{Value, json};
use store::{CommitError, Expect, Op, Store, Txn};

use crate::{admission, body::BoxError, object, random, stored};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
const CRDS: (&str, &str, &str) = ("apiextensions.k8s.io", "v1", "customresourcedefinitions");

/// The CRDs of the kinds this build serves, complete as a cluster would show them but for their identity.
pub(crate) fn crds() -> Result<Vec<Value>, BoxError> {
    crd::documents()
        .iter()
        .map(|text| {
            let mut crd: Value = serde_saphyr::from_str(text)?;
            let kind = kinds::lookup(CRDS.0, CRDS.1, CRDS.2).ok_or("CRDs are not in the kind table")?;
            kinds::default(kind, &mut crd);
            Ok(crd)
        })
        .collect()
}

/// Writes what is missing or out of date.
pub(crate) async fn plant(store: &Store, crds: &[Value], now: Timestamp) -> Result<(), CommitError> {
    let mut ops = Vec::new();
    for name in NAMESPACES {
        let key = stored::namespace_key(name);
        if store.get(&key).is_none() {
            ops.push(put(key, Expect::Absent, namespace(name, now)));
        }
    }
    for class in admission::system_classes() {
        let key = format!("scheduling.k8s.io/priorityclasses//{}", object::name(&class));
        if store.get(&key).is_none() {
            ops.push(put(key, Expect::Absent, identified(class, now)));
        }
    }
    for wanted in access::bootstrap::objects() {
        ops.extend(role(store, &wanted, now));
    }
    for crd in crds {
        let key = format!("{}/{}//{}", CRDS.0, CRDS.2, object::name(crd));
        let old = store.get(&key);
        let old_value = old.as_ref().and_then(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
        let new = served(crd, old_value.as_ref(), now);
        if old_value.as_ref().is_none_or(|old| !object::same(old, &new)) {
            let expect = old.map_or(Expect::Absent, |entry| Expect::At(entry.revision));
            ops.push(put(key, expect, new));
        }
    }
    if ops.is_empty() {
        return Ok(());
    }
    store.commit(Txn { ops }).await.map(drop)
}

/// A role or binding of the system, completed where it has less than it should.
fn role(store: &Store, wanted: &Value, now: Timestamp) -> Option<Op> {
    let plural = if wanted["kind"] == "ClusterRole" { "clusterroles" } else { "clusterrolebindings" };
    let key = format!("{}/{plural}//{}", access::GROUP, object::name(wanted));
    let old = store.get(&key);
    let stored = old.as_ref().and_then(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
    let new = access::reconcile(wanted, stored.as_ref())?;
    let new = if stored.is_some() { new } else { unversioned(identified(new, now)) };
    let expect = old.map_or(Expect::Absent, |entry| Expect::At(entry.revision));
    Some(put(key, expect, new))
}

/// Without a generation: roles and bindings have none.
fn unversioned(mut new: Value) -> Value {
    object::set(&mut new, "generation", None);
    new
}

fn put(key: String, expect: Expect, value: Value) -> Op {
    Op::Put { key, expect, value: stored::encode(value) }
}

fn namespace(name: &str, now: Timestamp) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "uid": random::uid(),
            "creationTimestamp": object::time(now),
            "labels": {"kubernetes.io/metadata.name": name},
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    })
}

/// A new object that the server itself makes.
fn identified(mut new: Value, now: Timestamp) -> Value {
    object::set(&mut new, "uid", Value::from(random::uid()));
    object::set(&mut new, "creationTimestamp", object::time(now));
    object::set(&mut new, "generation", Value::from(1));
    new
}

/// A CRD as it is shown: its definition from this build, its identity and what users added from the store.
fn served(crd: &Value, old: Option<&Value>, now: Timestamp) -> Value {
    let mut new = crd.clone();
    match old {
        Some(old) => {
            new["metadata"] = old["metadata"].clone();
            if old["spec"] != crd["spec"] {
                object::bump_generation(&mut new);
            }
            new["status"] = status(crd, &old["status"]["conditions"][0]["lastTransitionTime"]);
        }
        None => {
            new = identified(new, now);
            new["status"] = status(crd, &object::time(now));
        }
    }
    new
}

fn status(crd: &Value, since: &Value) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since});
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let stored: Vec<&Value> =
        versions.filter(|version| version["storage"] == true).map(|version| &version["name"]).collect();
    json!({
        "acceptedNames": crd["spec"]["names"],
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": stored,
    })
}
