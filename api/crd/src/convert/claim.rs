//! SandboxClaim: a template and an optional pool against one pool.

use super::{ConvertError, object, recall, remember, text};
use crate::names::annotation::CLAIM_STATE;
use serde_json::{Value, json};

/// Name prefix of the pool that stands for "any pool of this template".
const SHADOW_POOL: &str = "shadow-pool-";

pub(super) fn up(value: &mut Value) {
    let pool = pool_of(value);
    let spec = object(value, "spec");
    let mut state = json!({ "spec": {} });
    for field in ["sandboxTemplateRef", "warmpool"] {
        if let Some(original) = spec.remove(field) {
            state["spec"][field] = original;
        }
    }
    spec.remove("volumeClaimTemplates");
    spec.insert("warmPoolRef".to_owned(), json!({ "name": pool }));
    remember(value, CLAIM_STATE, state);
}

pub(super) fn down(value: &mut Value) -> Result<(), ConvertError> {
    let state = recall(value, CLAIM_STATE, "sandboxclaim")?;
    let pool = text(value, "/spec/warmPoolRef/name").unwrap_or_default().to_owned();
    let bound = text(value, "/status/sandbox/name").unwrap_or_default().to_owned();
    let spec = object(value, "spec");
    spec.remove("warmPoolRef");
    spec.remove("volumeClaimTemplates");
    let (template, warmpool) = match state {
        Some(state) => from_state(&state, &pool, &bound),
        None => match pool.strip_prefix(SHADOW_POOL) {
            Some(template) => (json!({ "name": template }), Some(Value::from("default"))),
            None => (json!({ "name": pool }), Some(Value::from(pool))),
        },
    };
    spec.insert("sandboxTemplateRef".to_owned(), template);
    if let Some(warmpool) = warmpool {
        spec.insert("warmpool".to_owned(), warmpool);
    }
    Ok(())
}

/// The pool that a `v1alpha1` claim means.
fn pool_of(claim: &Value) -> String {
    if let Some(pool) = specific_pool(claim) {
        return pool.to_owned();
    }
    let name = text(claim, "/metadata/name").unwrap_or_default();
    match text(claim, "/status/sandbox/name") {
        Some(bound) if !bound.is_empty() && bound != name => without_suffix(bound).to_owned(),
        _ => format!("{SHADOW_POOL}{}", text(claim, "/spec/sandboxTemplateRef/name").unwrap_or_default()),
    }
}

/// `spec.warmpool` where it names one pool.
fn specific_pool(claim: &Value) -> Option<&str> {
    text(claim, "/spec/warmpool").filter(|pool| !matches!(*pool, "" | "none" | "default"))
}

/// A pooled sandbox is named after its pool: everything before the last dash.
fn without_suffix(sandbox: &str) -> &str {
    sandbox.rsplit_once('-').map_or(sandbox, |(pool, _)| pool)
}

/// Template reference and `warmpool`: the remembered ones while the pool is still the one they led to.
fn from_state(state: &Value, pool: &str, bound: &str) -> (Value, Option<Value>) {
    let template =
        state.pointer("/spec/sandboxTemplateRef").cloned().unwrap_or_else(|| json!({ "name": "" }));
    let template_name = text(state, "/spec/sandboxTemplateRef/name").unwrap_or_default();
    let expected = specific_pool(state).unwrap_or(template_name);
    let same = pool == expected
        || pool.strip_prefix(SHADOW_POOL) == Some(expected)
        || (!bound.is_empty() && (pool == bound || pool == without_suffix(bound)));
    if same {
        (template, state.pointer("/spec/warmpool").cloned())
    } else {
        (template, Some(Value::from(pool)))
    }
}
