//! Label and field selectors: any text is read or refused, and what was read is shown as a text that reads the same.

use serde_json::{Map, Value};
use std::borrow::Cow;
use wire::{FieldSelector, LabelSelector};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(selector) = LabelSelector::parse(text) {
        let shown = selector.to_string();
        let again = LabelSelector::parse(&shown)
            .unwrap_or_else(|error| panic!("{text:?} shows as {shown:?}: {error}"));
        assert_eq!(again, selector, "{text:?} shows as {shown:?}");
        for labels in [Map::new(), labels("a", "b"), labels("x", "1")] {
            assert_eq!(selector.matches_map(Some(&labels)), again.matches_map(Some(&labels)));
        }
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        let shown = selector.to_string();
        let again = FieldSelector::parse(&shown)
            .unwrap_or_else(|error| panic!("{text:?} shows as {shown:?}: {error}"));
        let sorted = |selector: &FieldSelector| {
            let mut terms: Vec<_> =
                selector.terms.iter().map(|it| (it.field.clone(), it.value.clone(), it.negated)).collect();
            terms.sort();
            terms
        };
        assert_eq!(sorted(&again), sorted(&selector), "{text:?} shows as {shown:?}");
        let field = |name: &str| (name == "a").then_some(Cow::Borrowed("b"));
        assert_eq!(selector.matches(field), again.matches(field));
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let _ = LabelSelector::from_value(Some(&value)).map(|selector| selector.to_string());
    }
}

fn labels(name: &str, value: &str) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.into())])
}
