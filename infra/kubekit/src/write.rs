//! Deletes and patches that are void if the object is not the one they were decided on, and what an error means.
//!
//! **Invariant:** nothing is deleted through here without a uid and a resourceVersion.

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::ObjectMeta;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

/// The very version of an object that a decision was made on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Precondition {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// What a failed request means for who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The object does not exist.
    NotFound,
    /// An object of that name exists.
    AlreadyExists,
    /// The object changed, or is another one of the same name: decide again on what is there now.
    Conflict,
    /// What was asked to continue from is forgotten: list again.
    Expired,
    /// The server could not just now (401, 429, 5xx, timeouts, lost connections): try again later.
    Transient,
    /// The server will not do it as asked (400, 403, 422, ...): trying again changes nothing.
    Refused,
}

/// How a delete is carried out.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds the object gets to end; unset leaves it to the server.
    pub grace_seconds: Option<u32>,
    /// What becomes of dependents; unset leaves it to the server.
    pub propagation: Option<PropagationPolicy>,
}

/// What a delete led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion<K> {
    /// The object still exists and is being deleted.
    Terminating(Box<K>),
    /// The object is gone.
    Gone,
}

/// Deletes `name` if it still is what `expected` says, and tells what is left of it. A 404 means it is gone.
pub async fn delete_and_see<K>(
    api: &Api<K>,
    name: &str,
    expected: &Precondition,
    options: &DeleteOptions,
) -> Result<Deletion<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug + Resource,
{
    match api.delete(name, &options.params(expected)).await.map(|answer| answer.left()) {
        Ok(Some(object)) if object.meta().deletion_timestamp.is_some() => {
            Ok(Deletion::Terminating(Box::new(object)))
        }
        Ok(_) => Ok(Deletion::Gone),
        Err(error) if Failure::of(&error) == Failure::NotFound => Ok(Deletion::Gone),
        Err(error) => Err(error),
    }
}

/// Deletes `name` if it still is what `expected` says. A 404 is an `Ok(false)`: it is gone already.
pub async fn delete<K>(
    api: &Api<K>,
    name: &str,
    expected: &Precondition,
    options: &DeleteOptions,
) -> Result<bool, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    match api.delete(name, &options.params(expected)).await {
        Ok(_) => Ok(true),
        Err(error) if Failure::of(&error) == Failure::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Merge-patches `name` if it still is what `expected` says. `patch` holds only what changes.
pub async fn patch<K>(
    api: &Api<K>,
    name: &str,
    expected: &Precondition,
    patch: Value,
) -> Result<K, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(expected.guard(patch))).await
}

/// Merge-patches the status of `name` if the object still is what `expected` says.
pub async fn patch_status<K>(
    api: &Api<K>,
    name: &str,
    expected: &Precondition,
    status: impl Serialize,
) -> Result<K, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let patch = expected.guard(json!({ "status": status }));
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await
}

// === impl DeleteOptions ===

impl DeleteOptions {
    fn params(&self, expected: &Precondition) -> DeleteParams {
        DeleteParams {
            grace_period_seconds: self.grace_seconds,
            propagation_policy: self.propagation.clone(),
            preconditions: Some(Preconditions {
                uid: Some(expected.uid.clone()),
                resource_version: Some(expected.resource_version.clone()),
            }),
            ..DeleteParams::default()
        }
    }
}

// === impl Precondition ===

impl Precondition {
    /// The version that `meta` describes; none if it never was at a server.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        Some(Self { uid: meta.uid.clone()?, resource_version: meta.resource_version.clone()? })
    }

    /// A merge patch that applies to this version only.
    fn guard(&self, mut patch: Value) -> Value {
        if !patch.get("metadata").is_some_and(Value::is_object) {
            patch["metadata"] = json!({});
        }
        patch["metadata"]["uid"] = Value::from(self.uid.as_str());
        patch["metadata"]["resourceVersion"] = Value::from(self.resource_version.as_str());
        patch
    }
}

// === impl Failure ===

impl Failure {
    /// What `error` means.
    pub fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return match error {
                kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => Self::Refused,
                _ => Self::Transient,
            };
        };
        match (status.code, status.reason.as_str()) {
            (409, "AlreadyExists") => Self::AlreadyExists,
            (409, _) => Self::Conflict,
            (404, _) => Self::NotFound,
            (410, _) | (_, "Expired" | "Gone") => Self::Expired,
            // Credentials are renewed: a token that was just rotated is refused for a moment.
            (401 | 408 | 429, _) | (_, "Timeout" | "TooManyRequests" | "ServerTimeout") => Self::Transient,
            (code, _) if code >= 500 => Self::Transient,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[test]
    fn a_guarded_patch_names_the_version_it_was_decided_on() {
        let expected = Precondition { uid: "u".to_owned(), resource_version: "7".to_owned() };
        assert_eq!(
            expected.guard(json!({"metadata": {"labels": {"a": "b"}}, "spec": {}})),
            json!({"metadata": {"labels": {"a": "b"}, "uid": "u", "resourceVersion": "7"}, "spec": {}})
        );
        assert_eq!(expected.guard(json!({})), json!({"metadata": {"uid": "u", "resourceVersion": "7"}}));
    }

    /// What a delete leads to when the server answers so, and the options it was sent with.
    async fn deleted(code: u16, answer: Value) -> (Result<Deletion<ConfigMap>, Failure>, Value) {
        let sent = Arc::new(Mutex::new(Value::Null));
        let log = Arc::clone(&sent);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (log, answer) = (Arc::clone(&log), answer.to_string());
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                *log.lock() = serde_json::from_slice(&body).unwrap();
                let body = http_body_util::Full::new(bytes::Bytes::from(answer));
                Ok::<_, std::convert::Infallible>(http::Response::builder().status(code).body(body).unwrap())
            }
        });
        let api: Api<ConfigMap> = Api::namespaced(kube::Client::new(service, "ns"), "ns");
        let expected = Precondition { uid: "u".to_owned(), resource_version: "7".to_owned() };
        let result = delete_and_see(&api, "m", &expected, &DeleteOptions::default()).await;
        let sent = sent.lock().clone();
        (result.map_err(|error| Failure::of(&error)), sent)
    }

    #[tokio::test]
    async fn a_delete_names_the_version_and_tells_what_is_left() {
        let object = |meta: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta});
        let (result, sent) =
            deleted(200, object(json!({"name": "m", "deletionTimestamp": "2026-01-01T00:00:00Z"}))).await;
        assert!(matches!(result, Ok(Deletion::Terminating(_))), "{result:?}");
        assert_eq!(sent["preconditions"], json!({"uid": "u", "resourceVersion": "7"}));
        let gone = [object(json!({"name": "m"})), json!({"kind": "Status", "status": "Success"})];
        for answer in gone {
            assert_eq!(deleted(200, answer).await.0, Ok(Deletion::Gone));
        }
        let status = |code: u16, reason: &str| json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason});
        assert_eq!(deleted(404, status(404, "NotFound")).await.0, Ok(Deletion::Gone));
        assert_eq!(deleted(409, status(409, "Conflict")).await.0, Err(Failure::Conflict));
    }

    #[test]
    fn answers_are_told_apart_by_what_to_do_next() {
        let rows = [
            (404, "NotFound", Failure::NotFound),
            (409, "AlreadyExists", Failure::AlreadyExists),
            (409, "Conflict", Failure::Conflict),
            (410, "Expired", Failure::Expired),
            (401, "Unauthorized", Failure::Transient),
            (429, "TooManyRequests", Failure::Transient),
            (500, "InternalError", Failure::Transient),
            (503, "ServiceUnavailable", Failure::Transient),
            (504, "Timeout", Failure::Transient),
            (403, "Forbidden", Failure::Refused),
            (422, "Invalid", Failure::Refused),
        ];
        for (code, reason, expected) in rows {
            let mut status = kube::core::Status::failure("no", reason);
            status.code = code;
            assert_eq!(Failure::of(&kube::Error::Api(status.boxed())), expected, "{code} {reason}");
        }
    }
}
