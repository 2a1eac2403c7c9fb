//! Checks values against schemas, with Kubernetes' messages.

use serde_json::{Map, Value};
use wire::{FieldError, field::ErrorKind, field::Path};

use crate::format::Format;
use crate::node::{Kind, ListType, Schema};
use crate::program;
use crate::rules::{self, type_name};

mod limits;

/// What a rule that could not be checked leaves to say.
const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; \
                         correct the existing errors to complete validation";

/// Checks a value, on update against the value before: what was invalid and has not changed is let pass, and
/// rules may compare. Defaults have to be set and unknown fields dropped already.
pub fn validate(schema: &Schema, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), types_only: false };
    walk.node(schema, value, old, None);
    let mut errors = walk.errors;
    if !schema.ruled {
        return errors;
    }
    if errors.iter().any(|error| blocks_rules(error.kind)) {
        errors.push(FieldError::invalid("<nil>", Value::Null, UNCHECKED));
    } else {
        program::begin();
        apply_rules(schema, value, old, None, &mut errors);
    }
    errors
}

/// Only checks that every value has a JSON type that its field can take. For built-in kinds, whose other
/// promises Kubernetes keeps in code.
pub fn check_types(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), types_only: true };
    walk.node(schema, value, None, None);
    walk.errors
}

/// Rules are not run on an object whose shape they could not rely on.
fn blocks_rules(kind: ErrorKind) -> bool {
    use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

struct Walk {
    errors: Vec<FieldError>,
    types_only: bool,
}

/// A place that may be the root.
type At<'a, 'b> = Option<&'a Path<'b>>;

fn field<'a>(at: At<'a, 'a>, name: &'a str) -> Path<'a> {
    at.map_or(Path::root(name), |path| path.child(name))
}

fn show(at: At<'_, '_>) -> String {
    at.map(ToString::to_string).unwrap_or_default()
}

// === impl Walk ===

impl Walk {
    fn node(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, at: At<'_, '_>) {
        if old == Some(value) && !self.types_only {
            return;
        }
        if value.is_null() && (schema.nullable || schema.kind == Kind::Any || self.types_only) {
            return;
        }
        if !fits(schema.kind, value) {
            let expected = type_name(schema.kind);
            return self.wrong_type(at, expected, found_type(value));
        }
        if !self.types_only {
            self.format(schema, value, at);
            self.limits(schema, value, at);
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, old.and_then(Value::as_object), at),
            Value::Array(items) => self.list(schema, items, old.and_then(Value::as_array), at),
            _ => {}
        }
    }

    fn object(
        &mut self,
        schema: &Schema,
        fields: &Map<String, Value>,
        old: Option<&Map<String, Value>>,
        at: At<'_, '_>,
    ) {
        for name in schema.required.iter().filter(|name| !self.types_only && !fields.contains_key(&***name)) {
            self.errors.push(FieldError::required(field(at, name), ""));
        }
        for (name, child) in fields {
            if let Some(inner) = schema.child(name) {
                self.node(inner, child, old.and_then(|old| old.get(name)), Some(&field(at, name)));
            }
        }
    }

    fn list(&mut self, schema: &Schema, items: &[Value], old: Option<&Vec<Value>>, at: At<'_, '_>) {
        if !self.types_only {
            self.unique(schema, items, at);
        }
        let Some(inner) = schema.items() else { return };
        let list = at.copied().unwrap_or(Path::root(""));
        for (index, child) in items.iter().enumerate() {
            let before = old.and_then(|old| counterpart(schema, child, old));
            let path = list.index(index);
            self.node(inner, child, before, Some(&path));
        }
    }

    /// Sets and associative lists hold each item once.
    fn unique(&mut self, schema: &Schema, items: &[Value], at: At<'_, '_>) {
        for (index, item) in items.iter().enumerate() {
            let repeated = match &schema.list {
                ListType::Atomic => return,
                ListType::Set => items[..index].contains(item).then(|| item.clone()),
                ListType::Map(names) => {
                    let keys = keys(schema, names, item);
                    let same = |other: &Value| self::keys(schema, names, other) == keys;
                    items[..index].iter().any(same).then(|| keys.into())
                }
            };
            if let Some(value) = repeated {
                let path = format!("{}[{index}]", show(at));
                self.errors.push(FieldError::duplicate(path, value));
            }
        }
    }

    fn format(&mut self, schema: &Schema, value: &Value, at: At<'_, '_>) {
        match (schema.format, value) {
            (Format::None, _) => {}
            (Format::Int32 | Format::Int64, Value::Number(number)) => {
                let fits = match schema.format {
                    Format::Int32 => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
                    _ => number.is_i64() || number.is_f64(),
                };
                if !fits {
                    let name = schema.format.name();
                    let detail =
                        format!("Checked value must be of type integer with format {name} (range overflow)");
                    self.errors.push(FieldError::type_invalid(show(at), value.clone(), detail));
                }
            }
            (format, Value::String(text)) if !format.accepts(text) => {
                let (path, name) = (show(at), format.name());
                let detail = format!("{path} in body must be of type {name}: {}", wire::quote(text));
                self.errors.push(FieldError::type_invalid(path, text.as_str(), detail));
            }
            _ => {}
        }
    }

    fn wrong_type(&mut self, at: At<'_, '_>, expected: &str, found: &str) {
        let path = show(at);
        let detail = format!("{path} in body must be of type {expected}: {}", wire::quote(found));
        self.errors.push(FieldError::type_invalid(path, found, detail));
    }

    fn invalid(&mut self, at: At<'_, '_>, value: Value, what: &str) {
        let path = show(at);
        let detail = format!("{path} in body {what}");
        self.errors.push(FieldError::invalid(path, value, detail));
    }
}

/// Runs the rules of every node that has some. Only items of associative lists can be compared with what they
/// were: of other lists nobody knows which item is which.
fn apply_rules(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    at: At<'_, '_>,
    errors: &mut Vec<FieldError>,
) {
    if !schema.ruled || value.is_null() {
        return;
    }
    rules::check(schema, value, old.filter(|old| !old.is_null()), &|| show(at), errors);
    match value {
        Value::Object(fields) => {
            for (name, child) in fields {
                let before = old.and_then(|old| old.get(name));
                if let Some(inner) = schema.field(name) {
                    apply_rules(inner.schema(), child, before, Some(&field(at, name)), errors);
                } else if let Some(values) = schema.values() {
                    let path = at.map_or(Path::root(name), |path| path.key(name));
                    apply_rules(values, child, before, Some(&path), errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(inner) = schema.items() else { return };
            let old = old.and_then(Value::as_array);
            let list = at.copied().unwrap_or(Path::root(""));
            for (index, child) in items.iter().enumerate() {
                let before = old.and_then(|old| counterpart(schema, child, old));
                let path = list.index(index);
                apply_rules(inner, child, before, Some(&path), errors);
            }
        }
        _ => {}
    }
}

/// What an item of an associative list was before.
fn counterpart<'a>(schema: &Schema, item: &Value, old: &'a [Value]) -> Option<&'a Value> {
    let ListType::Map(names) = &schema.list else { return None };
    let wanted = keys(schema, names, item);
    old.iter().find(|candidate| keys(schema, names, candidate) == wanted)
}

/// The key fields of an item, defaults filled in.
fn keys(schema: &Schema, names: &[Box<str>], item: &Value) -> Map<String, Value> {
    let mut out = Map::new();
    for name in names {
        let default = || schema.items().and_then(|items| items.child(name)).and_then(Schema::default_value);
        if let Some(value) = item.get(&**name).or_else(default) {
            out.insert(name.to_string(), value.clone());
        }
    }
    out
}

fn fits(kind: Kind, value: &Value) -> bool {
    let whole = |value: &Value| match value.as_f64() {
        Some(number) => number.fract() == 0.0,
        None => false,
    };
    match kind {
        Kind::Any => true,
        Kind::Object => value.is_object(),
        Kind::Array => value.is_array(),
        Kind::String => value.is_string(),
        Kind::Integer => whole(value),
        Kind::Number => value.is_number(),
        Kind::Boolean => value.is_boolean(),
        Kind::IntOrString => value.is_string() || whole(value),
        Kind::Quantity => value.is_string() || value.is_number(),
    }
}

fn found_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
