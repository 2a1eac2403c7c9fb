//! Printing of values as Go's `%q` and `encoding/json` do, which Kubernetes' messages are made with.

use serde_json::Value;

/// A string in double quotes with Go's escapes (`strconv.Quote`).
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A value's type, as Go's decoder names it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as field errors show it: scalars bare, strings quoted, anything else as JSON.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => html_safe(&value.to_string()),
    }
}

/// `encoding/json` writes `<`, `>` and `&` as escapes.
fn html_safe(json: &str) -> String {
    if !json.contains(['<', '>', '&']) {
        return json.to_owned();
    }
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The error text of `strconv.ParseInt` and `ParseUint` for `text`, or the number.
pub(crate) fn parse_int(function: &str, text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.{function}: parsing {}: {why}", quote(text))
    })
}

/// The number that `strconv.ParseUint` reads.
///
/// # Errors
/// Its error text.
pub fn parse_unsigned(text: &str) -> Result<u64, String> {
    text.parse::<u64>().map_err(|error| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseUint: parsing {}: {why}", quote(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quotes_as_go_does() {
        for (text, want) in [("a", r#""a""#), ("a\"b\\", r#""a\"b\\""#), ("\n\u{1}é", r#""\n\x01é""#)] {
            assert_eq!(quote(text), want);
        }
    }

    #[test]
    fn shows_scalars_bare_and_the_rest_as_json() {
        assert_eq!(show(&json!(-1)), "-1");
        assert_eq!(show(&json!(true)), "true");
        assert_eq!(show(&json!("x")), "\"x\"");
        assert_eq!(show(&json!({"a": "<b>"})), r#"{"a":"\u003cb\u003e"}"#);
    }

    #[test]
    fn integer_errors_read_as_in_go() {
        let error = parse_int("ParseInt", "ten").unwrap_err();
        assert_eq!(error, "strconv.ParseInt: parsing \"ten\": invalid syntax");
    }
}
