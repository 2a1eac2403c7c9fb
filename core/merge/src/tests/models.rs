//! Random histories against simple models: server-side apply over a flat map, strategic merge as a merge of maps, JSON merge
//! patch as the inverse of a difference, JSON patch by a plain reading of RFC 6902.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::properties::{manager, pod};
use super::*;
use crate::apply::{apply, track_update};
use crate::{json_patch, merge_patch, strategic};

// === server-side apply ===

type Data = BTreeMap<String, String>;

/// A write to a ConfigMap's data. Managers that apply and managers that update have different names.
#[derive(Debug, Clone)]
enum Write {
    Apply { by: &'static str, data: Data, force: bool },
    Update { by: &'static str, data: Data },
}

/// What a ConfigMap holds and who owns which key.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    data: Data,
    owned: BTreeMap<&'static str, BTreeSet<String>>,
}

fn write() -> impl Strategy<Value = Write> {
    let data = || prop::collection::btree_map("[abcd]", "[12]", 0..4);
    let apply = (prop::sample::select(vec!["ann", "bob", "cyd"]), data(), any::<bool>())
        .prop_map(|(by, data, force)| Write::Apply { by, data, force });
    let update =
        (prop::sample::select(vec!["uma", "vic"]), data()).prop_map(|(by, data)| Write::Update { by, data });
    prop_oneof![3 => apply, 1 => update]
}

impl Model {
    /// The conflicts of an apply: keys that it changes and others own.
    fn conflicts(&self, by: &str, data: &Data) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for (owner, keys) in self.owned.iter().filter(|(owner, _)| **owner != by) {
            let changed = data.iter().filter(|(key, value)| self.data.get(*key) != Some(value));
            found.extend(
                changed
                    .filter(|(key, _)| keys.contains(*key))
                    .map(|(key, _)| ((*owner).to_owned(), key.clone())),
            );
        }
        found
    }

    fn apply(&mut self, by: &'static str, data: &Data) {
        let before = self.owned.remove(by).unwrap_or_default();
        for (key, value) in data {
            if self.data.insert(key.clone(), value.clone()).as_ref() != Some(value) {
                self.owned.values_mut().for_each(|keys| keys.retain(|owned| owned != key));
            }
        }
        for key in before.iter().filter(|key| !data.contains_key(*key)) {
            if !self.owned.values().any(|keys| keys.contains(key)) {
                self.data.remove(key);
            }
        }
        self.owned.insert(by, data.keys().cloned().collect());
    }

    fn update(&mut self, by: &'static str, data: &Data) {
        let keys: BTreeSet<String> = self.data.keys().chain(data.keys()).cloned().collect();
        for key in keys.into_iter().filter(|key| self.data.get(key) != data.get(key)) {
            self.owned.values_mut().for_each(|keys| keys.retain(|owned| *owned != key));
            if data.contains_key(&key) {
                self.owned.entry(by).or_default().insert(key);
            }
        }
        self.data.clone_from(data);
    }

    fn tidied(mut self) -> Self {
        self.owned.retain(|_, keys| !keys.is_empty());
        self
    }
}

fn config_map(data: &Data) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    if !data.is_empty() {
        object["data"] = json!(data);
    }
    object
}

/// What an object says about itself.
fn read(object: &Value, names: &[&'static str]) -> Model {
    let data =
        object.get("data").map_or_else(Data::new, |data| serde_json::from_value(data.clone()).unwrap());
    let mut owned = BTreeMap::new();
    for entry in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let name = names.iter().find(|name| entry["manager"] == **name).unwrap();
        let keys = entry["fieldsV1"]["f:data"].as_object().into_iter().flatten();
        let keys: BTreeSet<String> =
            keys.filter_map(|(key, _)| key.strip_prefix("f:").map(str::to_owned)).collect();
        assert!(owned.insert(*name, keys).is_none(), "two entries of {name}");
    }
    Model { data, owned }.tidied()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Fact: https://kubernetes.io/docs/reference/using-api/server-side-apply/ ("Conflicts", "Field management").
    #[test]
    fn applies_and_updates_own_what_the_model_says(writes in prop::collection::vec(write(), 1..10)) {
        let names = ["ann", "bob", "cyd", "uma", "vic"];
        let schema = kind("", "ConfigMap");
        let mut model = Model::default();
        let mut object = config_map(&Data::new());
        track_update(&schema, None, &mut object, &manager("uma", 0));
        for (second, write) in (1..).zip(writes) {
            match write {
                Write::Apply { by, data, force } => {
                    let conflicts = model.conflicts(by, &data);
                    match apply(&schema, Some(&object), &config_map(&data), &manager(by, second), force) {
                        Err(refused) => {
                            let told = |conflict: &crate::apply::Conflict| {
                                let owner = conflict.manager.split('"').nth(1).unwrap();
                                (owner.to_owned(), conflict.path.strip_prefix(".data.").unwrap().to_owned())
                            };
                            prop_assert!(!force);
                            prop_assert_eq!(refused.iter().map(told).collect::<BTreeSet<_>>(), conflicts);
                        }
                        Ok(new) => {
                            prop_assert!(force || conflicts.is_empty(), "{:?} were overrun", conflicts);
                            model.apply(by, &data);
                            object = new;
                        }
                    }
                }
                Write::Update { by, data } => {
                    let mut new = config_map(&data);
                    track_update(&schema, Some(&object), &mut new, &manager(by, second));
                    model.update(by, &data);
                    object = new;
                }
            }
            prop_assert_eq!(read(&object, &names), model.clone().tidied());
        }
    }
}

// === strategic merge ===

/// A Pod with its keyed lists as maps and its sets as maps to true: then a strategic merge is a merge.
fn as_maps(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let keyed = |list: &Value, key: &str| -> Value {
        let entry = |item: &Value| {
            let name = item[key].as_str().map_or_else(|| item[key].to_string(), str::to_owned);
            (name, if item["$patch"] == "delete" { Value::Null } else { item.clone() })
        };
        Value::Object(list.as_array().unwrap().iter().map(entry).collect())
    };
    if let Some(finalizers) = pod["metadata"].get_mut("finalizers") {
        let names = finalizers
            .as_array()
            .unwrap()
            .iter()
            .map(|name| (name.as_str().unwrap().to_owned(), json!(true)));
        *finalizers = Value::Object(names.collect());
    }
    if let Some(containers) = pod["spec"].get_mut("containers") {
        for container in containers.as_array_mut().unwrap() {
            for (list, key) in [("env", "name"), ("ports", "containerPort")] {
                if let Some(items) = container.get_mut(list) {
                    *items = keyed(items, key);
                }
            }
        }
        *containers = keyed(containers, "name");
    }
    pod
}

/// RFC 7396 over maps, written for the model.
fn merged(live: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut fields = live.as_object().cloned().unwrap_or_default();
    for (name, change) in changes {
        let old = fields.remove(name).unwrap_or_default();
        if !change.is_null() {
            fields.insert(name.clone(), merged(&old, change));
        }
    }
    fields.into()
}

/// The names of containers, in order.
fn order(pod: &Value) -> Vec<String> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.map(|container| container["name"].as_str().unwrap().to_owned()).collect()
}

proptest! {
    /// Fact: lists of Pods are merged by the `patchMergeKey` of their Go types; items that the patch does not name keep their
    /// order.
    #[test]
    fn a_strategic_merge_is_a_merge_of_maps(
        live in pod(),
        changes in pod(),
        gone in prop::collection::btree_set(prop::sample::select(vec!["a", "b", "c"]), 0..3),
        unset in prop::option::of(prop::sample::select(vec!["a", "b", "c"])),
    ) {
        let mut patch = changes;
        if let Some(containers) = patch["spec"].get_mut("containers").and_then(Value::as_array_mut) {
            containers.retain(|container| !gone.contains(container["name"].as_str().unwrap()));
            containers.extend(gone.iter().map(|name| json!({"name": name, "$patch": "delete"})));
        }
        if let Some(label) = unset {
            patch["metadata"]["labels"][label] = Value::Null;
        }
        let mut got = live.clone();
        strategic(&kind("", "Pod"), &mut got, &patch).unwrap();
        prop_assert_eq!(as_maps(&got), merged(&as_maps(&live), &as_maps(&patch)));
        let (before, named, after) = (order(&live), order(&patch), order(&got));
        let only = |names: &[String], keep: &dyn Fn(&String) -> bool| -> Vec<String> {
            names.iter().filter(|name| after.contains(name) && keep(name)).cloned().collect()
        };
        let untouched = |name: &String| !named.contains(name);
        prop_assert_eq!(only(&after, &untouched), only(&before, &untouched));
    }
}

// === JSON merge patch and JSON patch ===

/// JSON without nulls in objects: a merge patch cannot write those.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..3).prop_map(Value::from),
        "[xy]".prop_map(Value::from)
    ];
    let tree = leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            2 => prop::collection::btree_map("[ab~/]", inner.clone(), 0..3).prop_map(|it| json!(it)),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    });
    prop::collection::btree_map("[ab~/]", tree, 0..4).prop_map(|fields| json!(fields))
}

/// The merge patch that makes `to` of `from`.
fn difference(from: &Value, to: &Value) -> Value {
    let (Some(old), Some(new)) = (from.as_object(), to.as_object()) else { return to.clone() };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(value));
    let changed = changed.map(|(name, value)| {
        let before = old.get(name).cloned().unwrap_or_default();
        (name.clone(), if before.is_object() { difference(&before, value) } else { value.clone() })
    });
    Value::Object(gone.chain(changed).collect())
}

fn pointer() -> impl Strategy<Value = String> {
    let step = prop::sample::select(vec!["a", "b", "~0", "~1", "0", "1", "2", "-", "01"]);
    prop::collection::vec(step, 1..4).prop_map(|steps| steps.iter().map(|step| format!("/{step}")).collect())
}

fn operation() -> impl Strategy<Value = Value> {
    let with_value = (prop::sample::select(vec!["add", "replace", "test"]), pointer(), document())
        .prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value}));
    let from = (prop::sample::select(vec!["move", "copy"]), pointer(), pointer())
        .prop_map(|(op, from, path)| json!({"op": op, "from": from, "path": path}));
    prop_oneof![4 => with_value, 2 => pointer().prop_map(|path| json!({"op": "remove", "path": path})), 2 => from]
}

/// RFC 6902, sections 4 and 6901: one operation; none if it does not fit.
fn patched(document: &Value, operation: &Value) -> Option<Value> {
    let path = operation["path"].as_str()?;
    let mut out = document.clone();
    match operation["op"].as_str()? {
        "add" => insert(&mut out, path, operation["value"].clone())?,
        "remove" => drop(take(&mut out, path)?),
        "replace" => *out.pointer_mut(path)? = operation["value"].clone(),
        "test" if out.pointer(path)? != &operation["value"] => return None,
        "test" => {}
        "copy" => {
            let value = out.pointer(operation["from"].as_str()?)?.clone();
            insert(&mut out, path, value)?;
        }
        _ => {
            let from = operation["from"].as_str()?;
            if path.starts_with(&format!("{from}/")) {
                return None;
            }
            let value = take(&mut out, from)?;
            insert(&mut out, path, value)?;
        }
    }
    Some(out)
}

fn parent<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((document.pointer_mut(parent)?, last.replace("~1", "/").replace("~0", "~")))
}

fn index(text: &str, at_most: usize) -> Option<usize> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    plain.then(|| text.parse().ok()).flatten().filter(|index| *index <= at_most)
}

fn insert(document: &mut Value, path: &str, value: Value) -> Option<()> {
    match parent(document, path)? {
        (Value::Object(fields), name) => drop(fields.insert(name, value)),
        (Value::Array(items), name) if name == "-" => items.push(value),
        (Value::Array(items), name) => items.insert(index(&name, items.len())?, value),
        _ => return None,
    }
    Some(())
}

fn take(document: &mut Value, path: &str) -> Option<Value> {
    match parent(document, path)? {
        (Value::Object(fields), name) => fields.remove(&name),
        (Value::Array(items), name) => {
            let index = index(&name, items.len().checked_sub(1)?)?;
            Some(items.remove(index))
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_merge_patch_undoes_a_difference(from in document(), to in document()) {
        let mut got = from.clone();
        merge_patch(&mut got, &difference(&from, &to)).unwrap();
        prop_assert_eq!(got, to);
    }

    #[test]
    fn a_json_patch_does_what_the_rfc_says(document in document(), operations in prop::collection::vec(operation(), 1..4)) {
        let mut got = document.clone();
        let ended = json_patch(&mut got, &Value::from(operations.clone()));
        let expected = operations.iter().try_fold(document, |document, operation| patched(&document, operation));
        match expected {
            Some(expected) => {
                prop_assert_eq!(ended, Ok(()));
                prop_assert_eq!(got, expected);
            }
            None => prop_assert!(ended.is_err(), "it went through, with {}", got),
        }
    }
}
