//! Facts: the naming, establishing and finalizing controllers of apiextensions-apiserver.

use serde_json::{Value, json};

use super::*;

fn crd(plural: &str, kind: &str) -> Value {
    json!({"metadata": {"name": format!("{plural}.x.io")}, "spec": {"group": "x.io",
        "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")}},
        "status": {"storedVersions": ["v1"]}})
}

fn settle(crd: &mut Value, used: &Names, now: i64) {
    let now = Timestamp::from_second(now).unwrap();
    if let Some(status) = settled(crd, used, now) {
        crd["status"] = status;
        assert_eq!(settled(crd, used, now), None, "settled at once");
    }
}

fn conditions(crd: &Value) -> Vec<String> {
    let list = items(crd, "/status/conditions");
    list.map(|c| format!("{}={} {}", text(c, "/type"), text(c, "/status"), text(c, "/reason"))).collect()
}

#[test]
fn free_names_are_accepted_and_established() {
    let mut widgets = crd("widgets", "Widget");
    settle(&mut widgets, &Names::default(), 1);
    assert_eq!(
        conditions(&widgets),
        ["NamesAccepted=True NoConflicts", "Established=True InitialNamesAccepted"]
    );
    assert_eq!(widgets["status"]["acceptedNames"], widgets["spec"]["names"]);
    assert_eq!(widgets["status"]["storedVersions"], json!(["v1"]));
    assert!(is_served(&widgets));
}

#[test]
fn a_name_in_use_is_refused_until_it_is_free() {
    let mut first = crd("widgets", "Widget");
    settle(&mut first, &Names::default(), 1);
    let mut used = Names::built_in("x.io");
    used.take(&first["status"]["acceptedNames"]);
    let mut second = crd("gadgets", "Widget");
    settle(&mut second, &used, 1);
    assert_eq!(
        conditions(&second),
        ["NamesAccepted=False ListKindConflict", "Established=False NotAccepted"]
    );
    assert_eq!(second["status"]["conditions"][0]["message"], "\"WidgetList\" is already in use");
    assert_eq!(second["status"]["acceptedNames"], json!({"plural": "gadgets", "kind": ""}));
    assert!(!is_served(&second));
    settle(&mut second, &Names::default(), 9);
    assert_eq!(
        conditions(&second),
        ["NamesAccepted=True NoConflicts", "Established=True InitialNamesAccepted"]
    );
    assert_eq!(second["status"]["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:09Z");
}

#[test]
fn an_established_definition_stays_so_when_a_new_short_name_is_taken() {
    let mut widgets = crd("widgets", "Widget");
    settle(&mut widgets, &Names::default(), 1);
    widgets["spec"]["names"]["shortNames"] = json!(["g", "w"]);
    let mut used = Names::default();
    used.take(&json!({"plural": "gs", "singular": "g", "kind": "G", "listKind": "GList"}));
    settle(&mut widgets, &used, 9);
    assert_eq!(
        conditions(&widgets),
        ["NamesAccepted=False ShortNamesConflict", "Established=True InitialNamesAccepted"]
    );
    assert_eq!(widgets["status"]["acceptedNames"]["shortNames"], Value::Null);
    assert!(is_served(&widgets));
}

#[test]
fn names_of_built_in_kinds_are_in_use() {
    let mut fake = crd("sandboxes", "Sandbox");
    settle(&mut fake, &Names::built_in("agents.x-k8s.io"), 1);
    assert!(!is_served(&fake));
}

#[test]
fn a_definition_waits_for_its_objects() {
    let now = Timestamp::from_second(5).unwrap();
    let mut widgets = crd("widgets", "Widget");
    settle(&mut widgets, &Names::default(), 1);
    begin_deletion(&mut widgets, now);
    begin_deletion(&mut widgets, now);
    assert_eq!(widgets["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(conditions(&widgets)[2], "Terminating=True InstanceDeletionPending");
    let widgets = emptying(&widgets, now).unwrap();
    assert_eq!(emptying(&widgets, now), None);
    let widgets = emptied(widgets, true, now);
    assert_eq!(conditions(&widgets)[2], "Terminating=False InstanceDeletionCompleted");
    assert_eq!(widgets["metadata"]["finalizers"], json!([]));
}
