//! How objects lie in the store: keys, bytes, and the place of the resourceVersion in them.
//!
//! **Invariant:** stored bytes begin with `apiVersion`, `kind` and `metadata.resourceVersion`, in this order and
//! without blanks, so that the store can write the revision and watches can replace it without parsing.

use bytes::Bytes;
use kinds::Kind;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use store::{Entry, Template};
use wire::Status;

use crate::{body::to_json, object, registry::KindRef, versions};

const MARK: &[u8] = br#""metadata":{"resourceVersion":""#;
/// The mark stands within this many bytes of the start.
const MARK_WITHIN: usize = 512;

/// The parts of stored bytes that selectors look at.
#[derive(Deserialize)]
pub(crate) struct Peek<'a> {
    #[serde(borrow)]
    pub(crate) metadata: &'a RawValue,
}

/// The prefix of all keys of a kind, over all namespaces.
pub(crate) fn prefix(kind: &Kind) -> String {
    match &kind.storage {
        Some(storage) => format!("{}/{}/", storage.group, storage.plural),
        None => format!("unstored/{}/", kind.plural),
    }
}

/// The prefix of the keys in a namespace; empty means all of them.
pub(crate) fn namespace_prefix(kind: &Kind, namespace: &str) -> String {
    match (kind.namespaced, namespace) {
        (true, "") => prefix(kind),
        (_, namespace) => format!("{}{namespace}/", prefix(kind)),
    }
}

/// The key of an object.
pub(crate) fn key(kind: &Kind, namespace: &str, name: &str) -> String {
    format!("{}{namespace}/{name}", prefix(kind))
}

/// The key of a namespace.
pub(crate) fn namespace_key(name: &str) -> String {
    format!("core/namespaces//{name}")
}

/// Namespace and name in a key.
pub(crate) fn name_of(key: &str) -> (&str, &str) {
    let mut parts = key.splitn(4, '/').skip(2);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// An object (in its storage version) as bytes around its future revision.
pub(crate) fn encode(mut value: Value) -> Template {
    let text = |value: Option<&Value>| to_json(&value.and_then(Value::as_str).unwrap_or_default());
    let mut head = br#"{"apiVersion":"#.to_vec();
    head.extend(text(value.get("apiVersion")));
    head.extend_from_slice(br#","kind":"#);
    head.extend(text(value.get("kind")));
    head.extend_from_slice(b",");
    head.extend_from_slice(MARK);
    object::metadata(&mut value).remove("resourceVersion");
    let mut tail = b"\"".to_vec();
    append_fields(&mut tail, &value["metadata"].take());
    tail.push(b'}');
    let rest = value.as_object_mut().map(std::mem::take).unwrap_or_default();
    let rest =
        rest.into_iter().filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
    append_fields(&mut tail, &Value::Object(rest.collect()));
    tail.push(b'}');
    Template::new(head, tail)
}

/// Appends `,"a":1,"b":2` for the fields of an object.
fn append_fields(out: &mut Vec<u8>, fields: &Value) {
    let bytes = to_json(fields);
    if bytes.len() > 2 {
        out.push(b',');
        out.extend_from_slice(&bytes[1..bytes.len() - 1]);
    }
}

/// The bytes with another revision in their place.
pub(crate) fn with_revision(bytes: &Bytes, revision: u64) -> Bytes {
    let window = &bytes[..bytes.len().min(MARK_WITHIN)];
    let Some(at) = window.windows(MARK.len()).position(|part| part == MARK) else { return bytes.clone() };
    let start = at + MARK.len();
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut out = Vec::with_capacity(bytes.len() + 8);
    out.extend_from_slice(&bytes[..start]);
    out.extend_from_slice(revision.to_string().as_bytes());
    out.extend_from_slice(&bytes[start + digits..]);
    out.into()
}

/// Parses stored bytes into the version of `kind`.
pub(crate) fn decode(kind: &KindRef, bytes: &[u8]) -> Result<Value, Status> {
    let value =
        serde_json::from_slice(bytes).map_err(|error| Status::internal(format!("stored object: {error}")))?;
    versions::from_storage(kind, value)
}

/// Parses an entry into the version of `kind`.
pub(crate) fn decode_entry(kind: &KindRef, entry: &Entry) -> Result<Value, Status> {
    decode(kind, &entry.value)
}

/// The bytes to serve for stored bytes: the same ones, unless the kind is shown in another form than the stored one.
pub(crate) fn served(kind: &KindRef, bytes: &Bytes) -> Result<Bytes, Status> {
    if versions::is_as_stored(kind) {
        return Ok(bytes.clone());
    }
    Ok(to_json(&decode(kind, bytes)?).into())
}

/// The bytes to serve in a list, from after the opening brace: items of built-in kinds do not say their kind again.
pub(crate) fn listed(kind: &KindRef, bytes: &Bytes) -> Result<Bytes, Status> {
    if kind.custom().is_some() {
        return Ok(served(kind, bytes)?.slice(1..));
    }
    let window = &bytes[..bytes.len().min(MARK_WITHIN)];
    if versions::is_as_stored(kind)
        && let Some(at) = window.windows(MARK.len()).position(|part| part == MARK)
    {
        return Ok(bytes.slice(at..));
    }
    let mut value = decode(kind, bytes)?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| !matches!(key.as_str(), "apiVersion" | "kind"));
    }
    Ok(Bytes::from(to_json(&value)).slice(1..))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_bytes_carry_their_revision_and_survive_a_round_trip() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"x": 1}, "a": 2,
            "metadata": {"name": "p", "namespace": "n", "resourceVersion": "7"}});
        let bytes = encode(pod.clone()).render(42);
        let mut want = pod;
        want["metadata"]["resourceVersion"] = "42".into();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), want);
        want["metadata"]["resourceVersion"] = "1234".into();
        assert_eq!(serde_json::from_slice::<Value>(&with_revision(&bytes, 1234)).unwrap(), want);
    }

    #[test]
    fn an_object_of_nothing_but_its_head_is_valid_json() {
        let bytes = encode(json!({"apiVersion": "v1", "kind": "X", "metadata": {}})).render(1);
        assert_eq!(&bytes[..], br#"{"apiVersion":"v1","kind":"X","metadata":{"resourceVersion":"1"}}"#);
    }

    #[test]
    fn a_label_that_looks_like_the_mark_is_not_mistaken_for_it() {
        let value = json!({"apiVersion": "v1", "kind": "X",
            "metadata": {"annotations": {"a": "\"metadata\":{\"resourceVersion\":\"9"}}});
        let bytes = with_revision(&encode(value.clone()).render(1), 2);
        let read: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read["metadata"]["annotations"], value["metadata"]["annotations"]);
        assert_eq!(read["metadata"]["resourceVersion"], "2");
    }
}
