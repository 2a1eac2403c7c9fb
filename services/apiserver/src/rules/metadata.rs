//! The types of metadata's fields, and what Go's decoder says of a value of another type.
//!
//! Fact (kube-apiserver 1.36): a built-in kind's metadata is decoded as a part of the object, a custom kind's by itself, which its
//! messages show.

use kinds::Kind;
use serde_json::Value;

/// Fields and their Go types.
const FIELDS: [(&str, &str); 12] = [
    ("annotations", "map[string]string"),
    ("creationTimestamp", "v1.Time"),
    ("deletionGracePeriodSeconds", "int64"),
    ("finalizers", "[]string"),
    ("generateName", "string"),
    ("generation", "int64"),
    ("labels", "map[string]string"),
    ("name", "string"),
    ("namespace", "string"),
    ("ownerReferences", "[]v1.OwnerReference"),
    ("resourceVersion", "string"),
    ("uid", "types.UID"),
];

/// Checks the types; `Err` is the decoder's text.
pub(super) fn check(kind: &Kind, object: &Value) -> Result<(), String> {
    let custom = kind.custom().is_some();
    let metadata = match object.get("metadata") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(metadata)) => metadata,
        Some(other) => {
            let into = match custom {
                true => "value of type v1.ObjectMeta".to_owned(),
                false => format!("struct field {}.metadata of type v1.ObjectMeta", kind.kind),
            };
            return Err(format!("json: cannot unmarshal {} into Go {into}", wire::type_name(other)));
        }
    };
    let wrong = FIELDS.iter().find_map(|(name, wanted)| {
        let value = metadata.get(*name).filter(|value| !fits(value, wanted))?;
        Some((name, wanted, wire::type_name(value)))
    });
    let Some((name, wanted, found)) = wrong else { return Ok(()) };
    let path = if custom { "" } else { "metadata." };
    Err(format!(
        "json: cannot unmarshal {found} into Go struct field ObjectMeta.{path}{name} of type {wanted}"
    ))
}

/// Whether a value has the shape of a type; what is within lists and maps is for the schema.
fn fits(value: &Value, wanted: &str) -> bool {
    match wanted {
        _ if value.is_null() => true,
        "int64" => value.is_i64(),
        "map[string]string" => value.is_object(),
        list if list.starts_with("[]") => value.is_array(),
        _ => value.is_string(),
    }
}
