//! The OpenAPI v2 document: one for all kinds, for clients from before version 3, made from the same data.
//!
//! What version 2 cannot say is left out, as Kubernetes leaves it out (apiextensions-apiserver 0.36.3,
//! pkg/controller/openapi/v2/conversion.go): alternatives, nullability, and the fields of what takes any.
//!
//! **Invariant:** one path or definition at a time is held in its long form; the whole is written as bytes.

use serde_json::{Map, Value, json};

use super::{Custom, DESCRIPTIONS, PATHS, describe_one, operation};
use crate::document::{components, inflate};

mod proto;

/// How the document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    Json,
    /// The protobuf messages of gnostic's `OpenAPIv2.proto`, which client-go asks for.
    Protobuf,
}

/// The document of the built-in kinds and of these.
pub fn v2(custom: &[Custom<'_>], form: Form) -> Vec<u8> {
    match form {
        Form::Json => json(custom),
        Form::Protobuf => proto::document(custom),
    }
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": "unversioned"})
}

fn security() -> Value {
    json!({"BearerToken": {"description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey"}})
}

fn json(custom: &[Custom<'_>]) -> Vec<u8> {
    let mut out = format!("{{\"swagger\":\"2.0\",\"info\":{},\"paths\":{{", info()).into_bytes();
    let mut first = true;
    each_path(custom, &mut |name, item| entry(&mut out, &mut first, name, item));
    out.extend_from_slice(b"},\"definitions\":{");
    first = true;
    each_definition(custom, &mut |name, schema| entry(&mut out, &mut first, name, schema));
    let end = format!("}},\"securityDefinitions\":{},\"security\":[{{\"BearerToken\":[]}}]}}", security());
    out.extend_from_slice(end.as_bytes());
    out
}

/// One field of an object that is being written.
fn entry(out: &mut Vec<u8>, first: &mut bool, name: &str, value: &Value) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    out.extend_from_slice(format!("{}:{value}", Value::from(name)).as_bytes());
}

fn each_path(custom: &[Custom<'_>], take: &mut dyn FnMut(&str, &Value)) {
    for items in inflate(PATHS).values() {
        for (name, item) in items.as_object().into_iter().flatten() {
            take(name, &path_item(operation::expand(item)));
        }
    }
    for kind in custom {
        let mut paths = Map::new();
        kind.paths(&mut paths);
        paths.into_iter().for_each(|(name, item)| take(&name, &path_item(item)));
    }
}

fn each_definition(custom: &[Custom<'_>], take: &mut dyn FnMut(&str, &Value)) {
    let mut texts = inflate(DESCRIPTIONS);
    for (name, mut definition) in components() {
        describe_one(&mut definition, texts.remove(&name));
        schema(&mut definition, false);
        take(&name, &definition);
    }
    drop(texts);
    for kind in custom {
        let mut own = Map::new();
        kind.schemas(&mut own);
        for (name, mut definition) in own {
            schema(&mut definition, true);
            take(&name, &definition);
        }
    }
}

/// A path of version 3 as one of version 2.
fn path_item(item: Value) -> Value {
    let Value::Object(item) = item else { return item };
    let of = |(key, value): (String, Value)| {
        let value = if key == "parameters" { parameters(&value) } else { operation_of(value) };
        (key, value)
    };
    item.into_iter().map(of).collect::<Map<_, _>>().into()
}

fn operation_of(v3: Value) -> Value {
    let Value::Object(mut out) = v3 else { return v3 };
    let body = out.remove("requestBody").unwrap_or_default();
    let media = body["content"].as_object();
    let takes: Vec<&String> = media.into_iter().flat_map(Map::keys).collect();
    let mut all = Vec::new();
    if let Some(content) = media.and_then(|media| media.values().next()) {
        let mut kind = content["schema"].clone();
        schema(&mut kind, false);
        let mut parameter = json!({"in": "body", "name": "body", "schema": kind});
        if body["required"] == true {
            parameter["required"] = true.into();
        }
        all.push(parameter);
    }
    let query = parameters(&out.remove("parameters").unwrap_or_default());
    all.extend(query.as_array().into_iter().flatten().cloned());
    let (gives, responses) = responses(out.remove("responses").unwrap_or_default());
    out.insert("parameters".to_owned(), all.into());
    out.insert("consumes".to_owned(), if takes.is_empty() { json!(["*/*"]) } else { json!(takes) });
    out.insert("produces".to_owned(), gives);
    out.insert("schemes".to_owned(), json!(["https"]));
    out.insert("responses".to_owned(), responses);
    out.into()
}

/// The media types of answers, and the answers.
fn responses(v3: Value) -> (Value, Value) {
    let (mut gives, mut out) = (json!(["*/*"]), Map::new());
    let Value::Object(answers) = v3 else { return (gives, out.into()) };
    for (code, answer) in answers {
        let mut of_code = json!({"description": answer["description"]});
        if let Some(content) = answer["content"].as_object().filter(|content| !content.is_empty()) {
            gives = content.keys().cloned().collect();
            let mut kind = content.values().next().map(|media| media["schema"].clone()).unwrap_or_default();
            schema(&mut kind, false);
            of_code["schema"] = kind;
        }
        out.insert(code, of_code);
    }
    (gives, out.into())
}

/// In version 2 a parameter has its type beside its name.
fn parameters(v3: &Value) -> Value {
    let of = |parameter: &Value| {
        let mut out = parameter.clone();
        if let Some(fields) = out.as_object_mut() {
            let kind = fields.remove("schema").unwrap_or_default();
            fields.extend(
                kind.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        out
    };
    v3.as_array().into_iter().flatten().map(of).collect()
}

/// Takes from a schema what version 2 cannot say. Those of custom kinds lose more: kubectl's models cannot hold it.
fn schema(node: &mut Value, custom: bool) {
    let Some(fields) = node.as_object_mut() else { return };
    // A reference with a description beside it is an alternative of one.
    if let Some(Value::Array(all)) = fields.remove("allOf")
        && let [one] = all.as_slice()
        && let Some(target) = one.get("$ref")
    {
        fields.insert("$ref".to_owned(), target.clone());
    }
    if let Some(target) = fields.get_mut("$ref").filter(|target| target.is_string()) {
        let text = target.as_str().unwrap_or_default();
        *target = text.replacen("#/components/schemas/", "#/definitions/", 1).into();
    }
    let either = fields.remove("oneOf").is_some();
    fields.remove("anyOf");
    fields.remove("not");
    if either && !custom {
        // Facts: IntOrString and Quantity are strings in version 2.
        fields.entry("type").or_insert_with(|| "string".into());
    }
    let nullable = fields.remove("nullable").is_some_and(|nullable| nullable == true);
    let open = fields.get("x-kubernetes-preserve-unknown-fields").is_some_and(|open| open == true);
    // Fact: Kubernetes' own swagger.json has no defaults either.
    fields.remove("default");
    if custom {
        reduce(fields, nullable, open);
    }
    for key in ["items", "additionalProperties"] {
        fields.get_mut(key).into_iter().for_each(|child| schema(child, custom));
    }
    let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(Map::values_mut).for_each(|child| schema(child, custom));
}

fn reduce(fields: &mut Map<String, Value>, nullable: bool, open: bool) {
    let properties = fields.get("properties").and_then(Value::as_object);
    let empty: Vec<String> = properties
        .into_iter()
        .flatten()
        .filter(|(_, property)| property["nullable"] == true)
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !empty.iter().any(|empty| name == empty.as_str()));
        if required.is_empty() {
            fields.remove("required");
        }
    }
    if nullable || open {
        fields.remove("items");
        fields.remove("properties");
    }
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    let untyped =
        nullable || (kind == "array" && !fields.contains_key("items")) || (open && kind == "object");
    if untyped {
        fields.remove("type");
    }
}

#[cfg(test)]
mod tests;
