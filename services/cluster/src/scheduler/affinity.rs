//! Whether a node is one that a pod asks for: labels, affinity, taints. Pure.
use crate::view::{NodeView, Pending};
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration};
use std::collections::BTreeMap;

/// Whether the node selector and the required node affinity match.
pub(super) fn is_wanted(pending: &Pending, name: &str, node: &NodeView) -> bool {
    let selector = pending.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let affinity = pending.affinity.as_ref().is_none_or(|affinity| {
        affinity.node_selector_terms.iter().any(|term| matches_term(term, name, &node.labels))
    });
    selector && affinity
}

/// Whether the pod may go where these taints are.
pub(super) fn is_tolerated(pending: &Pending, taints: &[Taint]) -> bool {
    let strict = taints.iter().filter(|taint| taint.effect != "PreferNoSchedule");
    strict.into_iter().all(|taint| pending.tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let unset = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    let key = unset(&toleration.key) || toleration.key.as_ref() == Some(&taint.key);
    let effect = unset(&toleration.effect) || toleration.effect.as_ref() == Some(&taint.effect);
    let value = match toleration.operator.as_deref() {
        Some("Exists") => true,
        _ => toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
    };
    key && effect && value
}

/// An empty term matches nothing.
fn matches_term(term: &NodeSelectorTerm, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let by_name = |key: &str| (key == "metadata.name").then_some(name);
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|e| matches(e, labels.get(&e.key).map(String::as_str)))
        && fields.iter().all(|f| matches(f, by_name(&f.key)))
}

fn matches(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|v| v == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let (actual, bound) = (value.and_then(number), values.first().and_then(|v| number(v)));
    match &*requirement.operator {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => actual.zip(bound).is_some_and(|(actual, bound)| actual > bound),
        "Lt" => actual.zip(bound).is_some_and(|(actual, bound)| actual < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node() -> NodeView {
        NodeView {
            labels: [("disk".to_owned(), "ssd".to_owned()), ("n".to_owned(), "5".to_owned())].into(),
            ..NodeView::default()
        }
    }

    #[test]
    fn affinity_operators_mean_what_kubernetes_says() {
        let check = |term: Value, expected: bool| {
            let affinity = serde_json::from_value(json!({"nodeSelectorTerms": [term]})).unwrap();
            let pending = Pending { affinity: Some(affinity), ..Pending::default() };
            assert_eq!(is_wanted(&pending, "host", &node()), expected, "{term}");
        };
        let e = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        check(e("disk", "In", json!(["hdd", "ssd"])), true);
        check(e("disk", "NotIn", json!(["ssd"])), false);
        check(e("absent", "NotIn", json!(["x"])), true);
        check(e("disk", "Exists", json!(null)), true);
        check(e("disk", "DoesNotExist", json!(null)), false);
        check(e("n", "Gt", json!(["4"])), true);
        check(e("n", "Lt", json!(["4"])), false);
        check(json!({}), false);
        check(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["host"]}]}), true);
        check(
            json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["other"]}]}),
            false,
        );
    }

    #[test]
    fn taints_need_a_toleration_unless_they_only_advise() {
        let taint = |effect: &str| Taint {
            key: "k".to_owned(),
            value: Some("v".to_owned()),
            effect: effect.to_owned(),
            time_added: None,
        };
        let with = |toleration: Value| Pending {
            tolerations: vec![serde_json::from_value(toleration).unwrap()],
            ..Pending::default()
        };
        assert!(!is_tolerated(&Pending::default(), &[taint("NoSchedule")]));
        assert!(is_tolerated(&Pending::default(), &[taint("PreferNoSchedule")]));
        assert!(is_tolerated(&with(json!({"operator": "Exists"})), &[taint("NoExecute")]));
        assert!(is_tolerated(&with(json!({"key": "k", "value": "v"})), &[taint("NoSchedule")]));
        assert!(!is_tolerated(&with(json!({"key": "k", "value": "w"})), &[taint("NoSchedule")]));
        assert!(!is_tolerated(
            &with(json!({"key": "k", "operator": "Exists", "effect": "NoExecute"})),
            &[taint("NoSchedule")]
        ));
    }
}
