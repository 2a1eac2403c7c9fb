//! Errors about one field of an object, printed exactly as Kubernetes prints them.
//!
//! `spec.containers[0].name: Required value`, `spec.replicas: Invalid value: -1: must be ...`: clients match on
//! these texts, and the same data goes into `Status.details.causes`.

use std::fmt::{self, Display};

use serde_json::Value;

use crate::golang;

/// Where a field is, as a chain of borrowed steps: nothing is allocated unless an error is printed.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

/// What is wrong with a field. The names are those of `Status.details.causes[].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A value that the field refers to does not exist.
    NotFound,
    /// No value where one is needed.
    Required,
    /// A value that must be unique occurs twice.
    Duplicate,
    /// A malformed value.
    Invalid,
    /// A value outside the field's enumeration.
    NotSupported,
    /// A well-formed value that is not allowed here.
    Forbidden,
    /// More bytes or characters than allowed; the value is not shown.
    TooLong,
    /// More items than allowed.
    TooMany,
    /// Fewer items than needed.
    TooFew,
    /// Not the client's fault.
    Internal,
    /// A value of another JSON type.
    TypeInvalid,
    /// Fewer bytes than needed.
    TooShort,
}

/// One field error. Prints as `<path>: <body>`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where, as Kubernetes writes it (`spec.ports[0].name`, `metadata.labels[a/b]`).
    pub path: String,
    /// The offending value; `None` where Kubernetes omits it.
    pub value: Option<Value>,
    /// More words, or empty.
    pub detail: String,
}

/// The text of several errors: one bare, more in brackets, repeats once (Go's aggregate error).
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

// === impl Path ===

impl<'a> Path<'a> {
    /// A path of one name.
    pub const fn root(name: &'a str) -> Self {
        Path { parent: None, step: Step::Name(name) }
    }

    /// A field of this one.
    pub const fn child(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Name(name) }
    }

    /// An item of this list.
    pub const fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// An entry of this map.
    pub const fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Name(name) if self.parent.is_some() => write!(f, ".{name}"),
            Step::Name(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

// === impl ErrorKind ===

impl ErrorKind {
    /// The machine-readable reason in a cause.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "FieldValueNotFound",
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::Invalid => "FieldValueInvalid",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::TooFew => "FieldValueTooFew",
            ErrorKind::Internal => "InternalError",
            ErrorKind::TypeInvalid => "FieldValueTypeInvalid",
            ErrorKind::TooShort => "FieldValueTooShort",
        }
    }

    fn words(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "Not found",
            ErrorKind::Required => "Required value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::Invalid | ErrorKind::TypeInvalid => "Invalid value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooMany => "Too many",
            ErrorKind::TooFew => "Too few",
            ErrorKind::Internal => "Internal error",
            ErrorKind::TooShort => "Too short",
        }
    }
}

// === impl FieldError ===

impl FieldError {
    fn new(kind: ErrorKind, path: impl Display, value: Option<Value>, detail: impl Into<String>) -> Self {
        FieldError { kind, path: path.to_string(), value, detail: detail.into() }
    }

    /// `path: Required value[: detail]`.
    pub fn required(path: impl Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, path, None, detail)
    }

    /// `path: Invalid value: <value>: detail`.
    pub fn invalid(path: impl Display, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, Some(value.into()), detail)
    }

    /// Like [`FieldError::invalid`], with the cause reason of a wrong JSON type.
    pub fn type_invalid(path: impl Display, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TypeInvalid, path, Some(value.into()), detail)
    }

    /// `path: Unsupported value: <value>: supported values: "A", "B"`, in the order given.
    pub fn not_supported(path: impl Display, value: impl Into<Value>, valid: &[&str]) -> Self {
        let detail = if valid.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = valid.iter().map(|v| golang::quote(v)).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorKind::NotSupported, path, Some(value.into()), detail)
    }

    /// `path: Duplicate value: <value>`.
    pub fn duplicate(path: impl Display, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::Duplicate, path, Some(value.into()), "")
    }

    /// `path: Forbidden: detail`.
    pub fn forbidden(path: impl Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, path, None, detail)
    }

    /// `path: Not found: <value>`.
    pub fn not_found(path: impl Display, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::NotFound, path, Some(value.into()), "")
    }

    /// `path: Too long: may not be more than <max> bytes`.
    pub fn too_long(path: impl Display, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(ErrorKind::TooLong, path, None, format!("may not be more than {max} {unit}"))
    }

    /// `path: Too many: <actual>: must have at most <max> items`.
    pub fn too_many(path: impl Display, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new(ErrorKind::TooMany, path, Some(actual.into()), format!("must have at most {max} {unit}"))
    }

    /// `path: Internal error: detail`.
    pub fn internal(path: impl Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, path, None, detail)
    }

    /// The text without the path, as causes carry it.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if let Some(value) = &self.value {
            text.push_str(": ");
            text.push_str(&golang::show(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for FieldError {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The texts are those of apimachinery's `field.Error`.
    #[test]
    fn errors_print_as_kubernetes_prints_them() {
        let spec = Path::root("spec");
        let containers = spec.child("containers");
        let first = containers.index(0);
        let labels = Path::root("metadata");
        let cases = [
            (FieldError::required(first.child("name"), ""), "spec.containers[0].name: Required value"),
            (FieldError::invalid("a", -1, "too low"), "a: Invalid value: -1: too low"),
            (FieldError::invalid("a", "x", "no"), "a: Invalid value: \"x\": no"),
            (FieldError::invalid("a", json!({"b": [1]}), "no"), "a: Invalid value: {\"b\":[1]}: no"),
            (
                FieldError::not_supported("a", "X", &["A", "B"]),
                "a: Unsupported value: \"X\": supported values: \"A\", \"B\"",
            ),
            (FieldError::duplicate("a", "x"), "a: Duplicate value: \"x\""),
            (
                FieldError::not_found(first.child("m").index(1), "d"),
                "spec.containers[0].m[1]: Not found: \"d\"",
            ),
            (FieldError::forbidden(labels.key("a/b"), "no"), "metadata[a/b]: Forbidden: no"),
            (FieldError::too_long("a", 128), "a: Too long: may not be more than 128 bytes"),
            (FieldError::too_many("a", 3, 1), "a: Too many: 3: must have at most 1 item"),
        ];
        for (error, want) in cases {
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn several_errors_stand_in_brackets_and_repeats_appear_once() {
        let one = FieldError::required("a", "");
        let two = FieldError::required("b", "");
        assert_eq!(aggregate(std::slice::from_ref(&one)), "a: Required value");
        assert_eq!(aggregate(&[one.clone(), two, one]), "[a: Required value, b: Required value]");
    }
}
