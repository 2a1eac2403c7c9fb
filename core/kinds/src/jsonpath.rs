//! The JSONPath of kubectl and of CRD printer columns: `.a.b`, `['a']`, `[0]`, `[-1]`, `[1:3]`, `[*]`, `..name`,
//! `[?(@.type=='Ready')]`. A path that leads nowhere gives nothing rather than an error.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Any,
    Recursive(String),
    /// First, last and step of a slice; a single index is a slice of one.
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        single: bool,
    },
    Filter(Filter),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Operand,
    /// `None` asks whether the left side exists.
    test: Option<(String, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Box<JsonPath>),
    Literal(Value),
}

impl JsonPath {
    /// Reads a path, with or without braces and a leading `$`.
    ///
    /// # Errors
    /// What could not be understood.
    pub fn parse(text: &str) -> Result<JsonPath, String> {
        let inner = text.trim();
        let inner = inner.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(inner);
        let mut rest = inner.strip_prefix('$').unwrap_or(inner);
        rest = rest.strip_prefix('@').unwrap_or(rest);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            steps.extend(step);
            rest = after;
        }
        Ok(JsonPath { steps })
    }

    /// All values that the path leads to, in order.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.steps {
            let mut next = Vec::new();
            for value in found {
                step.apply(value, &mut next);
            }
            found = next;
        }
        found
    }

    /// The first value that the path leads to.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.find(value).into_iter().next()
    }
}

impl Step {
    fn apply<'v>(&self, value: &'v Value, out: &mut Vec<&'v Value>) {
        match self {
            Step::Field(name) => out.extend(value.get(name)),
            Step::Any => out.extend(children(value)),
            Step::Recursive(name) => recurse(value, name, out),
            Step::Filter(filter) => out.extend(children(value).filter(|item| filter.holds(item))),
            Step::Slice { start, end, single } => {
                let Some(list) = value.as_array() else { return };
                let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
                let place = |index: i64| if index < 0 { index + length } else { index };
                let from = place(start.unwrap_or(0)).max(0);
                let to = if *single { from + 1 } else { end.map_or(length, place) };
                if *single && place(start.unwrap_or(0)) < 0 {
                    return;
                }
                let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to.min(length)).unwrap_or(0);
                out.extend(list.get(range).unwrap_or_default());
            }
        }
    }
}

impl Filter {
    fn holds(&self, item: &Value) -> bool {
        let left = self.left.value(item);
        let Some((operator, right)) = &self.test else { return left.is_some() };
        let (Some(left), Some(right)) = (left, right.value(item)) else { return operator == "!=" };
        match operator.as_str() {
            "==" => same(left, right),
            "!=" => !same(left, right),
            other => match (left.as_f64(), right.as_f64()) {
                (Some(a), Some(b)) => compare(other, &a, &b),
                _ => compare(other, &left.as_str(), &right.as_str()),
            },
        }
    }
}

impl Operand {
    fn value<'v>(&'v self, item: &'v Value) -> Option<&'v Value> {
        match self {
            Operand::Path(path) => path.first(item),
            Operand::Literal(value) => Some(value),
        }
    }
}

fn compare<T: PartialOrd>(operator: &str, left: &T, right: &T) -> bool {
    match operator {
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        _ => left >= right,
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b).is_eq(),
        _ => left == right,
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn recurse<'v>(value: &'v Value, name: &str, out: &mut Vec<&'v Value>) {
    out.extend(value.get(name));
    children(value).for_each(|child| recurse(child, name, out));
}

/// One step and what follows it. A dot before a bracket is no step.
fn step(text: &str) -> Result<(Option<Step>, &str), String> {
    if let Some(rest) = text.strip_prefix("..") {
        let (name, after) = name(rest)?;
        return Ok((Some(Step::Recursive(name)), after));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = bracket(rest).ok_or_else(|| "unterminated array".to_owned())?;
        return Ok((Some(subscript(inside.trim())?), after));
    }
    let rest = text.strip_prefix('.').unwrap_or(text);
    if rest.is_empty() || rest.starts_with('[') {
        return Ok((None, rest));
    }
    if let Some(after) = rest.strip_prefix('*') {
        return Ok((Some(Step::Any), after));
    }
    let (name, after) = name(rest)?;
    Ok((Some(Step::Field(name)), after))
}

/// A name, in which a backslash takes the next character as it is.
fn name(text: &str) -> Result<(String, &str), String> {
    let (mut name, mut escaped, mut end) = (String::new(), false, text.len());
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' | '[' | ' ' | '=' | '!' | '<' | '>' | ')' => {
                end = index;
                break;
            }
            c => name.push(c),
        }
    }
    if name.is_empty() { Err(format!("expected a field name at {text:?}")) } else { Ok((name, &text[end..])) }
}

/// What stands before the matching `]`, and what follows.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quoted) = (0, None);
    for (index, c) in text.char_indices() {
        match (quoted, c) {
            (Some(quote), c) if c == quote => quoted = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quoted = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some((&text[..index], &text[index + 1..])),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn subscript(inside: &str) -> Result<Step, String> {
    if inside == "*" {
        return Ok(Step::Any);
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        return filter_of(filter).map(Step::Filter);
    }
    if let Some(name) = unquote(inside) {
        return Ok(Step::Field(name.to_owned()));
    }
    let index = |text: &str| -> Result<Option<i64>, String> {
        match text.trim() {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| format!("invalid array index {inside}")),
        }
    };
    match inside.split_once(':') {
        Some((start, end)) => Ok(Step::Slice { start: index(start)?, end: index(end)?, single: false }),
        None if inside.is_empty() => Err("invalid array index".to_owned()),
        None => Ok(Step::Slice { start: index(inside)?, end: None, single: true }),
    }
}

fn unquote(text: &str) -> Option<&str> {
    let inner = |quote| text.strip_prefix(quote).and_then(|t: &str| t.strip_suffix(quote));
    inner('\'').or_else(|| inner('"'))
}

fn filter_of(text: &str) -> Result<Filter, String> {
    let mut quoted = None;
    for (index, c) in text.char_indices() {
        match (quoted, c) {
            (Some(quote), c) if c == quote => quoted = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quoted = Some(c),
            (None, '=' | '!' | '<' | '>') => {
                let rest = &text[index..];
                let operator = ["==", "!=", "<=", ">=", "<", ">"].into_iter().find(|o| rest.starts_with(o));
                let operator = operator.ok_or_else(|| format!("unrecognized filter operator in {text:?}"))?;
                let test = (operator.to_owned(), operand(&rest[operator.len()..])?);
                return Ok(Filter { left: operand(&text[..index])?, test: Some(test) });
            }
            _ => {}
        }
    }
    Ok(Filter { left: operand(text)?, test: None })
}

fn operand(text: &str) -> Result<Operand, String> {
    let text = text.trim();
    if text.starts_with('@') {
        return JsonPath::parse(text).map(|path| Operand::Path(Box::new(path)));
    }
    if let Some(inner) = unquote(text) {
        return Ok(Operand::Literal(Value::from(inner)));
    }
    serde_json::from_str(text).map(Operand::Literal).map_err(|_| format!("unrecognized operand {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find(path: &str, value: &Value) -> Vec<Value> {
        JsonPath::parse(path).unwrap().find(value).into_iter().cloned().collect()
    }

    #[test]
    fn paths_lead_where_kubectl_says() {
        let value = json!({
            "metadata": {"name": "n", "annotations": {"a.b/c": "x"}},
            "items": [{"v": 1, "k": "a"}, {"v": 2, "k": "b"}, {"v": 3}],
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]}
        });
        for (path, want) in [
            (".metadata.name", json!(["n"])),
            ("{$.metadata.name}", json!(["n"])),
            (".metadata.annotations['a.b/c']", json!(["x"])),
            (r".metadata.annotations.a\.b/c", json!(["x"])),
            (".items[0].v", json!([1])),
            (".items[-1].v", json!([3])),
            (".items[9].v", json!([])),
            (".items[-9].v", json!([])),
            (".items[0:2].v", json!([1, 2])),
            (".items[1:].v", json!([2, 3])),
            (".items[*].v", json!([1, 2, 3])),
            ("..k", json!(["a", "b"])),
            (".status.conditions[?(@.type=='Ready')].status", json!(["True"])),
            (".status.conditions[?(@.type == \"Other\")].status", json!(["False"])),
            (".items[?(@.v>1)].v", json!([2, 3])),
            (".items[?(@.k)].v", json!([1, 2])),
            (".status.nothing.here", json!([])),
            ("", json!([value.clone()])),
        ] {
            assert_eq!(Value::from(find(path, &value)), want, "{path}");
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        for path in [".a[", ".a[x]", ".a[?(@.b=1)]", "..", ".a[]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
