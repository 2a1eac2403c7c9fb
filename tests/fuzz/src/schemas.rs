//! Schemas of custom resources, and values under them: a schema is refused or compiled; what is compiled prunes, defaults
//! and validates anything, and reaches a fixed point at once.

use crate::json;
use arbitrary::{Result, Unstructured};
use schema::Schema;
use serde_json::{Value, json};

const NAMES: &[&str] = &[
    "type",
    "object",
    "array",
    "string",
    "integer",
    "number",
    "boolean",
    "properties",
    "additionalProperties",
    "items",
    "required",
    "default",
    "nullable",
    "enum",
    "pattern",
    "format",
    "int32",
    "int64",
    "date-time",
    "date",
    "duration",
    "byte",
    "uuid",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "uniqueItems",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "$ref",
    "title",
    "description",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-list-type",
    "map",
    "set",
    "atomic",
    "granular",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    "rule",
    "message",
    "messageExpression",
    "reason",
    "fieldPath",
    "optionalOldSelf",
    "self",
    "self.a > 1",
    "self.a == oldSelf.a",
    "has(self.a)",
    "self.all(x, x > 0)",
    "self.b.exists(k, self.b[k] == 'a')",
    "size(self) < 3",
    "self.matches('a+')",
    "'a' + self.a",
    ".a",
    "metadata",
    "spec",
    "a",
    "b",
    "c",
    "^a+$",
    "(a|b)*c",
    "[a-",
];

pub(crate) fn run(data: &[u8]) {
    let _ = decide(&mut Unstructured::new(data));
}

fn decide(input: &mut Unstructured<'_>) -> Result<()> {
    let mut text = json::value(input, NAMES)?;
    // Most roots would be refused for their type alone.
    if let (Some(root), true) = (text.as_object_mut(), input.ratio(7, 8)?) {
        root.insert("type".to_owned(), "object".into());
    }
    let value = json::value(input, NAMES)?;
    let old = json::value(input, NAMES)?;
    let wrong =
        schema::check_versions(&json!({"versions": [{"name": "v1", "schema": {"openAPIV3Schema": text}}]}));
    for error in &wrong {
        assert!(!error.to_string().is_empty());
    }
    // The server compiles only what it has accepted; the compiler has to bear the rest all the same.
    let Ok(schema) = Schema::compile(&text) else {
        assert!(!wrong.is_empty() || text.is_null(), "a schema that was accepted compiles: {text}");
        return Ok(());
    };
    check(&schema, value, &old, wrong.is_empty());
    Ok(())
}

fn check(schema: &Schema, mut value: Value, old: &Value, accepted: bool) {
    schema::prune(schema, &mut value);
    schema::default(schema, &mut value);
    let once = value.clone();
    let gone = schema::prune(schema, &mut value);
    schema::default(schema, &mut value);
    if accepted {
        assert_eq!(gone, [""; 0], "defaults are pruned already");
        assert_eq!(value, once, "a fixed point is reached at once");
    }
    for error in schema::validate(schema, &value, Some(old)) {
        assert!(!error.to_string().is_empty());
    }
    let unchanged = schema::validate(schema, &value, Some(&value));
    assert!(schema.has_rules() || unchanged.is_empty(), "what has not changed is let pass: {unchanged:?}");
}
