//! Sandbox: `spec.replicas` (0 or 1) against `spec.operatingMode`.

use super::{ConvertError, object, recall, remember, text};
use crate::names::annotation::SANDBOX_STATE;
use serde_json::{Value, json};

pub(super) fn up(value: &mut Value) {
    let spec = object(value, "spec");
    let replicas = spec.remove("replicas").filter(|replicas| !replicas.is_null());
    let suspended = replicas.as_ref().and_then(Value::as_i64) == Some(0);
    spec.insert("operatingMode".to_owned(), Value::from(if suspended { "Suspended" } else { "Running" }));
    let observed = value.get_mut("status").and_then(Value::as_object_mut).and_then(|status| {
        status.remove("nodeName");
        status.remove("replicas")
    });
    let mut state = json!({ "spec": {} });
    if let Some(replicas) = replicas {
        state["spec"]["replicas"] = replicas;
    }
    if let Some(observed) = observed {
        state["status"] = json!({ "replicas": observed });
    }
    remember(value, SANDBOX_STATE, state);
}

pub(super) fn down(value: &mut Value) -> Result<(), ConvertError> {
    let state = recall(value, SANDBOX_STATE, "sandbox")?;
    let suspended = text(value, "/spec/operatingMode") == Some("Suspended");
    let remembered = state.as_ref().map(|state| state.pointer("/spec/replicas").and_then(Value::as_i64));
    let replicas = match remembered {
        _ if suspended => Some(0),
        Some(None) => None,
        Some(Some(replicas)) if replicas != 0 => Some(replicas),
        _ => Some(1),
    };
    let spec = object(value, "spec");
    spec.remove("operatingMode");
    if let Some(replicas) = replicas {
        spec.insert("replicas".to_owned(), Value::from(replicas));
    }
    if let Some(status) = value.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("nodeName");
        status.insert("replicas".to_owned(), Value::from(i32::from(!suspended)));
    }
    Ok(())
}
