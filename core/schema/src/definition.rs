//! What the schemas of a CustomResourceDefinition have to be, all versions together.

use serde_json::Value;
use wire::FieldError;

use crate::{CompileError, Compiler, check_structural};

/// Checks the schemas of a CustomResourceDefinition's spec: structural, with rules and patterns that compile, and defaults that
/// are valid. Versions without a schema are not looked at.
///
/// Fact: where all versions have the same schema, Kubernetes names it `spec.validation`, because that is where its internal
/// version of the definition has it.
pub fn check_versions(spec: &Value) -> Vec<FieldError> {
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut compiler = Compiler::default();
    if let [first, others @ ..] = versions
        && !first["schema"].is_null()
        && others.iter().all(|other| other["schema"] == first["schema"])
    {
        return one(&mut compiler, &first["schema"], "spec.validation.openAPIV3Schema");
    }
    let mut errors = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
        errors.extend(one(&mut compiler, &version["schema"], &path));
    }
    errors
}

fn one(compiler: &mut Compiler, schema: &Value, path: &str) -> Vec<FieldError> {
    let schema = &schema["openAPIV3Schema"];
    if schema.is_null() {
        return Vec::new();
    }
    let mut errors = check_structural(schema, path);
    // Rules are read last: they rely on the structure.
    if errors.is_empty() {
        errors.extend(compiler.compile(schema).err().map(|error| told(error, path)));
    }
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn told(error: CompileError, path: &str) -> FieldError {
    let CompileError { path: at, detail, value } = error;
    let dot = if at.is_empty() { "" } else { "." };
    FieldError::invalid(format!("{path}{dot}{at}"), value.unwrap_or_default(), detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(versions: &[Value]) -> Vec<String> {
        let versions: Vec<Value> =
            versions.iter().map(|schema| json!({"schema": {"openAPIV3Schema": schema}})).collect();
        check_versions(&json!({"versions": versions})).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let spec = |inner: Value| json!({"type": "object", "properties": {"spec": inner}});
        let at = "spec.validation.openAPIV3Schema.properties[spec]";
        assert_eq!(check(&[spec(json!({"type": "object"}))]), [""; 0]);
        assert_eq!(
            check(&[spec(json!({}))]),
            [format!("{at}.type: Required value: must not be empty for specified object fields")]
        );
        let rule = json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.a >"}]});
        let told = check(&[spec(rule)]);
        let start = format!(
            "{at}.x-kubernetes-validations[0].rule: Invalid value: \"self.a >\": compilation failed: "
        );
        assert!(told.len() == 1 && told[0].starts_with(&start), "{told:?}");
        let told = check(&[spec(json!({"type": "string", "pattern": "("}))]);
        let start =
            format!("{at}.pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: ");
        assert!(told.len() == 1 && told[0].starts_with(&start), "{told:?}");
    }

    #[test]
    fn versions_that_differ_are_named_by_their_place() {
        let good = json!({"type": "object"});
        let told = check(&[good, json!({"type": "array", "items": {"type": "string"}})]);
        let at = "spec.versions[1].schema.openAPIV3Schema";
        assert_eq!(told, [format!("{at}.type: Invalid value: \"array\": must be object at the root")]);
    }

    /// Facts: `ValidateStructural` and `ValidateCustomResourceDefinitionOpenAPISchema` of apiextensions-apiserver.
    #[test]
    fn schemas_keep_to_what_kubernetes_allows() {
        let at = "spec.validation.openAPIV3Schema";
        for (schema, want) in [
            (
                json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
                "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ),
            (
                json!({"type": "object", "nullable": true}),
                "nullable: Forbidden: nullable cannot be true at the root",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                "additionalProperties: Forbidden: must not be used at the root",
            ),
            (
                json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false}),
                "x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "string", "x-kubernetes-list-type": "set"}}}),
                "properties[a].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified",
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "string", "x-kubernetes-map-type": "atomic"}}}),
                "properties[a].type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified",
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "object", "x-kubernetes-embedded-resource": true}}}),
                "properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string",
                    "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}}),
                "properties[a].items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within spec.validation.openAPIV3Schema.properties[a]",
            ),
            (
                json!({"type": "object", "x-kubernetes-validations": [{"rule": "true", "reason": "Because"}]}),
                "x-kubernetes-validations[0].reason: Unsupported value: \"Because\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
            ),
            (
                json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.a\n> 1"}]}),
                "x-kubernetes-validations[0].message: Required value: message must be specified if rule contains line breaks",
            ),
        ] {
            assert_eq!(check(&[schema]), [format!("{at}.{want}")]);
        }
    }
}
