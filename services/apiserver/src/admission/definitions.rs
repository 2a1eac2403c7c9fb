//! CustomResourceDefinitions: ours stay as they are, others have bounds; and objects of a definition that goes.

use std::sync::Arc;

use serde_json::Value;
use store::{Expect, Op, Store};
use wire::{FieldError, Qualified, Status};

use crate::{body::to_json, definitions::PREFIX, object, registry::Definition, route::Target};

/// The most definitions, ours included. Each costs memory for as long as it is there, and more once it is used.
const MOST: usize = 256;
/// The biggest definition, in bytes of its JSON: what etcd takes for one object.
const BIGGEST: usize = 1536 * 1024;

/// Keeps a CRD as this build serves it: an older or newer document of ours may be applied, but changes nothing.
pub(super) fn keep(ours: &Value, new: &mut Value, warnings: &mut Vec<String>) {
    if new["spec"]["versions"] != ours["spec"]["versions"] {
        let name = object::name(new);
        warnings.push(format!("{name} is served as this build defines it; the applied schema is not used"));
    }
    new["spec"] = ours["spec"].clone();
}

/// Refuses a new definition for which there is no room.
pub(super) fn admit(store: &Store, new: &Value) -> Result<(), Status> {
    if store.count(PREFIX, None) >= MOST {
        let why = format!("this server holds at most {MOST} definitions");
        return Err(Status::forbidden(resource(), object::name(new), why));
    }
    change(new)
}

/// Refuses a definition that is too big, or asks for what this server does not do.
pub(super) fn change(new: &Value) -> Result<(), Status> {
    if to_json(new).len() > BIGGEST {
        return Err(Status::too_large(format!("a definition may have at most {BIGGEST} bytes")));
    }
    let group = new["spec"]["group"].as_str().unwrap_or_default();
    let versions = new["spec"]["versions"].as_array().into_iter().flatten();
    for (index, version) in versions.enumerate() {
        let name = version["name"].as_str().unwrap_or_default();
        let taken =
            |kind: &kinds::Kind| kind.group == group && kind.version == name && kind.custom().is_none();
        if kinds::table().iter().any(taken) {
            let path = format!("spec.versions[{index}].name");
            let why = format!("{group}/{name} is served by this server itself");
            let error = FieldError::forbidden(path, why);
            let kind = Qualified::new("apiextensions.k8s.io", "CustomResourceDefinition");
            return Err(Status::invalid(kind, object::name(new), &[error]));
        }
    }
    Ok(())
}

/// Refuses a new object of a definition that is on its way out. The definition has to be the same when it is written.
pub(super) fn open(definition: &Arc<Definition>, target: &Target, name: &str) -> Result<Op, Status> {
    let (revision, terminating) = definition.life.state();
    if terminating {
        // Fact: the words of `forbidCreateAdmission`.
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Status::forbidden(target.resource(), name, why));
    }
    Ok(Op::Check { key: definition.key.clone(), expect: Expect::At(revision) })
}

fn resource() -> Qualified<'static> {
    Qualified::new("apiextensions.k8s.io", "customresourcedefinitions")
}
