//! How big and how deep a value is.

use serde_json::Value;

/// How deep an object may be nested. Kubernetes allows more; beyond about 128 the JSON parsers of clients (and ours)
/// give up, so an object that deep could be stored and never be read again.
pub const MAX_DEPTH: usize = 100;

/// What a walk over a value finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// About how many bytes it takes as JSON.
    pub bytes: usize,
    /// How many objects and lists are nested in each other, at most.
    pub depth: usize,
}

/// Measures a value. It does not recurse, so that it can judge what is too deep for everybody else.
pub fn measure(value: &Value) -> Extent {
    let mut extent = Extent::default();
    let mut open = vec![(value, 0_usize)];
    while let Some((value, depth)) = open.pop() {
        extent.depth = extent.depth.max(depth);
        extent.bytes += match value {
            Value::String(text) => text.len() + 2,
            Value::Object(fields) => {
                extent.depth = extent.depth.max(depth + 1);
                open.extend(fields.values().map(|child| (child, depth + 1)));
                fields.keys().map(|name| name.len() + 4).sum::<usize>() + 2
            }
            Value::Array(items) => {
                extent.depth = extent.depth.max(depth + 1);
                open.extend(items.iter().map(|child| (child, depth + 1)));
                items.len() + 2
            }
            _ => 5,
        };
    }
    extent
}
