//! Operations, from the compact form of the bundled data to OpenAPI's.

use serde_json::{Map, Value, json};

/// What answers can be encoded as. Protobuf and CBOR are not served.
const ANSWERS: &[&str] = &["application/json", "application/yaml"];
/// What patches can be.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// A path's item.
pub(super) fn expand(item: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in item.as_object().into_iter().flatten() {
        let value = if key == "parameters" { parameters(value) } else { operation(key, value) };
        out.insert(key.clone(), value);
    }
    out.into()
}

fn operation(method: &str, compact: &Value) -> Value {
    let mut out = Map::new();
    let keys = [
        ("id", "operationId"),
        ("tags", "tags"),
        ("about", "description"),
        ("action", "x-kubernetes-action"),
        ("kind", "x-kubernetes-group-version-kind"),
    ];
    for (from, to) in keys {
        if let Some(value) = compact.get(from) {
            out.insert(to.to_owned(), value.clone());
        }
    }
    out.insert("parameters".to_owned(), parameters(&compact["parameters"]));
    if let Some(schema) = compact.get("body") {
        let media = if method == "patch" { PATCHES } else { &["*/*"] };
        let mut body = json!({"content": content(media, schema)});
        if method != "delete" {
            body["required"] = true.into();
        }
        out.insert("requestBody".to_owned(), body);
    }
    let mut answers = json!({"401": {"description": "Unauthorized"}});
    for (code, words) in [("200", "OK"), ("201", "Created"), ("202", "Accepted")] {
        if let Some(schema) = compact.get(code) {
            answers[code] = json!({"description": words, "content": content(ANSWERS, schema)});
        }
    }
    out.insert("responses".to_owned(), answers);
    out.into()
}

fn content(media: &[&str], schema: &Value) -> Value {
    media.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect::<Map<_, _>>().into()
}

fn parameters(compact: &Value) -> Value {
    let expand = |parameter: &Value| {
        let mut out = json!({
            "name": parameter[0], "in": parameter[1],
            "schema": {"type": parameter[2], "uniqueItems": true},
        });
        if parameter[3] == true {
            out["required"] = true.into();
        }
        out
    };
    compact.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(expand).collect::<Vec<_>>().into()
}
