//! What is asked of a conversion webhook, and what it may answer (`ConversionReview`).

use serde_json::{Value, json};

/// Why a webhook cannot be asked.
pub(super) const UNSUPPORTED: &str = "no supported conversion review versions";

/// A version of the request that both sides speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Review {
    V1,
    V1beta1,
}

// === impl Review ===

impl Review {
    /// The first version of those that the webhook speaks which there is.
    pub(super) fn of(webhook: &Value) -> Option<Self> {
        let spoken = webhook["conversionReviewVersions"].as_array()?.iter();
        spoken.filter_map(Value::as_str).find_map(|version| match version {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1beta1),
            _ => None,
        })
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "apiextensions.k8s.io/v1",
            Self::V1beta1 => "apiextensions.k8s.io/v1beta1",
        }
    }

    /// The request.
    pub(super) fn request(self, uid: &str, wanted: &str, objects: &[Value]) -> Value {
        json!({"kind": "ConversionReview", "apiVersion": self.api_version(),
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects}})
    }

    /// The converted objects of an answer, each with the metadata of the original but for labels and annotations.
    pub(super) fn converted(
        self,
        uid: &str,
        wanted: &str,
        originals: Vec<Value>,
        answer: &[u8],
    ) -> Result<Vec<Value>, String> {
        let mut answer: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // Fact: of v1beta1 neither kind nor uid is looked at.
        if self == Self::V1
            && (answer["apiVersion"] != self.api_version() || answer["kind"] != "ConversionReview")
        {
            let (version, kind) = (text(&answer["apiVersion"]), text(&answer["kind"]));
            return Err(format!(
                "expected webhook response of {}, Kind=ConversionReview, got {version}, Kind={kind}",
                self.api_version()
            ));
        }
        let response = &mut answer["response"];
        if !response.is_object() {
            return Err("no response provided".to_owned());
        }
        if self == Self::V1 && response["uid"] != *uid {
            return Err(format!("expected response.uid={uid:?}, got {:?}", text(&response["uid"])));
        }
        let (status, message) = (text(&response["result"]["status"]), text(&response["result"]["message"]));
        if status != "Success" {
            return Err(if message.is_empty() {
                format!("response.result.status was '{status}', not 'Success'")
            } else {
                message
            });
        }
        let converted = response["convertedObjects"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let (found, expected) = (converted.len(), originals.len());
        if found != expected {
            return Err(format!("returned {found} objects, expected {expected}"));
        }
        let pairs = originals.into_iter().zip(converted).enumerate();
        let checked = |(index, (original, converted))| {
            checked(original, converted, wanted)
                .map_err(|why| format!("returned invalid converted object at index {index}: {why}"))
        };
        pairs.map(checked).collect()
    }
}

fn checked(mut original: Value, mut converted: Value, wanted: &str) -> Result<Value, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if converted["apiVersion"] != *wanted {
        let found = text(&converted["apiVersion"]);
        return Err(format!("invalid groupVersion (expected {wanted}, received {found})"));
    }
    let (kind, found) = (text(&original["kind"]), text(&converted["kind"]));
    if kind != found {
        return Err(format!("invalid kind (expected {kind}, received {found})"));
    }
    let Some(mut metadata) = converted.get_mut("metadata").map(Value::take).filter(Value::is_object) else {
        return Err("missing metadata in converted object".to_owned());
    };
    for (field, name) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let (before, after) = (text(&original["metadata"][field]), text(&metadata[field]));
        if before != after {
            return Err(format!("must have the same {name}: {before} != {after}"));
        }
    }
    let mut kept = original["metadata"].take();
    for field in ["labels", "annotations"] {
        let found = metadata[field].take();
        let words = |value: &Value| value.as_object().is_some_and(|map| map.values().all(Value::is_string));
        match found {
            Value::Null => kept.as_object_mut().map(|kept| kept.remove(field)),
            found if words(&found) => kept.as_object_mut().map(|kept| kept.insert(field.to_owned(), found)),
            _ => return Err(format!("metadata.{field} must be texts in converted object")),
        };
    }
    converted["metadata"] = kept;
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original() -> Value {
        json!({"apiVersion": "x.io/v1", "kind": "A", "metadata": {"name": "a", "uid": "u", "resourceVersion": "7",
            "labels": {"a": "1"}}, "spec": {"x": 1}})
    }

    fn answer(change: impl Fn(&mut Value)) -> Result<Vec<Value>, String> {
        let converted = json!({"apiVersion": "x.io/v2", "kind": "A", "metadata": {"name": "a", "uid": "u",
            "resourceVersion": "8", "labels": {"b": "2"}}, "spec": {"y": 1}});
        let mut answer = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
            "response": {"uid": "r", "result": {"status": "Success"}, "convertedObjects": [converted]}});
        change(&mut answer);
        Review::V1.converted("r", "x.io/v2", vec![original()], answer.to_string().as_bytes())
    }

    /// Facts: `webhook_converter.go` of apiextensions-apiserver.
    #[test]
    fn only_labels_and_annotations_of_the_metadata_may_change() {
        let converted = answer(|_| ()).unwrap();
        assert_eq!(
            converted,
            [json!({"apiVersion": "x.io/v2", "kind": "A", "metadata": {"name": "a", "uid": "u",
                "resourceVersion": "7", "labels": {"b": "2"}}, "spec": {"y": 1}})]
        );
    }

    #[test]
    fn answers_that_are_none_are_refused() {
        let set = |pointer: &'static str, value: Value| {
            move |answer: &mut Value| *answer.pointer_mut(pointer).unwrap() = value.clone()
        };
        for (answer, want) in [
            (answer(set("/response/uid", json!("other"))), "expected response.uid=\"r\", got \"other\""),
            (answer(set("/response/result", json!({"status": "Failed", "message": "no"}))), "no"),
            (answer(set("/response/result", json!({}))), "response.result.status was '', not 'Success'"),
            (answer(set("/response/convertedObjects", json!([]))), "returned 0 objects, expected 1"),
            (answer(set("/response", Value::Null)), "no response provided"),
            (
                answer(set("/response/convertedObjects/0/apiVersion", json!("x.io/v3"))),
                "returned invalid converted object at index 0: invalid groupVersion (expected x.io/v2, received x.io/v3)",
            ),
            (
                answer(set("/response/convertedObjects/0/metadata/uid", json!("v"))),
                "returned invalid converted object at index 0: must have the same UID: u != v",
            ),
            (
                answer(set("/response/convertedObjects/0/metadata/labels", json!({"a": 1}))),
                "returned invalid converted object at index 0: metadata.labels must be texts in converted object",
            ),
        ] {
            assert_eq!(answer, Err(want.to_owned()));
        }
    }
}
