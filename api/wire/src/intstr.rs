//! A number or a string, as ports and rolling-update bounds are written.

use std::fmt;

use serde_json::Value;

/// `IntOrString`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A port name, or a percentage.
    String(String),
}

impl IntOrString {
    /// From a JSON number or string; `None` for any other value or a number outside 32 bits.
    pub fn from_value(value: &Value) -> Option<IntOrString> {
        match value {
            Value::Number(number) => {
                number.as_i64().and_then(|n| i32::try_from(n).ok()).map(IntOrString::Int)
            }
            Value::String(text) => Some(IntOrString::String(text.clone())),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_int(&self) -> Option<i32> {
        match self {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(_) => None,
        }
    }

    /// A percentage scaled to `total` (rounded up or down), or the number itself. `None` when the string is not
    /// a whole percentage.
    pub fn scaled(&self, total: i32, round_up: bool) -> Option<i32> {
        let text = match self {
            IntOrString::Int(number) => return Some(*number),
            IntOrString::String(text) => text,
        };
        let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
        let product = percent * i64::from(total);
        let scaled = if round_up { (product + 99).div_euclid(100) } else { product.div_euclid(100) };
        i32::try_from(scaled).ok()
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntOrString::Int(number) => number.fmt(f),
            IntOrString::String(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_numbers_and_strings_and_scales_percentages() {
        assert_eq!(IntOrString::from_value(&json!(80)), Some(IntOrString::Int(80)));
        assert_eq!(IntOrString::from_value(&json!("http")).unwrap().to_string(), "http");
        assert_eq!(IntOrString::from_value(&json!(5_000_000_000_i64)), None);
        let quarter = IntOrString::String("25%".to_owned());
        assert_eq!((quarter.scaled(10, true), quarter.scaled(10, false)), (Some(3), Some(2)));
        assert_eq!(IntOrString::String("x".to_owned()).scaled(10, true), None);
    }
}
