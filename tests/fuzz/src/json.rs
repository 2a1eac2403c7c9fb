//! JSON out of bytes: each byte decides something, so that a small change of the bytes is a small change of the value.

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

/// Deeper values are for the readers of JSON text, which bound the depth.
const DEPTH: usize = 6;
const WIDTH: usize = 6;

/// A value whose objects have fields of these names, and now and then others. Strings are taken from them too.
pub(crate) fn value(input: &mut Unstructured<'_>, names: &[&str]) -> Result<Value> {
    node(input, names, DEPTH)
}

fn node(input: &mut Unstructured<'_>, names: &[&str], depth: usize) -> Result<Value> {
    let kinds = if depth == 0 { 7 } else { 11 };
    Ok(match input.int_in_range(0..=kinds - 1)? {
        0 => Value::Null,
        1 => input.arbitrary::<bool>()?.into(),
        2 => input.arbitrary::<i8>()?.into(),
        3 => input.arbitrary::<i64>()?.into(),
        4 => json!(input.arbitrary::<f32>()?),
        5 => (*input.choose(names)?).into(),
        6 => text(input)?.into(),
        7 | 8 => {
            let length = input.int_in_range(0..=WIDTH)?;
            (0..length).map(|_| node(input, names, depth - 1)).collect::<Result<_>>()?
        }
        _ => object(input, names, depth - 1)?.into(),
    })
}

fn object(input: &mut Unstructured<'_>, names: &[&str], depth: usize) -> Result<Map<String, Value>> {
    let mut fields = Map::new();
    for _ in 0..input.int_in_range(0..=WIDTH)? {
        let name = if input.ratio(1, 16)? { text(input)? } else { (*input.choose(names)?).to_owned() };
        fields.insert(name, node(input, names, depth)?);
    }
    Ok(fields)
}

/// A short text of any characters.
pub(crate) fn text(input: &mut Unstructured<'_>) -> Result<String> {
    let length = input.int_in_range(0..=12)?;
    Ok(String::from_utf8_lossy(input.bytes(input.len().min(length))?).into_owned())
}
