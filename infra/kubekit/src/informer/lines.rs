//! The lines of a watch, one event each.
//!
//! The object of an event is read straight from the line. A tagged enum would copy it into a tree first, whose order of fields it
//! cannot rely on: twice the work for every event of every informer.

use kube::Error;
use kube::core::{Status, WatchEvent};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// The event that a line tells of. A server that gives up says so with a status, as an event or bare: that is an error or an
/// [`WatchEvent::Error`]; what cannot be read is an [`Error::SerdeError`].
pub(super) fn event<K: DeserializeOwned>(line: &str) -> Result<WatchEvent<K>, Error> {
    let Line { kind, object } = match serde_json::from_str(line) {
        Ok(line) => line,
        Err(error) => return Err(status(line).unwrap_or(Error::SerdeError(error))),
    };
    match &*kind {
        "ADDED" => read(object).map(WatchEvent::Added),
        "MODIFIED" => read(object).map(WatchEvent::Modified),
        "DELETED" => read(object).map(WatchEvent::Deleted),
        "BOOKMARK" => read(object).map(WatchEvent::Bookmark),
        "ERROR" => read::<Status>(object).map(|status| WatchEvent::Error(status.boxed())),
        other => {
            Err(Error::SerdeError(serde::de::Error::custom(format!("unknown type of event: {other:?}"))))
        }
    }
}

fn read<T: DeserializeOwned>(object: &RawValue) -> Result<T, Error> {
    serde_json::from_str(object.get()).map_err(Error::SerdeError)
}

/// A bare status; all of its fields are optional, so one that says nothing is none.
fn status(line: &str) -> Option<Error> {
    let status: Status = serde_json::from_str(line).ok()?;
    (status.code != 0).then(|| Error::Api(status.boxed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn parse(line: &str) -> Result<WatchEvent<ConfigMap>, Error> {
        event(line)
    }

    #[test]
    fn each_type_of_event_is_read_in_any_order_of_fields() {
        let object = r#"{"metadata":{"name":"a\n","resourceVersion":"7"}}"#;
        let name = |event: Result<WatchEvent<ConfigMap>, Error>| match event {
            Ok(WatchEvent::Added(map)) => ("added", map.metadata.name.unwrap()),
            Ok(WatchEvent::Modified(map)) => ("modified", map.metadata.name.unwrap()),
            Ok(WatchEvent::Deleted(map)) => ("deleted", map.metadata.name.unwrap()),
            other => panic!("{other:?}"),
        };
        assert_eq!(name(parse(&format!(r#"{{"type":"ADDED","object":{object}}}"#))).0, "added");
        assert_eq!(name(parse(&format!(r#"{{"object":{object},"type":"MODIFIED"}}"#))).0, "modified");
        assert_eq!(
            name(parse(&format!(r#" {{"type":"DELETED", "object": {object}, "more": 1}} "#))),
            ("deleted", "a\n".to_owned())
        );
        let bookmark = parse(
            r#"{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}"#,
        );
        assert!(matches!(bookmark, Ok(WatchEvent::Bookmark(b)) if b.metadata.resource_version == "9"));
    }

    #[test]
    fn a_server_that_gives_up_says_why() {
        let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old","reason":"Expired","code":410}"#;
        let told = parse(&format!(r#"{{"type":"ERROR","object":{status}}}"#));
        assert!(matches!(told, Ok(WatchEvent::Error(s)) if s.code == 410));
        assert!(matches!(parse(status), Err(Error::Api(s)) if s.reason == "Expired"));
    }

    #[test]
    fn what_cannot_be_read_is_said_to_be_unreadable() {
        for line in [
            "",
            "{",
            "{}",
            r#"{"type":"ADDED"}"#,
            r#"{"type":"GONE","object":{}}"#,
            r#"{"type":"ADDED","object":{"metadata":{"name":7}}}"#,
            r#"{"type":"ADDED","object":{"data":{"a":"#,
        ] {
            assert!(matches!(parse(line), Err(Error::SerdeError(_))), "{line}");
        }
    }
}
