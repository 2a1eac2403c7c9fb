//! SandboxWarmPool: `v1alpha1` requires `replicas` and has no `observedGeneration`.

use super::{object, remember, take_annotation};
use crate::names::annotation::POOL_STATE;
use serde_json::{Value, json};

pub(super) fn up(value: &mut Value) {
    forget_generation(value);
    remember(value, POOL_STATE, json!({}));
}

pub(super) fn down(value: &mut Value) {
    take_annotation(value, POOL_STATE);
    forget_generation(value);
    let replicas = object(value, "spec").entry("replicas").or_insert(Value::Null);
    if replicas.is_null() {
        *replicas = Value::from(1);
    }
}

fn forget_generation(value: &mut Value) {
    if let Some(status) = value.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("observedGeneration");
    }
}
