//! Writes a document as YAML, keys sorted, in the block style that people and `diff` read best.

use std::fmt::Write;

use serde_json::Value;

/// The text of one document, with its `---` line.
pub(super) fn document(value: &Value) -> String {
    let mut out = "---\n".to_owned();
    block(&mut out, value, 0, false);
    out
}

/// Writes a non-empty map or list. `inline` says that the first line is already begun, after a dash.
fn block(out: &mut String, value: &Value, indent: usize, mut inline: bool) {
    let mut lead = |out: &mut String| {
        if !std::mem::take(&mut inline) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
    };
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                lead(out);
                out.push_str(&scalar_text(key));
                out.push(':');
                // A list stands at the indentation of its key, as controller-gen and kubectl write it.
                let inner = if child.is_array() { indent } else { indent + 2 };
                entry(out, child, inner, "\n");
            }
        }
        Value::Array(items) => {
            for child in items {
                lead(out);
                out.push('-');
                entry(out, child, indent + 2, " ");
            }
        }
        other => scalar(out, other),
    }
}

/// Writes what stands after `key:` or `-`.
fn entry(out: &mut String, child: &Value, indent: usize, separator: &str) {
    let filled = match child {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if filled {
        out.push_str(separator);
        block(out, child, indent, separator == " ");
    } else {
        out.push(' ');
        scalar(out, child);
        out.push('\n');
    }
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => out.push_str(&scalar_text(text)),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// Text, quoted as JSON (which YAML reads) unless it is certain that no reader takes it for anything else.
fn scalar_text(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_./$".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$') && text.chars().all(word);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if plain && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn words_that_yaml_reads_otherwise_are_quoted() {
        let text = super::document(
            &json!({"a": ["True", "1", "x y", "v1"], "n": {"b": [{"c": 1, "d": {}}]}, "e": ""}),
        );
        let wanted = concat!(
            "---\na:\n- \"True\"\n- \"1\"\n- \"x y\"\n- v1\ne: \"\"\n",
            "\"n\":\n  b:\n  - c: 1\n    d: {}\n"
        );
        assert_eq!(text, wanted);
    }
}
