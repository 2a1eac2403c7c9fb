//! One rule of a role: what it lets through.

use std::fmt;

use serde_json::{Map, Value};

use crate::request::{Request, Resource, Target};

/// Everything.
const ALL: &str = "*";

/// A `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Verbs; `*` is every verb.
    pub verbs: Vec<String>,
    /// API groups; `*` is every group.
    pub groups: Vec<String>,
    /// Resources: `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// Names of objects; none means every name.
    pub names: Vec<String>,
    /// Paths that are no resources; a `*` may stand at the end.
    pub urls: Vec<String>,
}

// === impl Rule ===

impl Rule {
    /// Reads a rule; what has the wrong type reads as empty, and so allows nothing.
    pub fn read(value: &Value) -> Rule {
        let list = |field: &str| -> Vec<String> {
            let items = value[field].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Rule {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            urls: list("nonResourceURLs"),
        }
    }

    /// The rules of a role.
    pub fn read_all(role: &Value) -> Vec<Rule> {
        role["rules"].as_array().into_iter().flatten().map(Rule::read).collect()
    }

    /// The rule as a role holds it.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        let lists = [
            ("apiGroups", &self.groups),
            ("nonResourceURLs", &self.urls),
            ("resourceNames", &self.names),
            ("resources", &self.resources),
        ];
        for (field, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            map.insert(field.to_owned(), list.clone().into());
        }
        map.insert("verbs".to_owned(), self.verbs.clone().into());
        Value::Object(map)
    }

    /// Whether the rule allows a request.
    pub fn allows(&self, request: &Request<'_>) -> bool {
        has(&self.verbs, request.verb)
            && match request.target {
                Target::Path(path) => self.urls.iter().any(|url| url_covers(url, path)),
                Target::Resource(resource) => self.is_about(&resource),
            }
    }

    fn is_about(&self, resource: &Resource<'_>) -> bool {
        let named = self.names.is_empty() || self.names.iter().any(|name| name == resource.name);
        named
            && has(&self.groups, resource.group)
            && self.resources.iter().any(|own| resource_covers(own, resource.resource, resource.subresource))
    }

    /// Whether this rule allows all that `part` does, which has at most one of each thing.
    pub(crate) fn covers(&self, part: &Rule) -> bool {
        let all = |own: &[String], wanted: &[String]| wanted.iter().all(|wanted| has(own, wanted));
        let names = match part.names.as_slice() {
            [] => self.names.is_empty(),
            wanted => self.names.is_empty() || wanted.iter().all(|name| self.names.contains(name)),
        };
        let resources = part.resources.iter().all(|wanted| {
            let (resource, subresource) = wanted.split_once('/').unwrap_or((wanted, ""));
            self.resources.iter().any(|own| resource_covers(own, resource, subresource))
        });
        let urls = part.urls.iter().all(|wanted| self.urls.iter().any(|own| url_covers(own, wanted)));
        names && resources && urls && all(&self.verbs, &part.verbs) && all(&self.groups, &part.groups)
    }
}

/// As messages about missing rights show a rule.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        let shown: Vec<String> = parts
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| format!("{name}:{}", quoted(list)))
            .collect();
        write!(f, "{{{}}}", shown.join(", "))
    }
}

/// A list as Go's `%q` prints it: `["a" "b"]`.
pub(crate) fn quoted(list: &[String]) -> String {
    let items: Vec<String> = list.iter().map(|item| wire::quote(item)).collect();
    format!("[{}]", items.join(" "))
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|own| own == ALL || own == wanted)
}

/// `*`, the very same, or `*/sub` for every `x/sub`. A plain `pods` is not about `pods/log`.
fn resource_covers(own: &str, resource: &str, subresource: &str) -> bool {
    let rest = match own.strip_prefix(resource) {
        _ if own == ALL => return true,
        Some("") => return subresource.is_empty(),
        Some(rest) if !subresource.is_empty() => rest.strip_prefix('/') == Some(subresource),
        _ => false,
    };
    rest || (!subresource.is_empty() && own.strip_prefix("*/") == Some(subresource))
}

fn url_covers(own: &str, path: &str) -> bool {
    own == ALL || own == path || (own.ends_with('*') && path.starts_with(own.trim_end_matches('*')))
}

#[cfg(test)]
mod tests;
