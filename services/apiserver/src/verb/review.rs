//! Kinds that are asked and never stored: who am I, may I.

use http::{StatusCode, request::Parts};
use serde_json::{Value, json};
use wire::{CreateOptions, Status};

use super::{Call, draft};
use crate::body::{self, Reply};

/// Answers a review. Only the administrators of this server and its own parts may do anything, so that is the answer to
/// every question about access.
pub(super) fn create(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let options = CreateOptions::from_query(&call.query)?;
    let mut review = draft::read(call, parts, body, options.field_validation)?;
    review["status"] = match &*call.kind().kind {
        "SelfSubjectReview" => json!({"userInfo": {
            "username": call.identity.name(), "groups": call.identity.groups()}}),
        "SelfSubjectAccessReview" => access(call.identity.may_do_everything()),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let groups = review["spec"]["groups"].as_array().into_iter().flatten();
            access(groups.into_iter().any(|group| group == crate::identity::MASTERS))
        }
        "SelfSubjectRulesReview" => rules(call.identity.may_do_everything()),
        "TokenReview" => json!({"authenticated": false, "user": {}, "error": "this server takes no tokens"}),
        other => return Err(Status::method_not_supported(call.target.resource(), other)),
    };
    Ok(body::json(StatusCode::CREATED, &review))
}

fn access(allowed: bool) -> Value {
    json!({"allowed": allowed})
}

fn rules(everything: bool) -> Value {
    let (resources, paths) = if everything {
        (
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]),
            json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        )
    } else {
        (json!([]), json!([]))
    };
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}
