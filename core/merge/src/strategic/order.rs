//! The order of a merged list: the patch's items in the patch's order, the server's in the server's.

use serde_json::Value;

/// Splits a list into the items that `order` names and the others.
pub(super) fn partition(list: Vec<Value>, order: &[Value], key: Option<&str>) -> (Vec<Value>, Vec<Value>) {
    list.into_iter().partition(|item| position(order, item, key).is_some())
}

/// Interleaves the two parts. Each keeps its own order; an item of `others` comes before the first item of `mine`
/// that followed it on the server.
pub(super) fn arrange(
    mut mine: Vec<Value>,
    mut others: Vec<Value>,
    order: &[Value],
    server: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    mine.sort_by_key(|item| position(order, item, key));
    others.sort_by_key(|item| position(server, item, key).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(mine.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in mine {
        let limit = position(server, &item, key);
        let earlier = |other: &Value| {
            let at = position(server, other, key);
            at.is_some_and(|at| limit.is_some_and(|limit| at < limit))
        };
        while let Some(other) = others.next_if(earlier) {
            out.push(other);
        }
        out.push(item);
    }
    out.extend(others);
    out
}

/// Where an item stands in a list: told by its key, or by its value.
fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    let same = |candidate: &Value| match key {
        Some(key) => candidate.get(key).is_some() && candidate.get(key) == item.get(key),
        None => candidate == item,
    };
    list.iter().position(same)
}
