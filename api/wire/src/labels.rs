//! Label selectors, in their three forms: `a=b,c in (d,e),!f`, `matchLabels`/`matchExpressions`, and plain maps.

use std::fmt;

use serde_json::{Map, Value};

mod parse;

#[cfg(test)]
mod tests;

/// All requirements must hold. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    nothing: bool,
    requirements: Vec<Requirement>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what; sorted and unique.
    pub values: Vec<String>,
}

/// How a label is compared. `NotIn` also holds when the label is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// One of the values; also written `=` and `==`.
    In,
    /// None of the values; also written `!=`.
    NotIn,
    /// Present.
    Exists,
    /// Missing.
    DoesNotExist,
    /// An integer above the value.
    GreaterThan,
    /// An integer below the value.
    LessThan,
}

impl LabelSelector {
    /// Selects nothing: what an absent selector of an object means.
    pub fn nothing() -> LabelSelector {
        LabelSelector { nothing: true, requirements: Vec::new() }
    }

    /// Reads the string form; empty selects everything.
    ///
    /// # Errors
    /// The text of Kubernetes' parser.
    pub fn parse(text: &str) -> Result<LabelSelector, String> {
        let mut requirements = parse::requirements(text)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { nothing: false, requirements })
    }

    /// Reads the object form (`matchLabels`, `matchExpressions`). Absent or null selects nothing, empty everything.
    ///
    /// # Errors
    /// When an operator is unknown or has the wrong number of values.
    pub fn from_value(selector: Option<&Value>) -> Result<LabelSelector, String> {
        let Some(selector) = selector.filter(|s| !s.is_null()) else { return Ok(LabelSelector::nothing()) };
        let mut requirements = Vec::new();
        if let Some(labels) = selector.get("matchLabels").and_then(Value::as_object) {
            requirements.extend(LabelSelector::from_map(labels).requirements);
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            requirements.push(expression_requirement(expression)?);
        }
        Ok(LabelSelector { nothing: false, requirements })
    }

    /// Each label of the map must have its value (the selector of a Service); an empty map selects everything.
    pub fn from_map(labels: &Map<String, Value>) -> LabelSelector {
        let requirement = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.as_str().unwrap_or_default().to_owned()],
        };
        LabelSelector { nothing: false, requirements: labels.iter().map(requirement).collect() }
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The conditions.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether labels, given by a look-up, satisfy every requirement.
    pub fn matches<'v>(&self, label: impl Fn(&str) -> Option<&'v str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(label(&r.key)))
    }

    /// Whether the labels of a JSON map satisfy every requirement.
    pub fn matches_map(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.matches(|key| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str))
    }

    /// Whether an object's `metadata.labels` satisfy every requirement.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches_map(object.pointer("/metadata/labels").and_then(Value::as_object))
    }

    /// The one value the selector allows for a label, if it names one.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let found = self.requirements.iter().find(|r| r.key == key && r.operator == Operator::In)?;
        match found.values.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

impl Requirement {
    fn matches(&self, label: Option<&str>) -> bool {
        let has = |value: &str| self.values.iter().any(|v| v == value);
        let compare = |holds: fn(i64, i64) -> bool| {
            let value = label.and_then(|l| l.parse().ok());
            let bound = self.values.first().and_then(|v| v.parse().ok());
            matches!((value, bound), (Some(value), Some(bound)) if holds(value, bound))
        };
        match self.operator {
            Operator::In => label.is_some_and(has),
            Operator::NotIn => !label.is_some_and(has),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => compare(|value, bound| value > bound),
            Operator::LessThan => compare(|value, bound| value < bound),
        }
    }
}

/// The string form. One value prints with `=`, more with `in (...)`.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, r) in self.requirements.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            let values = r.values.join(",");
            match (r.operator, r.values.len()) {
                (Operator::In, 1) => write!(f, "{}={values}", r.key)?,
                (Operator::In, _) => write!(f, "{} in ({values})", r.key)?,
                (Operator::NotIn, 1) => write!(f, "{}!={values}", r.key)?,
                (Operator::NotIn, _) => write!(f, "{} notin ({values})", r.key)?,
                (Operator::Exists, _) => write!(f, "{}", r.key)?,
                (Operator::DoesNotExist, _) => write!(f, "!{}", r.key)?,
                (Operator::GreaterThan, _) => write!(f, "{}>{values}", r.key)?,
                (Operator::LessThan, _) => write!(f, "{}<{values}", r.key)?,
            }
        }
        Ok(())
    }
}

fn expression_requirement(expression: &Value) -> Result<Requirement, String> {
    let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
    let operator = match text("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(format!("{} is not a valid label selector operator", crate::quote(other))),
    };
    let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
    let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
    parse::requirement(text("key").to_owned(), operator, values)
}
