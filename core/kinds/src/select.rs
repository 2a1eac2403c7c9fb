//! Field selectors: which fields each kind can be selected by, and their values.

use std::borrow::Cow;

use serde_json::Value;
use wire::FieldSelector;

use crate::jsonpath::JsonPath;
use crate::table::{Body, Kind};

const POD: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];
const CORE_EVENT: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const NEW_EVENT: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

/// Whether a kind knows every field that a selector names.
///
/// # Errors
/// Kubernetes' text for a field that it does not know; the answer is 400.
pub fn check_fields(kind: &Kind, selector: &FieldSelector) -> Result<(), String> {
    for term in &selector.terms {
        let field = term.field.as_str();
        let metadata = field == "metadata.name" || (kind.namespaced && field == "metadata.namespace");
        if metadata || own_fields(kind).contains(&field) || selectable(kind, field).is_some() {
            continue;
        }
        return Err(match kind.body {
            Body::Pod
            | Body::Node
            | Body::Event
            | Body::Namespace
            | Body::Secret
            | Body::Service
            | Body::ReplicaSet
            | Body::Job
            | Body::Custom(_) => format!("field label not supported: {field}"),
            _ => format!(
                "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                wire::quote(field)
            ),
        });
    }
    Ok(())
}

/// The text of a field of an object, as selectors see it; `None` reads as empty. `object` has the form of `kind`.
pub fn select_field<'v>(kind: &Kind, object: &'v Value, field: &str) -> Option<Cow<'v, str>> {
    if let Some(path) = selectable(kind, field) {
        return JsonPath::parse(path).ok()?.first(object).map(text_of);
    }
    let path = match (&kind.body, field) {
        (Body::Pod, "spec.hostNetwork") => return Some(boolean(object, "/spec/hostNetwork")),
        (Body::Node, "spec.unschedulable") => return Some(boolean(object, "/spec/unschedulable")),
        (Body::Pod, "status.podIPs") => return Some(pod_addresses(object)),
        (Body::Event, "source") => {
            let component =
                object.pointer("/source/component").or_else(|| object.pointer("/reportingComponent"));
            return component.map(text_of);
        }
        _ => format!("/{}", field.replace('.', "/")),
    };
    object.pointer(&path).map(text_of)
}

fn own_fields(kind: &Kind) -> &'static [&'static str] {
    match kind.body {
        Body::Pod => POD,
        Body::Event if kind.group.is_empty() => CORE_EVENT,
        Body::Event => NEW_EVENT,
        Body::Namespace => &["status.phase"],
        Body::Node => &["spec.unschedulable"],
        Body::Secret => &["type"],
        Body::Service => &["spec.clusterIP", "spec.type"],
        Body::ReplicaSet => &["status.replicas"],
        Body::Job => &["status.successful"],
        _ => &[],
    }
}

fn selectable<'k>(kind: &'k Kind, field: &str) -> Option<&'k str> {
    let custom = kind.custom()?;
    custom.selectable.iter().map(String::as_str).find(|path| path.trim_start_matches('.') == field)
}

fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

fn boolean(object: &Value, pointer: &str) -> Cow<'static, str> {
    Cow::Borrowed(if crate::value::flag(object, pointer) { "true" } else { "false" })
}

fn pod_addresses(object: &Value) -> Cow<'static, str> {
    let list: Vec<&str> =
        crate::value::items(object, "/status/podIPs").map(|a| crate::value::text(a, "/ip")).collect();
    Cow::Owned(list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::lookup;
    use serde_json::json;

    fn selects(group: &str, plural: &str, object: &Value, selector: &str) -> Result<bool, String> {
        let kind = lookup(group, "v1", plural).unwrap();
        let selector = FieldSelector::parse(selector)?;
        check_fields(kind, &selector)?;
        Ok(selector.matches(|field| select_field(kind, object, field)))
    }

    #[test]
    fn fields_select_as_in_kubernetes() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "node"},
                         "status": {"phase": "Running", "podIP": "10.0.0.1"}});
        for (selector, want) in [
            ("metadata.name=p,metadata.namespace=n", true),
            ("spec.nodeName=node", true),
            ("status.phase!=Running", false),
            ("spec.hostNetwork=false", true),
            ("status.nominatedNodeName=", true),
        ] {
            assert_eq!(selects("", "pods", &pod, selector), Ok(want), "{selector}");
        }
        let event =
            json!({"involvedObject": {"name": "p"}, "type": "Normal", "source": {"component": "kubelet"}});
        assert_eq!(
            selects("", "events", &event, "involvedObject.name=p,type=Normal,source=kubelet"),
            Ok(true)
        );
        assert_eq!(
            selects("", "services", &json!({"spec": {"type": "ClusterIP"}}), "spec.type=NodePort"),
            Ok(false)
        );
    }

    #[test]
    fn unknown_fields_are_refused_in_kubernetes_words() {
        let none = json!({});
        assert_eq!(selects("", "pods", &none, "foo=1").unwrap_err(), "field label not supported: foo");
        assert_eq!(
            selects("", "configmaps", &none, "data.a=1").unwrap_err(),
            "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }
}
