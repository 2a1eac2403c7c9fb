//! One request of a cell, as a row of the table writes it.
//!
//! ```text
//! [~]METHOD[:patch] PATH [@header=value ...] [BODY]
//! ```
//!
//! `~` marks a request that only prepares: its answer is not compared. `PATH` begins with a placeholder or a slash, and a blank
//! in it is `%20`; a blank in a header's value is `_`. `BODY` is the rest: `object`, `edit`, `bad` (see [`Sample`]) or `last` (the
//! last object that was answered), each followed by as many ` + {merge patch}` as are wanted (`edit` and `bad` may stand after a
//! `+` too); or any other text as it is. `@pick=resources` and `@pick=discovery` are no headers: they keep of an answer about many
//! kinds what it says of the cell's.
//! Placeholders: `{list}` `{item}` `{all}` (paths), `{path}` `{resource}` (their parts), `{groups}` (where discovery begins), `{ns}`, `{name}`, `{slug}` (the cell's own name), `{kind}`, `{version}`, `{rv}`,
//! `{uid}`, `{continue}` (of the last answer that had one).

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::sample::Sample;

/// A request before its placeholders are filled in.
#[derive(Clone, Debug)]
pub struct Step {
    /// As the table writes it.
    pub text: String,
    /// Whether the answer is compared.
    pub compared: bool,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    pick: Option<Pick>,
}

/// Which part of an answer about many kinds is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Entries of an `APIResourceList`.
    Resources,
    /// Entries of an `APIGroupDiscoveryList`.
    Discovery,
}

/// What placeholders stand for.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// The kind.
    pub sample: &'a Sample,
    /// The cell's own name.
    pub slug: &'a str,
    /// The last object that was answered.
    pub last: Value,
    /// The last continue token.
    pub token: String,
}

/// A request as it is sent.
#[derive(Clone, Debug)]
pub struct Sending {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The bytes.
    pub body: String,
}

// === impl Step ===

impl Step {
    /// Reads a step.
    ///
    /// # Errors
    /// Text that is none.
    pub fn parse(text: &str) -> Result<Self> {
        let (compared, rest) = text.strip_prefix('~').map_or((true, text), |rest| (false, rest));
        let mut words = rest.splitn(3, ' ');
        let (verb, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        ensure!(path.starts_with(['/', '{']), "no path in step {text:?}");
        let mut body = words.next().unwrap_or_default();
        let (mut headers, mut pick) = (Vec::new(), None);
        while let Some(rest) = body.strip_prefix('@') {
            let (header, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let (name, value) = header.split_once('=').with_context(|| format!("header in {text:?}"))?;
            match (name, value) {
                ("pick", "resources") => pick = Some(Pick::Resources),
                ("pick", "discovery") => pick = Some(Pick::Discovery),
                _ => headers.push((name.to_owned(), value.replace('_', " "))),
            }
            body = rest;
        }
        let (method, patch) = verb.split_once(':').unwrap_or((verb, ""));
        let has_type = headers.iter().any(|(name, _)| name == "content-type");
        let media_type = match patch {
            "json" => "application/json-patch+json",
            "merge" => "application/merge-patch+json",
            "strategic" => "application/strategic-merge-patch+json",
            "apply" => "application/apply-patch+yaml",
            "" => "application/json",
            other => bail!("unknown patch {other} in {text:?}"),
        };
        if !body.is_empty() && !has_type {
            headers.push(("content-type".to_owned(), media_type.to_owned()));
        }
        let (method, path, body) = (method.to_owned(), path.to_owned(), body.to_owned());
        Ok(Self { text: text.to_owned(), compared, method, path, headers, body, pick })
    }

    /// Whether the answer is a stream of events.
    pub fn is_watch(&self) -> bool {
        self.path.contains("watch=") || self.path.contains("/watch/")
    }

    /// Which part of the answer is compared, if not all of it.
    pub fn pick(&self) -> Option<Pick> {
        self.pick
    }

    /// The request with its placeholders filled in.
    ///
    /// # Errors
    /// A merge patch that is no JSON.
    pub fn fill(&self, scene: &Scene<'_>) -> Result<Sending> {
        let body = scene.body(&self.body).with_context(|| format!("body of {:?}", self.text))?;
        let header = |(name, value): &(String, String)| (name.clone(), scene.fill(value));
        Ok(Sending {
            method: self.method.clone(),
            path: scene.fill(&self.path),
            headers: self.headers.iter().map(header).collect(),
            body,
        })
    }
}

// === impl Scene ===

impl Scene<'_> {
    /// The namespace of the cell.
    pub fn namespace(&self) -> &str {
        if self.sample.namespaced { self.slug } else { "" }
    }

    /// The name of the cell's object.
    pub fn object_name(&self) -> String {
        match &self.sample.object_name {
            Some(name) => name.replace("{slug}", self.slug),
            None if self.sample.namespaced => "it".to_owned(),
            None => self.slug.to_owned(),
        }
    }

    fn fill(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        let Sample { path, resource, namespaced, .. } = self.sample;
        let all = format!("/{path}/{resource}");
        let list =
            if *namespaced { format!("/{path}/namespaces/{}/{resource}", self.slug) } else { all.clone() };
        let text_at = |pointer: &str| self.last.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let object = &self.sample.object;
        let name = self.object_name();
        text.replace("{item}", &format!("{list}/{name}"))
            .replace("{list}", &list)
            .replace("{all}", &all)
            .replace("{ns}", self.namespace())
            .replace("{name}", &name)
            .replace("{slug}", self.slug)
            .replace("{path}", path)
            .replace("{groups}", if path.starts_with("apis/") { "/apis" } else { "/api" })
            .replace("{resource}", resource)
            .replace("{kind}", object["kind"].as_str().unwrap_or_default())
            .replace("{version}", object["apiVersion"].as_str().unwrap_or_default())
            .replace("{rv}", text_at("/metadata/resourceVersion"))
            .replace("{uid}", text_at("/metadata/uid"))
            .replace("{continue}", &self.token)
    }

    fn body(&self, text: &str) -> Result<String> {
        let mut parts = text.split(" + ");
        let first = parts.next().unwrap_or_default();
        let Some(mut value) = self.named(first)? else { return Ok(self.fill(text)) };
        for patch in parts {
            let patch = match self.named(patch)? {
                Some(patch) => patch,
                None => serde_json::from_str(&self.fill(patch)).with_context(|| patch.to_owned())?,
            };
            merge(&mut value, &patch);
        }
        Ok(value.to_string())
    }

    fn named(&self, word: &str) -> Result<Option<Value>> {
        let template = match word {
            "object" => &self.sample.object,
            "edit" => &self.sample.edit,
            "bad" => &self.sample.bad,
            "last" => return Ok(Some(self.last.clone())),
            _ => return Ok(None),
        };
        Ok(Some(serde_json::from_str(&self.fill(&template.to_string()))?))
    }
}

/// A merge patch (RFC 7386).
fn merge(value: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::new());
    }
    for (key, field) in fields {
        if field.is_null() {
            value.as_object_mut().map(|object| object.remove(key));
        } else {
            merge(&mut value[key], field);
        }
    }
}
