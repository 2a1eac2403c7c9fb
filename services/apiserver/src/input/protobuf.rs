//! Bodies in Kubernetes' protobuf: kubectl and Go controllers send built-in kinds so.
//!
//! Decoded straight to JSON by field numbers (`data/protobuf.txt`). Go writes every field that is not optional, zero or
//! not; a zero is dropped unless the field is optional, which is what its JSON form would have said.
//!
//! **Invariant:** any bytes give a value or an error: lengths are checked and depth is bounded.

use std::{collections::HashMap, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What Kubernetes' protobuf bodies begin with.
const MAGIC: &[u8] = b"k8s\0";
const ENVELOPE: &str = "runtime.Unknown";
const MAX_DEPTH: usize = 64;
const TABLE: &str = include_str!("../../data/protobuf.txt");

static MESSAGES: LazyLock<HashMap<&str, HashMap<u64, Field>>> = LazyLock::new(read_table);

type Decoded<T> = Result<T, String>;

/// One field of a message.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    kind: &'static str,
    optional: bool,
    inlined: bool,
    repeated: bool,
    map: bool,
}

/// A value as it stands in the bytes.
enum Raw<'a> {
    Number(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

/// Reads a body: an object with `apiVersion` and `kind`.
pub(super) fn parse(body: &[u8]) -> Decoded<Value> {
    let body = body.strip_prefix(MAGIC).ok_or("provided data does not appear to be a protobuf message")?;
    let mut envelope = Map::new();
    let mut reader = body;
    let mut raw: &[u8] = &[];
    while !reader.is_empty() {
        match next(&mut reader)? {
            (1, Raw::Bytes(bytes)) => envelope = message("runtime.TypeMeta", bytes, 0)?,
            (2, Raw::Bytes(bytes)) => raw = bytes,
            (3, Raw::Bytes(encoding)) if !encoding.is_empty() => {
                return Err(format!("{ENVELOPE} is compressed"));
            }
            _ => {}
        }
    }
    let text = |key: &str| envelope.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let name =
        message_name(&api_version, &kind).ok_or_else(|| format!("no kind {kind:?} in {api_version:?}"))?;
    let mut fields = message(name, raw, 0)?;
    fields.insert("apiVersion".to_owned(), api_version.into());
    fields.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(fields))
}

/// The message of a kind: `networking.k8s.io/v1 NetworkPolicy` is `networking.NetworkPolicy`.
fn message_name(api_version: &str, kind: &str) -> Option<&'static str> {
    let group = api_version.split_once('/').map_or("core", |(group, _)| group);
    let package = group.split('.').next().unwrap_or_default();
    let find = |name: String| MESSAGES.get_key_value(name.as_str()).map(|(name, _)| *name);
    find(format!("{package}.{kind}")).or_else(|| find(format!("meta.{kind}")))
}

fn message(name: &str, mut bytes: &[u8], depth: usize) -> Decoded<Map<String, Value>> {
    if depth > MAX_DEPTH {
        return Err("nested too deeply".to_owned());
    }
    let known = MESSAGES.get(name).ok_or_else(|| format!("no message {name:?}"))?;
    let mut out = Map::new();
    while !bytes.is_empty() {
        let (number, raw) = next(&mut bytes)?;
        let Some(field) = known.get(&number) else { continue };
        put(&mut out, field, raw, depth)?;
    }
    Ok(out)
}

fn put(out: &mut Map<String, Value>, field: &Field, raw: Raw<'_>, depth: usize) -> Decoded<()> {
    if field.map {
        let Raw::Bytes(bytes) = raw else { return Err(mismatch(field)) };
        let (key, value) = map_entry(field, bytes, depth)?;
        let map = out.entry(field.name).or_insert_with(|| json!({}));
        map.as_object_mut().ok_or_else(|| mismatch(field))?.insert(key, value);
        return Ok(());
    }
    if field.repeated {
        let values = if let (&Raw::Bytes(bytes), "i" | "b") = (&raw, field.kind) {
            let mut packed = bytes;
            let mut values = Vec::new();
            while !packed.is_empty() {
                values.push(scalar(field, Raw::Number(varint(&mut packed)?), depth)?);
            }
            values
        } else {
            vec![scalar(field, raw, depth)?]
        };
        let list = out.entry(field.name).or_insert_with(|| json!([]));
        list.as_array_mut().ok_or_else(|| mismatch(field))?.extend(values);
        return Ok(());
    }
    match scalar(field, raw, depth)? {
        Value::Object(fields) if field.inlined => out.extend(fields),
        value if field.optional || !is_zero(&value) => drop(out.insert(field.name.to_owned(), value)),
        _ => {}
    }
    Ok(())
}

fn map_entry(field: &Field, mut bytes: &[u8], depth: usize) -> Decoded<(String, Value)> {
    let (mut key, mut value) = (String::new(), None);
    while !bytes.is_empty() {
        match next(&mut bytes)? {
            (1, Raw::Bytes(bytes)) => key = text(bytes)?,
            (2, raw) => value = Some(scalar(field, raw, depth)?),
            _ => {}
        }
    }
    let empty = || scalar(field, Raw::Bytes(&[]), depth);
    value.map_or_else(empty, Ok).map(|value| (key, value))
}

fn scalar(field: &Field, raw: Raw<'_>, depth: usize) -> Decoded<Value> {
    match (field.kind, raw) {
        ("s", Raw::Bytes(bytes)) => text(bytes).map(Value::String),
        ("y", Raw::Bytes(bytes)) => Ok(BASE64_STANDARD.encode(bytes).into()),
        ("b", Raw::Number(number)) => Ok((number != 0).into()),
        ("i", Raw::Number(number)) => Ok(number.cast_signed().into()),
        ("d", Raw::Double(number)) => Ok(number.into()),
        (name, Raw::Bytes(bytes)) if name.len() > 1 => special(name, bytes, depth + 1),
        _ => Err(mismatch(field)),
    }
}

/// A message, or what stands for it in JSON.
fn special(name: &str, bytes: &[u8], depth: usize) -> Decoded<Value> {
    let mut fields = message(name, bytes, depth)?;
    let integer = |key: &str| fields.get(key).and_then(Value::as_i64).unwrap_or(0);
    match name {
        "meta.Time" | "meta.MicroTime" | "meta.Timestamp" => {
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            let nanos = i32::try_from(integer("nanos")).map_err(|error| error.to_string())?;
            let time = Timestamp::new(integer("seconds"), nanos).map_err(|error| error.to_string())?;
            let micro = name == "meta.MicroTime";
            Ok(if micro { wire::time::micros(time) } else { wire::time::seconds(time) }.into())
        }
        "meta.Duration" => Ok(integer("duration").into()),
        "resource.Quantity" | "resource.QuantityValue" => {
            Ok(fields.remove("string").unwrap_or_else(|| "0".into()))
        }
        "intstr.IntOrString" if integer("type") == 1 => {
            Ok(fields.remove("strVal").unwrap_or_else(|| "".into()))
        }
        "intstr.IntOrString" => Ok(integer("intVal").into()),
        "runtime.RawExtension" | "meta.FieldsV1" => {
            let raw = fields.remove("raw").or_else(|| fields.remove("Raw")).unwrap_or_default();
            let bytes = BASE64_STANDARD.decode(raw.as_str().unwrap_or_default()).unwrap_or_default();
            serde_json::from_slice(&bytes).map_err(|error| error.to_string())
        }
        _ if is_list(name) => Ok(fields.remove("items").unwrap_or_else(|| json!([]))),
        _ => Ok(Value::Object(fields)),
    }
}

/// Go's named lists of strings: a message with nothing but `items`.
fn is_list(name: &str) -> bool {
    let fields = MESSAGES.get(name).map(|fields| fields.values().map(|field| field.name).collect::<Vec<_>>());
    fields.is_some_and(|fields| fields == ["items"])
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn mismatch(field: &Field) -> String {
    format!("field {} has another wire type", field.name)
}

fn text(bytes: &[u8]) -> Decoded<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| error.to_string())
}

/// The next field's number and value.
fn next<'a>(bytes: &mut &'a [u8]) -> Decoded<(u64, Raw<'a>)> {
    let tag = varint(bytes)?;
    let raw = match tag & 7 {
        0 => Raw::Number(varint(bytes)?),
        1 => Raw::Double(f64::from_le_bytes(take(bytes, 8)?.try_into().map_err(|_| "unexpected EOF")?)),
        2 => {
            let length = usize::try_from(varint(bytes)?).map_err(|error| error.to_string())?;
            Raw::Bytes(take(bytes, length)?)
        }
        5 => Raw::Bytes(take(bytes, 4)?),
        other => return Err(format!("illegal wireType {other}")),
    };
    Ok((tag >> 3, raw))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Decoded<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length).ok_or("unexpected EOF")?;
    *bytes = rest;
    Ok(head)
}

fn varint(bytes: &mut &[u8]) -> Decoded<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("integer overflow".to_owned())
}

fn read_table() -> HashMap<&'static str, HashMap<u64, Field>> {
    let mut messages = HashMap::new();
    let mut current = "";
    for line in TABLE.lines() {
        if let Some(name) = line.strip_prefix('=') {
            current = name;
            messages.insert(name, HashMap::new());
            continue;
        }
        let mut parts = line.split(' ');
        let (Some(number), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let flag =
            |flag: char| kind.trim_end_matches(|c: char| c.is_alphanumeric() || c == '.').contains(flag);
        let field = Field {
            name,
            kind: kind.trim_start_matches(['?', '~', '*', '{']),
            optional: flag('?'),
            inlined: flag('~'),
            repeated: flag('*'),
            map: flag('{'),
        };
        if let (Ok(number), Some(fields)) = (number.parse(), messages.get_mut(current)) {
            fields.insert(number, field);
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_give_a_value_or_an_error() {
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    seed.to_le_bytes()[5]
                })
                .collect();
            drop(message("core.Pod", &bytes, 0));
            drop(parse(&[MAGIC, &bytes].concat()));
        }
    }

    // Fact: a namespace as `kubectl create namespace n` sends it.
    #[test]
    fn a_namespace_is_read_and_its_zeros_are_not() {
        let mut body = MAGIC.to_vec();
        body.extend_from_slice(
            b"\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x17\x0a\x11\x0a\x01n\x12\x00\x1a\x00\x22\x00",
        );
        body.extend_from_slice(b"\x2a\x00\x32\x00\x38\x00\x42\x00\x12\x00\x1a\x00\x1a\x00\x22\x00");
        // The lengths above are exact; what follows the raw part belongs to the envelope.
        let value = parse(&body).unwrap();
        assert_eq!(value, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}));
    }
}
