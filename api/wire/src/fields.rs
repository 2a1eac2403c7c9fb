//! Field selectors: `status.phase=Running,spec.nodeName!=`.
//!
//! Which fields a kind knows is not decided here: the matcher asks for them by name.

use std::borrow::Cow;
use std::fmt;

/// All terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// The terms.
    pub terms: Vec<Term>,
}

/// One comparison of a field with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Name of the field.
    pub field: String,
    /// What it is compared with.
    pub value: String,
    /// Whether it must differ.
    pub negated: bool,
}

impl FieldSelector {
    /// Reads a selector; empty selects everything.
    ///
    /// # Errors
    /// The text of Kubernetes' parser.
    pub fn parse(text: &str) -> Result<FieldSelector, String> {
        let mut parts = split(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (field, negated, value) = operator(part)
                .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            let value = unescape(value)?;
            if field.is_empty() && value.is_empty() {
                continue;
            }
            terms.push(Term { field: field.to_owned(), value, negated });
        }
        Ok(FieldSelector { terms })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether all terms hold; `field` gives a field's text, and a missing field reads as empty.
    pub fn matches<'v>(&self, field: impl Fn(&str) -> Option<Cow<'v, str>>) -> bool {
        self.terms.iter().all(|term| {
            let actual = field(&term.field);
            (actual.as_deref().unwrap_or("") == term.value) != term.negated
        })
    }

    /// The one value that the selector allows for a field, if it names one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.field == field && !term.negated).map(|term| term.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let operator = if term.negated { "!=" } else { "=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

/// Splits at commas that no backslash escapes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Field, whether negated, and the still escaped value.
fn operator(term: &str) -> Option<(&str, bool, &str)> {
    for (index, _) in term.char_indices() {
        let rest = &term[index..];
        for (token, negated) in [("!=", true), ("==", false), ("=", false)] {
            if let Some(value) = rest.strip_prefix(token) {
                return Some((&term[..index], negated, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                next => {
                    let sequence: String = std::iter::once('\\').chain(next).collect();
                    return Err(format!("invalid field selector: invalid escape sequence: {sequence}"));
                }
            },
            ',' | '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                ));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_compare_with_missing_fields_as_empty() {
        let get = |name: &str| match name {
            "status.phase" => Some(Cow::Borrowed("Running")),
            _ => None,
        };
        for (text, want) in [
            ("", true),
            ("status.phase=Running", true),
            ("status.phase==Running,spec.nodeName=", true),
            ("status.phase!=Running", false),
            ("spec.nodeName!=", false),
            ("status.phase=Pending", false),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap().matches(get), want, "{text}");
        }
    }

    #[test]
    fn escapes_are_read_and_written() {
        let selector = FieldSelector::parse(r"a=b\,c\=d\\").unwrap();
        assert_eq!(selector.exact("a"), Some(r"b,c=d\"));
        assert_eq!(selector.to_string(), r"a=b\,c\=d\\");
    }

    #[test]
    fn bad_selectors_are_refused_in_kubernetes_words() {
        for (text, want) in [
            ("foo", "invalid selector: 'foo'; can't understand 'foo'"),
            (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap_err(), want);
        }
    }
}
