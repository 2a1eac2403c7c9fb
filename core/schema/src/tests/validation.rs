//! What validation says, in Kubernetes' words.

use super::*;

fn check(schema: &Value, value: &Value, wanted: &[&str]) {
    let schema = json!({"type": "object", "properties": {"spec": schema}});
    let schema = Schema::compile(&schema).unwrap();
    assert_eq!(messages(&validate(&schema, &json!({"spec": value}), None)), wanted);
}

/// The texts are those of kube-openapi's validator as apiextensions-apiserver reports them.
#[test]
fn messages_are_those_of_kubernetes() {
    check(
        &json!({"type": "integer"}),
        &json!("a"),
        &[r#"spec: Invalid value: "string": spec in body must be of type integer: "string""#],
    );
    check(
        &json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
        &json!({}),
        &["spec.a: Required value"],
    );
    check(
        &json!({"type": "string", "enum": ["Running", "Suspended"]}),
        &json!("Off"),
        &[r#"spec: Unsupported value: "Off": supported values: "Running", "Suspended""#],
    );
    check(
        &json!({"type": "integer", "minimum": 0}),
        &json!(-1),
        &["spec: Invalid value: -1: spec in body should be greater than or equal to 0"],
    );
    check(
        &json!({"type": "integer", "maximum": 1}),
        &json!(2),
        &["spec: Invalid value: 2: spec in body should be less than or equal to 1"],
    );
    check(
        &json!({"type": "string", "pattern": "^a$"}),
        &json!("b"),
        &[r#"spec: Invalid value: "b": spec in body should match '^a$'"#],
    );
    check(
        &json!({"type": "string", "maxLength": 1}),
        &json!("ab"),
        &["spec: Too long: may not be more than 1 byte"],
    );
    check(
        &json!({"type": "string", "minLength": 1}),
        &json!(""),
        &[r#"spec: Invalid value: "": spec in body should be at least 1 chars long"#],
    );
    check(
        &json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
        &json!(["a", "b"]),
        &["spec: Too many: 2: must have at most 1 item"],
    );
    check(
        &json!({"type": "string", "format": "date-time"}),
        &json!("soon"),
        &[r#"spec: Invalid value: "soon": spec in body must be of type date-time: "soon""#],
    );
    check(
        &json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        &json!(true),
        &[r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#],
    );
    check(
        &json!({"type": "object", "properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        &json!({}),
        &[r#"spec: Invalid value: "": "spec" must validate at least one schema (anyOf)"#],
    );
}

#[test]
fn keys_of_associative_lists_and_items_of_sets_are_unique() {
    let item = json!({"type": "object", "required": ["p"], "properties": {
        "p": {"type": "integer"}, "q": {"type": "string", "default": "TCP"}}});
    check(
        &json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["p", "q"], "items": item}),
        &json!([{"p": 1}, {"p": 1, "q": "UDP"}, {"p": 1, "q": "TCP"}]),
        &[r#"spec[2]: Duplicate value: {"p":1,"q":"TCP"}"#],
    );
    check(
        &json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
        &json!(["a", "b", "a"]),
        &[r#"spec[2]: Duplicate value: "a""#],
    );
}

/// The immutability rule of the Sandbox API: set to changed, unset to set, set to unset.
#[test]
fn volume_claim_templates_cannot_be_changed() {
    let schema = sandbox(1);
    let without = valid_sandbox();
    let claim = |size: &str| {
        let mut object = valid_sandbox();
        object["spec"]["volumeClaimTemplates"] =
            json!([{"spec": {"resources": {"requests": {"storage": size}}}}]);
        object
    };
    let refused = [r#"spec: Invalid value: "object": volumeClaimTemplates is immutable"#];
    assert_eq!(messages(&validate(&schema, &claim("1Gi"), Some(&claim("2Gi")))), refused);
    assert_eq!(messages(&validate(&schema, &without, Some(&claim("1Gi")))), refused);
    assert_eq!(messages(&validate(&schema, &claim("1Gi"), Some(&without))), refused);
    assert_eq!(messages(&validate(&schema, &claim("1Gi"), Some(&claim("1Gi")))), [""; 0]);
    assert_eq!(messages(&validate(&schema, &claim("1Gi"), None)), [""; 0]);
}

#[test]
fn rules_see_times_escaped_names_and_items_by_key() {
    let item = json!({"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "messageExpression": "'v of ' + self.k + ' shrank'"}]});
    let schema = json!({"type": "object", "properties": {
      "at": {"type": "string", "format": "date-time"},
      "x-y": {"type": "integer"},
      "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item},
    }, "x-kubernetes-validations": [
      {"rule": "!has(self.at) || self.at > timestamp('2026-01-01T00:00:00Z')"},
      {"rule": "!has(self.x__dash__y) || self.x__dash__y < 5", "reason": "FieldValueForbidden", "fieldPath": ".x-y", "message": "too big"},
    ]});
    let schema = Schema::compile(&schema).unwrap();
    let errors = validate(&schema, &json!({"at": "2025-01-01T00:00:00Z", "x-y": 7}), None);
    let wanted = [
        r#": Invalid value: "object": failed rule: !has(self.at) || self.at > timestamp('2026-01-01T00:00:00Z')"#,
        ".x-y: Forbidden: too big",
    ];
    assert_eq!(messages(&errors), wanted);
    let old = json!({"l": [{"k": "a", "v": 1}, {"k": "b", "v": 5}]});
    let new = json!({"l": [{"k": "b", "v": 4}, {"k": "a", "v": 2}]});
    assert_eq!(
        messages(&validate(&schema, &new, Some(&old))),
        [r#"l[0]: Invalid value: "object": v of b shrank"#]
    );
}

/// Kubernetes does not run rules on an object whose shape is wrong, and says so.
#[test]
fn rules_are_not_run_on_malformed_objects() {
    let mut object = valid_sandbox();
    object["spec"]["operatingMode"] = json!("Off");
    let errors = messages(&validate(&sandbox(1), &object, None));
    assert_eq!(
        errors[0],
        r#"spec.operatingMode: Unsupported value: "Off": supported values: "Running", "Suspended""#
    );
    assert!(
        errors[1].starts_with("<nil>: Invalid value: null: some validation rules were not checked"),
        "{errors:?}"
    );
}

#[test]
fn what_was_invalid_before_and_has_not_changed_is_let_pass() {
    let mut old = valid_sandbox();
    old["spec"]["shutdownPolicy"] = json!("Whatever");
    let mut new = old.clone();
    new["spec"]["operatingMode"] = json!("Suspended");
    assert_eq!(messages(&validate(&sandbox(1), &new, Some(&old))), [""; 0]);
}
