//! SandboxTemplate: `v1alpha1` shows the volume claim policy as an annotation.

use super::{ConvertError, annotate, object, remember, take_annotation};
use crate::names::annotation::{CLAIM_TEMPLATES_POLICY, TEMPLATE_STATE};
use serde_json::{Value, json};

pub(super) fn up(value: &mut Value) -> Result<(), ConvertError> {
    let policy = take_annotation(value, CLAIM_TEMPLATES_POLICY);
    let spec = object(value, "spec");
    spec.remove("volumeClaimTemplatesPolicy");
    if let Some(policy) = policy {
        if !matches!(policy.as_str(), "Allowed" | "Overrides" | "Disallowed") {
            return Err(ConvertError::Policy(policy));
        }
        spec.insert("volumeClaimTemplatesPolicy".to_owned(), Value::String(policy));
    }
    remember(value, TEMPLATE_STATE, json!({}));
    Ok(())
}

pub(super) fn down(value: &mut Value) {
    take_annotation(value, TEMPLATE_STATE);
    take_annotation(value, CLAIM_TEMPLATES_POLICY);
    let policy = object(value, "spec").remove("volumeClaimTemplatesPolicy");
    if let Some(policy) = policy.as_ref().and_then(Value::as_str).filter(|policy| !policy.is_empty()) {
        annotate(value, CLAIM_TEMPLATES_POLICY, policy.to_owned());
    }
}
