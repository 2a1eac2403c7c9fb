//! JSON values as CEL sees them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{self, Context, Program};
use serde_json::Value;

use crate::format::Format;
use crate::node::Schema;

/// Words of the language, which a field name has to be told from.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A value typed by its schema: declared fields under their escaped names, times and durations as such.
pub(crate) fn typed(schema: &Schema, value: &Value) -> cel::Value {
    match value {
        Value::Object(fields) => {
            let mut map = HashMap::with_capacity(fields.len());
            for (name, child) in fields {
                if let Some(field) = schema.field(name) {
                    map.insert(key(escape(name)), typed(field.schema(), child));
                } else if let Some(values) = schema.values() {
                    map.insert(key(name.clone()), typed(values, child));
                } else {
                    map.insert(key(name.clone()), untyped(child));
                }
            }
            cel::Value::Map(Map { map: Arc::new(map) })
        }
        Value::Array(items) => {
            let inner = schema.items();
            let convert = |item| inner.map_or_else(|| untyped(item), |inner| typed(inner, item));
            cel::Value::List(Arc::new(items.iter().map(convert).collect()))
        }
        Value::String(text) => match schema.format {
            Format::DateTime => parsed("timestamp(v)", text),
            Format::Duration => parsed("duration(v)", text),
            _ => cel::Value::String(Arc::new(text.clone())),
        },
        Value::Number(number) if schema.kind == crate::Kind::Number => {
            number.as_f64().map_or(cel::Value::Null, cel::Value::Float)
        }
        other => untyped(other),
    }
}

/// An object of which only the named fields are looked at. The names are escaped ones.
pub(crate) fn some_fields(
    schema: &Schema,
    object: &serde_json::Map<String, Value>,
    names: &BTreeSet<&str>,
) -> cel::Value {
    let mut map = HashMap::with_capacity(names.len());
    for field in schema.fields() {
        let name = escape(field.name());
        if names.contains(name.as_str())
            && let Some(child) = object.get(field.name())
        {
            map.insert(key(name), typed(field.schema(), child));
        }
    }
    for (name, child) in
        object.iter().filter(|(name, _)| schema.field(name).is_none() && names.contains(name.as_str()))
    {
        let value = schema.values().map_or_else(|| untyped(child), |values| typed(values, child));
        map.insert(key(name.clone()), value);
    }
    cel::Value::Map(Map { map: Arc::new(map) })
}

fn untyped(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(truth) => cel::Value::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => cel::Value::Int(whole),
            (None, float) => float.map_or(cel::Value::Null, cel::Value::Float),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(untyped).collect())),
        Value::Object(fields) => {
            let entries = fields.iter().map(|(name, child)| (key(name.clone()), untyped(child)));
            cel::Value::Map(Map { map: Arc::new(entries.collect()) })
        }
    }
}

fn key(name: String) -> Key {
    Key::String(Arc::new(name))
}

/// What CEL's own conversion makes of a text, or the text if it is malformed.
fn parsed(conversion: &str, text: &str) -> cel::Value {
    static PROGRAMS: LazyLock<[(&str, Program); 2]> = LazyLock::new(|| {
        ["timestamp(v)", "duration(v)"].map(|text| (text, Program::compile(text).expect("valid CEL")))
    });
    let plain = cel::Value::String(Arc::new(text.to_owned()));
    let mut context = Context::default();
    context.add_variable_from_value("v", plain.clone());
    let program = PROGRAMS.iter().find(|(name, _)| *name == conversion);
    program.and_then(|(_, program)| program.execute(&context).ok()).unwrap_or(plain)
}

/// A field's name as rules write it: `a-b` is `a__dash__b`, `namespace` is `__namespace__`.
fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return name.to_owned();
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

#[cfg(test)]
mod tests {
    use super::escape;

    /// The escapes are those of the API documentation on validation rules.
    #[test]
    fn field_names_are_escaped_as_rules_write_them() {
        let cases = [
            ("namespace", "__namespace__"),
            ("x-prop", "x__dash__prop"),
            ("redact__d", "redact__underscores__d"),
            ("a_b", "a_b"),
            ("a.b/c", "a__dot__b__slash__c"),
        ];
        cases.iter().for_each(|(name, wanted)| assert_eq!(escape(name), *wanted));
    }
}
