//! Takes out of answers what no two servers can say alike: uids, times, revisions, tokens, generated names, allocated addresses.
//!
//! Revisions of objects keep their order within a cell (`rv1`, `rv2`, ...), so that a write that should change nothing, or an
//! answer from before a write, still tells. Those of lists are only `revision`: others write at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use regex::{Captures, Regex};
use serde_json::Value;

use crate::play::Answer;

static UID: LazyLock<Regex> =
    LazyLock::new(|| pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
static TIME: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"));
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b10\.96\.\d{1,3}\.\d{1,3}\b"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b\d+\b"));
static CURRENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"current: \d+"));
static AGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d{1,2}s$"));
static EMBEDDED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(resourceVersion[\\": ]+)\d+"#));
static TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bey[\w-]+\.[\w-]+\.[\w-]+"));

/// What one cell's answers hold that is to be replaced.
#[derive(Default)]
struct Found {
    revisions: BTreeSet<u64>,
    uids: BTreeMap<String, usize>,
    generated: BTreeMap<String, String>,
}

/// Normalises the answers of one cell, whose own object has this name; `before` are those of its preparation.
pub fn normalise(answers: &mut [Answer], before: &[Answer], own: &str) {
    let mut found = Found::default();
    before.iter().chain(&*answers).for_each(|answer| found.gather(&answer.body, own));
    for answer in answers {
        let is_text = answer.body.is_string();
        found.replace(&mut answer.body, "", false);
        if is_text {
            // Lines of YAML have revisions as JSON has them.
            let text = answer.body.as_str().unwrap_or_default();
            answer.body = found.without_revisions(text).into();
        }
        for warning in &mut answer.warnings {
            *warning = found.text(warning);
        }
    }
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern that the tests have compiled")
}

/// Whether its revision is not that of one object.
fn is_collection(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    object["items"].is_array() || kind.ends_with("List") || kind == "Table"
}

// === impl Found ===

impl Found {
    fn gather(&mut self, value: &Value, own: &str) {
        match value {
            Value::String(text) => {
                for uid in UID.find_iter(text) {
                    let next = self.uids.len() + 1;
                    self.uids.entry(uid.as_str().to_owned()).or_insert(next);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.gather(value, own)),
            Value::Object(fields) => {
                self.gather_metadata(value, own);
                fields.values().for_each(|value| self.gather(value, own));
            }
            _ => {}
        }
    }

    fn gather_metadata(&mut self, object: &Value, own: &str) {
        let meta = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        if !is_collection(object)
            && let Ok(revision) = meta("resourceVersion").parse()
        {
            self.revisions.insert(revision);
        }
        let (name, prefix) = (meta("name"), meta("generateName"));
        if !prefix.is_empty() && name != own && name.starts_with(prefix) {
            self.generated.insert(name.to_owned(), format!("{prefix}<generated>"));
        }
    }

    fn replace(&self, value: &mut Value, key: &str, collection: bool) {
        match value {
            Value::String(text) => *value = self.string(text, key, collection).into(),
            Value::Number(_) if matches!(key, "nodePort" | "healthCheckNodePort") => *value = "<port>".into(),
            Value::Array(values) => values.iter_mut().for_each(|value| self.replace(value, key, false)),
            Value::Object(_) => {
                // No rows are `[]` or `null`, depending on whether a cache was asked.
                if value["kind"] == "Table" && value["rows"].is_null() {
                    value["rows"] = Value::Array(Vec::new());
                }
                let bookmark = value["type"] == "BOOKMARK";
                let own = is_collection(value);
                let fields = value.as_object_mut().into_iter().flatten();
                for (key, field) in fields {
                    match key.as_str() {
                        "object" if bookmark => self.replace(field, "bookmark", true),
                        "metadata" => self.replace(field, key, own || collection),
                        _ if key == "resourceVersion" => self.replace(field, key, collection),
                        _ => self.replace(field, key, false),
                    }
                }
            }
            _ => {}
        }
    }

    fn string(&self, text: &str, key: &str, collection: bool) -> String {
        match key {
            "resourceVersion" if text.is_empty() || text == "0" => text.to_owned(),
            "resourceVersion" if collection => "<revision>".to_owned(),
            "resourceVersion" => {
                text.parse().map_or_else(|_| text.to_owned(), |number| self.revision(number))
            }
            "continue" if !text.is_empty() => "<continue>".to_owned(),
            "cells" if AGE.is_match(text) => "<age>".to_owned(),
            _ => self.text(text),
        }
    }

    fn revision(&self, number: u64) -> String {
        let at = self.revisions.iter().position(|known| *known == number);
        at.map_or_else(|| "<revision>".to_owned(), |at| format!("<rv{}>", at + 1))
    }

    fn text(&self, text: &str) -> String {
        let uid = |found: &Captures<'_>| {
            self.uids.get(&found[0]).map_or("<uid>".to_owned(), |n| format!("<uid{n}>"))
        };
        let mut text = UID.replace_all(text, uid).into_owned();
        text = TIME
            .replace_all(&text, |t: &Captures<'_>| if t.get(1).is_some() { "<microtime>" } else { "<time>" })
            .into_owned();
        text = ADDRESS.replace_all(&text, "<address>").into_owned();
        text = CURRENT.replace_all(&text, "current: <revision>").into_owned();
        text = TOKEN.replace_all(&text, "<token>").into_owned();
        for (name, shown) in &self.generated {
            text = text.replace(name, shown);
        }
        text = sorted(&text);
        text = EMBEDDED.replace_all(&text, "${1}<revision>").into_owned();
        let is_message =
            ["recondition", "resource version", "resourceVersion"].iter().any(|word| text.contains(word));
        if is_message { self.without_revisions(&text) } else { text }
    }

    fn without_revisions(&self, text: &str) -> String {
        let known = |found: &Captures<'_>| match found[0].parse() {
            Ok(number) if number > 9 && self.revisions.contains(&number) => self.revision(number),
            _ => found[0].to_owned(),
        };
        NUMBER.replace_all(text, known).into_owned()
    }
}

/// A message with the JSON in it written in one order of keys: Go's structs have theirs, maps have none.
fn sorted(text: &str) -> String {
    let Some((head, rest)) = text.split_once("Invalid value: ") else { return text.to_owned() };
    for (end, _) in rest.match_indices(": ").collect::<Vec<_>>().into_iter().rev() {
        let (value, tail) = rest.split_at(end);
        let quoted = serde_json::from_str::<String>(value).ok();
        let inner = quoted.as_deref().unwrap_or(value);
        let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(inner) else {
            continue;
        };
        let shown =
            if quoted.is_some() { Value::from(json.to_string()).to_string() } else { json.to_string() };
        return format!("{head}Invalid value: {shown}{tail}");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn normal(bodies: &[Value]) -> Vec<Value> {
        let answer = |body: &Value| Answer {
            step: String::new(),
            code: 200,
            media: String::new(),
            warnings: Vec::new(),
            body: body.clone(),
        };
        let mut answers: Vec<Answer> = bodies.iter().map(answer).collect();
        normalise(&mut answers, &[], "it");
        answers.into_iter().map(|answer| answer.body).collect()
    }

    #[test]
    fn revisions_keep_their_order_within_a_cell() {
        let object = |rv: &str| json!({"metadata": {"resourceVersion": rv}});
        let list = json!({"kind": "PodList", "metadata": {"resourceVersion": "99"}, "items": [object("31")]});
        let found = normal(&[object("17"), object("31"), list, object("17")]);
        assert_eq!(found[0], object("<rv1>"));
        assert_eq!(found[1], object("<rv2>"));
        assert_eq!(found[2]["metadata"]["resourceVersion"], "<revision>");
        assert_eq!(found[2]["items"][0], object("<rv2>"));
        assert_eq!(found[3], object("<rv1>"));
    }

    #[test]
    fn what_a_server_makes_up_is_replaced_also_in_messages() {
        let uid = "0f3a1c52-0000-4000-8000-0123456789ab";
        let object = json!({"metadata": {"uid": uid, "name": "a-x7x7x", "generateName": "a-", "resourceVersion": "41"}});
        let status =
            json!({"message": format!("a-x7x7x: Precondition failed: {uid}, 41 at 2026-01-02T03:04:05Z")});
        let found = normal(&[object, status]);
        assert_eq!(found[0]["metadata"]["name"], "a-<generated>");
        assert_eq!(found[1]["message"], "a-<generated>: Precondition failed: <uid1>, <rv1> at <time>");
    }

    #[test]
    fn a_name_that_was_given_and_numbers_of_users_stay() {
        let object =
            json!({"metadata": {"name": "it", "generateName": "i"}, "spec": {"replicas": 3, "text": "41"}});
        assert_eq!(normal(std::slice::from_ref(&object)), [object]);
    }
}
