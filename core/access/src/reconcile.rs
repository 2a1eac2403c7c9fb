//! Brings a stored role or binding of the system up to date without taking away what its administrators added.

use serde_json::{Map, Value};

use crate::rule::Rule;

/// Whether a role or binding may be changed by the system: anything but `true` keeps hands off.
pub(crate) const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// The object that should be stored for `wanted`, given what is; none if nothing is to do. A binding of another role than
/// the wanted one cannot be changed and is replaced.
pub fn reconcile(wanted: &Value, stored: Option<&Value>) -> Option<Value> {
    let Some(stored) = stored else { return Some(wanted.clone()) };
    if stored["metadata"]["annotations"][AUTOUPDATE] != "true" {
        return None;
    }
    let mut new = stored.clone();
    for field in ["labels", "annotations"] {
        add_entries(&mut new["metadata"], field, &wanted["metadata"][field]);
    }
    match wanted["kind"].as_str() {
        Some("ClusterRoleBinding" | "RoleBinding") if stored["roleRef"] != wanted["roleRef"] => {
            new["roleRef"] = wanted["roleRef"].clone();
            new["subjects"] = wanted["subjects"].clone();
        }
        Some("ClusterRoleBinding" | "RoleBinding") => add_items(&mut new, "subjects", &wanted["subjects"]),
        // The rules of an aggregate follow from others.
        _ if wanted["aggregationRule"].is_object() => add_items(
            &mut new["aggregationRule"],
            "clusterRoleSelectors",
            &wanted["aggregationRule"]["clusterRoleSelectors"],
        ),
        _ => add_rules(&mut new, wanted),
    }
    (new != *stored).then_some(new)
}

fn add_entries(object: &mut Value, field: &str, wanted: &Value) {
    let Some(wanted) = wanted.as_object() else { return };
    if !object[field].is_object() {
        object[field] = Value::Object(Map::new());
    }
    for (key, value) in wanted {
        object[field][key] = value.clone();
    }
}

fn add_items(object: &mut Value, field: &str, wanted: &Value) {
    let mut items = object[field].as_array().cloned().unwrap_or_default();
    let missing = wanted.as_array().into_iter().flatten().filter(|item| !items.contains(item)).cloned();
    let missing: Vec<Value> = missing.collect();
    if !missing.is_empty() {
        items.extend(missing);
        object[field] = items.into();
    }
}

/// Adds the rules that those already there do not cover.
fn add_rules(role: &mut Value, wanted: &Value) {
    let own = Rule::read_all(role);
    let missing: Vec<Value> = Rule::read_all(wanted)
        .iter()
        .filter(|rule| !crate::escalate::is_covered(rule, &own))
        .map(Rule::to_value)
        .collect();
    if !missing.is_empty() {
        let mut rules = role["rules"].as_array().cloned().unwrap_or_default();
        rules.extend(missing);
        role["rules"] = rules.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bootstrap;

    fn named(name: &str) -> Value {
        bootstrap::objects().into_iter().find(|object| object["metadata"]["name"] == name).unwrap()
    }

    #[test]
    fn what_is_up_to_date_is_left_alone() {
        for object in bootstrap::objects() {
            assert_eq!(reconcile(&object, Some(&object)), None);
            assert_eq!(reconcile(&object, None), Some(object));
        }
    }

    #[test]
    fn what_is_missing_is_added_and_what_was_added_stays() {
        let wanted = named("system:basic-user");
        let mut stored = wanted.clone();
        let extra = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        stored["rules"] = json!([extra]);
        stored["metadata"]["labels"] = json!({"mine": "yes"});
        let new = reconcile(&wanted, Some(&stored)).unwrap();
        let rules = new["rules"].as_array().unwrap();
        assert_eq!((rules.len(), &rules[0]), (3, &extra));
        assert_eq!(new["metadata"]["labels"]["mine"], "yes");
        assert_eq!(new["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
        assert_eq!(reconcile(&wanted, Some(&new)), None);
    }

    // Fact: an administrator who sets the annotation to anything but "true" keeps his own version.
    #[test]
    fn without_the_annotation_nothing_is_changed() {
        let wanted = named("view");
        let mut stored = wanted.clone();
        stored["aggregationRule"] = Value::Null;
        stored["metadata"]["annotations"][AUTOUPDATE] = "false".into();
        assert_eq!(reconcile(&wanted, Some(&stored)), None);
    }

    #[test]
    fn a_binding_of_the_system_gets_its_role_and_its_subjects_back() {
        let wanted = named("system:discovery");
        let binding = bootstrap::objects().into_iter();
        let binding = binding.filter(|object| object["kind"] == "ClusterRoleBinding");
        let wanted_binding = binding
            .into_iter()
            .find(|object| object["metadata"]["name"] == wanted["metadata"]["name"])
            .unwrap();
        let mut stored = wanted_binding.clone();
        stored["roleRef"]["name"] = "cluster-admin".into();
        let new = reconcile(&wanted_binding, Some(&stored)).unwrap();
        assert_eq!(new["roleRef"], wanted_binding["roleRef"]);
    }
}
