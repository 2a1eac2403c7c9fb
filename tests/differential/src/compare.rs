//! Where two answers differ.

use serde_json::{Value, json};

use crate::play::Answer;

/// One place at which the servers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The cell.
    pub cell: String,
    /// The step, as the table writes it.
    pub step: String,
    /// `code`, `media`, `warnings`, or a path into the body: `body/metadata/name`.
    pub path: String,
    /// What the embedded server says; null when nothing.
    pub ours: Value,
    /// What the real one says.
    pub real: Value,
}

/// The differences of one cell's answers.
pub fn cell(name: &str, ours: &[Answer], real: &[Answer]) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |step: &str, path: &str, ours: &Value, real: &Value| {
        let (cell, step, path) = (name.to_owned(), step.to_owned(), path.to_owned());
        found.push(Difference { cell, step, path, ours: ours.clone(), real: real.clone() });
    };
    if ours.len() != real.len() {
        add("", "steps", &ours.len().into(), &real.len().into());
    }
    for (ours, real) in ours.iter().zip(real) {
        let step = &real.step;
        if ours.code != real.code {
            add(step, "code", &ours.code.into(), &real.code.into());
        }
        if ours.media != real.media {
            add(step, "media", &json!(ours.media), &json!(real.media));
        }
        if ours.warnings != real.warnings {
            add(step, "warnings", &json!(ours.warnings), &json!(real.warnings));
        }
        values("body", &ours.body, &real.body, &mut |path, ours, real| add(step, path, ours, real));
    }
    found
}

fn values(path: &str, ours: &Value, real: &Value, add: &mut dyn FnMut(&str, &Value, &Value)) {
    match (ours, real) {
        _ if ours == real => {}
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                values(&format!("{path}/{key}"), &ours[key], &real[key], add);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (ours, real)) in a.iter().zip(b).enumerate() {
                values(&format!("{path}/{at}"), ours, real, add);
            }
        }
        _ => add(path, ours, real),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_their_place() {
        let answer = |code: u16, body: Value| Answer {
            step: "GET {item}".to_owned(),
            code,
            media: "application/json".to_owned(),
            warnings: Vec::new(),
            body,
        };
        let ours = [answer(200, json!({"a": [1, {"b": 2}], "c": 1}))];
        let real = [answer(201, json!({"a": [1, {"b": 3}], "d": null}))];
        let found = cell("get/plain/pods", &ours, &real);
        let paths: Vec<&str> = found.iter().map(|found| found.path.as_str()).collect();
        assert_eq!(paths, ["code", "body/a/1/b", "body/c"]);
        assert!(cell("x", &ours, &ours).is_empty());
    }
}
