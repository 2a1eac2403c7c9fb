//! Kubernetes' own keywords: where they may stand, and what rules have to say.

use serde_json::{Map, Value};
use wire::FieldError;

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

type Errors = Vec<FieldError>;

/// What the root may not be.
pub(super) fn root(schema: &Value, path: &str, errors: &mut Errors) {
    if schema["nullable"] == true {
        errors.push(FieldError::forbidden(format!("{path}.nullable"), "nullable cannot be true at the root"));
    }
    if !schema["additionalProperties"].is_null() {
        let why = "must not be used at the root";
        errors.push(FieldError::forbidden(format!("{path}.additionalProperties"), why));
    }
    meta(schema, path, errors);
    let Some(metadata) = schema["properties"]["metadata"].as_object() else { return };
    let only_names = |fields: &Map<String, Value>| {
        fields.keys().all(|name| matches!(name.as_str(), "name" | "generateName"))
    };
    let plain = metadata.iter().all(|(keyword, value)| match keyword.as_str() {
        // What says nothing of the structure, or only which type everybody knows it has.
        "type" | "description" | "title" => true,
        "properties" => value.as_object().is_some_and(only_names),
        _ => false,
    });
    if !plain {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(format!("{path}.properties[metadata]"), why));
    }
}

/// The types of the fields that every object has.
fn meta(schema: &Value, path: &str, errors: &mut Errors) {
    for (name, wanted) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
        let found = &schema["properties"][name];
        if !found.is_null() && found["type"] != wanted {
            let at = format!("{path}.properties[{name}].type");
            let why = format!("must be {wanted}");
            errors.push(FieldError::invalid(at, found["type"].as_str().unwrap_or_default(), why));
        }
    }
}

/// The keywords of one node, but for list keys and rules.
pub(super) fn node(fields: &Map<String, Value>, path: &str, errors: &mut Errors) {
    let flag = |key: &str| fields.get(key).and_then(Value::as_bool);
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let kind = text("type").unwrap_or_default();
    if flag("x-kubernetes-preserve-unknown-fields") == Some(false) {
        let at = format!("{path}.x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(at, false, "must be true or undefined"));
    }
    let mut typed = |keyword: &str, wanted: &str, words: &str| {
        if kind != wanted {
            let (at, why) = (format!("{path}.type"), format!("must be {wanted} if {keyword} is {words}"));
            errors.push(match kind {
                "" => FieldError::required(at, why),
                other => FieldError::invalid(at, other, why),
            });
        }
    };
    if text("x-kubernetes-map-type").is_some() {
        typed("x-kubernetes-map-type", "object", "specified");
    }
    if text("x-kubernetes-list-type").is_some() {
        typed("x-kubernetes-list-type", "array", "specified");
    }
    if flag("x-kubernetes-embedded-resource") == Some(true) {
        typed("x-kubernetes-embedded-resource", "object", "true");
        embedded(fields, path, errors);
    }
    if let Some(other) = text("x-kubernetes-map-type").filter(|map| !matches!(*map, "atomic" | "granular")) {
        let at = format!("{path}.x-kubernetes-map-type");
        errors.push(FieldError::not_supported(at, other, &["atomic", "granular"]));
    }
    if flag("x-kubernetes-int-or-string") == Some(true) {
        for other in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
            if flag(other) == Some(true) {
                let why = "must be false if x-kubernetes-int-or-string is true";
                errors.push(FieldError::invalid(format!("{path}.{other}"), true, why));
            }
        }
    }
}

fn embedded(fields: &Map<String, Value>, path: &str, errors: &mut Errors) {
    let open = fields.get("x-kubernetes-preserve-unknown-fields").is_some_and(|open| open == true);
    let empty = fields.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty);
    if empty && !open {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(format!("{path}.properties"), why));
    }
    if fields.contains_key("additionalProperties") {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(format!("{path}.additionalProperties"), why));
    }
}

/// The rules of a node and all below. `uncorrelated`: the first node above whose parts before and after a change cannot be
/// told which is which; rules below it cannot compare.
pub(super) fn rules(schema: &Value, path: &str, uncorrelated: Option<&str>, errors: &mut Errors) {
    let list = schema["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, rule) in list.iter().enumerate() {
        one_rule(rule, &format!("{path}.x-kubernetes-validations[{index}]"), uncorrelated, errors);
    }
    let atomic = schema["x-kubernetes-map-type"] == "atomic";
    let below = uncorrelated.or(atomic.then_some(path));
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        rules(child, &format!("{path}.properties[{name}]"), below, errors);
    }
    if schema["additionalProperties"].is_object() {
        rules(&schema["additionalProperties"], &format!("{path}.additionalProperties"), below, errors);
    }
    if schema["items"].is_object() {
        let by_key = schema["x-kubernetes-list-type"] == "map";
        let below = uncorrelated.or((!by_key).then_some(path));
        rules(&schema["items"], &format!("{path}.items"), below, errors);
    }
}

fn one_rule(rule: &Value, path: &str, uncorrelated: Option<&str>, errors: &mut Errors) {
    let text = |key: &str| rule[key].as_str().unwrap_or_default();
    let (source, message) = (text("rule"), text("message"));
    if source.trim().is_empty() {
        errors.push(FieldError::required(format!("{path}.rule"), "rule is not specified"));
    } else if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(
            format!("{path}.message"),
            message,
            "must be non-empty if specified",
        ));
    } else if has_breaks(message.trim()) {
        errors.push(FieldError::invalid(format!("{path}.message"), message, "must not contain line breaks"));
    } else if has_breaks(source.trim()) && message.trim().is_empty() {
        let why = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(format!("{path}.message"), why));
    }
    let reason = text("reason");
    if !reason.is_empty() && !REASONS.contains(&reason) {
        errors.push(FieldError::not_supported(format!("{path}.reason"), reason, &REASONS));
    }
    let at = text("fieldPath");
    if !at.is_empty() && at.trim().is_empty() {
        errors.push(FieldError::invalid(format!("{path}.fieldPath"), at, "must be non-empty if specified"));
    }
    // A word is enough to know: what only looks like it is refused by the compiler.
    let compares = source.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "oldSelf");
    match uncorrelated {
        Some(within) if compares => {
            let why =
                format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
            errors.push(FieldError::invalid(format!("{path}.rule"), source, why));
        }
        _ => {}
    }
    if let Some(optional) = rule["optionalOldSelf"].as_bool().filter(|_| !compares) {
        let why = "may not be set if oldSelf is not used in rule";
        errors.push(FieldError::invalid(format!("{path}.optionalOldSelf"), optional, why));
    }
}

fn has_breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}
