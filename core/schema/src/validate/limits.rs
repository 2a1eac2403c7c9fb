//! Bounds, patterns, enumerations and branches.

use serde_json::Value;
use wire::{FieldError, field::ErrorKind};

use super::{At, Walk, show};
use crate::node::{Limits, Link, Schema};

// === impl Walk ===

impl Walk {
    pub(super) fn limits(&mut self, schema: &Schema, value: &Value, at: At<'_, '_>) {
        let Some(limits) = schema.limits.as_deref() else { return };
        if let Some(choices) = &limits.choices
            && !choices.contains(value)
        {
            let words: Vec<String> = choices.iter().map(plain).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.errors.push(FieldError::not_supported(show(at), value.clone(), &words));
        }
        match value {
            Value::Number(number) => self.number(limits, value, number.as_f64().unwrap_or_default(), at),
            Value::String(text) => self.text(limits, text, at),
            Value::Array(items) => self.size(items.len(), limits.min_items, limits.max_items, "items", at),
            Value::Object(fields) => {
                self.size(fields.len(), limits.min_properties, limits.max_properties, "properties", at);
            }
            _ => {}
        }
        self.branches(limits, value, at);
    }

    fn number(&mut self, limits: &Limits, value: &Value, number: f64, at: At<'_, '_>) {
        if let Some(minimum) = limits.minimum {
            let below = if limits.exclusive_minimum { number <= minimum } else { number < minimum };
            if below {
                let words =
                    if limits.exclusive_minimum { "greater than" } else { "greater than or equal to" };
                self.invalid(at, value.clone(), &format!("should be {words} {minimum}"));
            }
        }
        if let Some(maximum) = limits.maximum {
            let above = if limits.exclusive_maximum { number >= maximum } else { number > maximum };
            if above {
                let words = if limits.exclusive_maximum { "less than" } else { "less than or equal to" };
                self.invalid(at, value.clone(), &format!("should be {words} {maximum}"));
            }
        }
        if let Some(unit) = limits.multiple_of.filter(|unit| *unit > 0.0 && (number / unit).fract() != 0.0) {
            self.invalid(at, value.clone(), &format!("should be a multiple of {unit}"));
        }
    }

    fn text(&mut self, limits: &Limits, text: &str, at: At<'_, '_>) {
        let length = || text.chars().count();
        if let Some(max) = limits.max_length.filter(|max| length() > *max) {
            self.errors.push(FieldError::too_long(show(at), max));
        }
        if let Some(min) = limits.min_length.filter(|min| length() < *min) {
            self.invalid(at, text.into(), &format!("should be at least {min} chars long"));
        }
        if let Some(pattern) = limits.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
            self.invalid(at, text.into(), &format!("should match '{}'", pattern.text));
        }
    }

    fn size(&mut self, size: usize, min: Option<usize>, max: Option<usize>, unit: &str, at: At<'_, '_>) {
        if let Some(max) = max.filter(|max| size > *max) {
            self.errors.push(FieldError::too_many(show(at), size, max));
        }
        if let Some(min) = min.filter(|min| size < *min) {
            self.invalid(at, size.into(), &format!("should have at least {min} {unit}"));
        }
    }

    fn branches(&mut self, limits: &Limits, value: &Value, at: At<'_, '_>) {
        let fails = |link: &Link| !errors_of(link, value, at).is_empty();
        for branch in &limits.all_of {
            self.errors.extend(errors_of(branch, value, at));
        }
        if !limits.any_of.is_empty() && limits.any_of.iter().all(fails) {
            self.branch_error(at, value, "must validate at least one schema (anyOf)");
        }
        if !limits.one_of.is_empty() && limits.one_of.iter().filter(|branch| !fails(branch)).count() != 1 {
            self.branch_error(at, value, "must validate one and only one schema (oneOf)");
        }
        if limits.not.as_ref().is_some_and(|branch| !fails(branch)) {
            self.branch_error(at, value, "must not validate the schema (not)");
        }
    }

    /// These messages show no value, only its place.
    fn branch_error(&mut self, at: At<'_, '_>, value: &Value, what: &str) {
        let path = show(at);
        let detail = format!("{} {what}", wire::quote(&path));
        let value = if value.is_object() || value.is_array() { Value::from("") } else { value.clone() };
        self.errors.push(FieldError { kind: ErrorKind::Invalid, path, value: Some(value), detail });
    }
}

/// What one branch has to say. A branch holds constraints only, so an absent type accepts anything.
fn errors_of(branch: &Link, value: &Value, at: At<'_, '_>) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), types_only: false };
    walk.node(branch.get(), value, None, at);
    walk.errors
}

/// A value as a list of choices shows it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
