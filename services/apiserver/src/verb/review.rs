//! Kinds that are asked and never stored: who am I, whose is this token, may I, may he.

use access::{Request, Resource, Rule};
use http::{StatusCode, request::Parts};
use serde_json::{Value, json};
use wire::{CreateOptions, FieldError, Status};

use super::{Call, draft};
use crate::{
    access::Verdict,
    body::{self, Reply},
    identity::{Extra, Identity},
    object, rules,
};

const BOTH: &str = "cannot be specified in combination with resourceAttributes";
const NEITHER: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";

/// Answers a review.
pub(super) fn create(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let options = CreateOptions::from_query(&call.query)?;
    let mut review = draft::read(call, parts, body, options.field_validation)?;
    let kind = call.kind();
    let status = match &*kind.kind {
        "SelfSubjectReview" => json!({"userInfo": call.identity.user_info()}),
        "SelfSubjectAccessReview" => {
            check(call, &review, false)?;
            verdict(call, call.identity, &review["spec"])
        }
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            check(call, &review, true)?;
            verdict(call, &somebody(&review["spec"]), &review["spec"])
        }
        "SelfSubjectRulesReview" => rules_of(call, &review)?,
        "TokenReview" => token(call, &review)?,
        other => return Err(Status::method_not_supported(call.target.resource(), other)),
    };
    review["status"] = status;
    Ok(body::json(StatusCode::CREATED, &review))
}

/// Refuses a question that is none.
fn check(call: &Call<'_>, review: &Value, of_others: bool) -> Result<(), Status> {
    let spec = &review["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let mut errors = Vec::new();
    match (resource.is_object(), path.is_object()) {
        (true, true) => errors.push(FieldError::invalid("spec.nonResourceAttributes", path.clone(), BOTH)),
        (false, false) => errors.push(FieldError::invalid("spec.resourceAttributes", Value::Null, NEITHER)),
        _ => {}
    }
    let none = |field: &str| spec[field].as_str().is_none_or(str::is_empty);
    if of_others && none("user") && spec["groups"].as_array().is_none_or(Vec::is_empty) {
        let why = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", "", why));
    }
    if call.kind().namespaced {
        let asked = resource["namespace"].as_str().unwrap_or_default();
        if resource.is_object() && asked != object::text(review, "namespace") {
            let why = "must match metadata.namespace";
            errors.push(FieldError::invalid("spec.resourceAttributes.namespace", asked, why));
        }
        if path.is_object() {
            let why = "disallowed on this kind of request";
            errors.push(FieldError::invalid("spec.nonResourceAttributes", path.clone(), why));
        }
    }
    rules::refuse(call.kind(), "", &errors)
}

fn verdict(call: &Call<'_>, identity: &Identity, spec: &Value) -> Value {
    let text = |part: &str, field: &str| spec[part][field].as_str().unwrap_or_default().to_owned();
    let Verdict { allowed, reason } = if spec["resourceAttributes"].is_object() {
        let own = |field| text("resourceAttributes", field);
        let fields = ["verb", "group", "resource", "subresource", "namespace", "name"].map(own);
        let [verb, group, resource, subresource, namespace, name] = fields.each_ref().map(String::as_str);
        let resource = Resource { group, resource, subresource, namespace, name };
        call.core.access.decide(identity, &Request::on(verb, resource))
    } else {
        let own = |field| text("nonResourceAttributes", field);
        call.core.access.decide(identity, &Request::path(&own("verb"), &own("path")))
    };
    let mut status = json!({"allowed": allowed});
    if !reason.is_empty() {
        status["reason"] = reason.into();
    }
    status
}

/// The user whom a review is about.
fn somebody(spec: &Value) -> Identity {
    let text = |field: &str| spec[field].as_str().unwrap_or_default();
    let groups = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Identity::as_told(text("user"), groups.map(str::to_owned), text("uid").to_owned(), Extra::new())
}

/// Everything the user may do in a namespace.
fn rules_of(call: &Call<'_>, review: &Value) -> Result<Value, Status> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let all = || vec!["*".to_owned()];
    let everything = [
        Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), urls: all(), ..Rule::default() },
    ];
    let policy = call.core.access.policy();
    let who = call.identity.who();
    let (found, missing) = if call.identity.may_do_everything() {
        (everything.iter().collect(), Vec::new())
    } else {
        policy.rules_for(&who, namespace)
    };
    let resources: Vec<Value> =
        found.iter().filter(|rule| !rule.resources.is_empty()).map(|rule| rule.to_value()).collect();
    let paths: Vec<Value> =
        found.iter().filter(|rule| !rule.urls.is_empty()).map(|rule| rule.to_value()).collect();
    let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
    if !missing.is_empty() {
        status["evaluationError"] = missing.join(", ").into();
    }
    Ok(status)
}

/// Whose a token is.
fn token(call: &Call<'_>, review: &Value) -> Result<Value, Status> {
    let token = review["spec"]["token"].as_str().filter(|token| !token.is_empty());
    let token =
        token.ok_or_else(|| Status::bad_request("token is required for TokenReview in authentication"))?;
    let audiences = review["spec"]["audiences"].as_array().into_iter().flatten();
    let audiences: Vec<String> = audiences.filter_map(Value::as_str).map(str::to_owned).collect();
    let found = call.core.access.tokens().identify(&call.core.store, token, call.now.as_second(), &audiences);
    Ok(match found {
        Ok((identity, audiences)) => {
            json!({"authenticated": true, "user": identity.user_info(), "audiences": audiences})
        }
        Err(error) => json!({"user": {}, "error": error}),
    })
}
