//! Which objects a quota is about.

use serde_json::Value;

use crate::prepare::qos_class;
use crate::value::{items, text};

/// Whether a quota counts an object of this kind. Scopes are about pods only: a quota that has any counts nothing else.
pub fn covers(quota: &Value, group: &str, plural: &str, object: &Value) -> bool {
    let mut scopes = items(quota, "/spec/scopes").filter_map(Value::as_str).peekable();
    let mut terms = items(quota, "/spec/scopeSelector/matchExpressions").peekable();
    if scopes.peek().is_none() && terms.peek().is_none() {
        return true;
    }
    (group, plural) == ("", "pods")
        && scopes.all(|scope| holds(scope, "Exists", &[], object))
        && terms.all(|term| {
            let values: Vec<&str> = items(term, "/values").filter_map(Value::as_str).collect();
            holds(text(term, "/scopeName"), text(term, "/operator"), &values, object)
        })
}

fn holds(scope: &str, operator: &str, values: &[&str], pod: &Value) -> bool {
    let bounded = pod.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|s| s >= 0);
    let best_effort = qos_class(pod) == "BestEffort";
    match scope {
        "Terminating" => bounded,
        "NotTerminating" => !bounded,
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "PriorityClass" => {
            let class = text(pod, "/spec/priorityClassName");
            match operator {
                "In" => values.contains(&class),
                "NotIn" => !class.is_empty() && !values.contains(&class),
                "DoesNotExist" => class.is_empty(),
                _ => !class.is_empty(),
            }
        }
        "CrossNamespacePodAffinity" => reaches_out(pod),
        _ => false,
    }
}

/// Whether a pod's affinity names other namespaces.
fn reaches_out(pod: &Value) -> bool {
    let lists = ["podAffinity", "podAntiAffinity"].into_iter().flat_map(|affinity| {
        let at = format!("/spec/affinity/{affinity}");
        let hard = items(pod, &format!("{at}/requiredDuringSchedulingIgnoredDuringExecution"));
        let soft = items(pod, &format!("{at}/preferredDuringSchedulingIgnoredDuringExecution"));
        hard.chain(soft.filter_map(|weighted| weighted.get("podAffinityTerm")))
    });
    let mut lists = lists;
    lists.any(|term| items(term, "/namespaces").len() > 0 || term.get("namespaceSelector").is_some())
}
