//! How a CustomResourceDefinition has its objects converted.

use std::collections::BTreeSet;

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::super::{Errors, one_of};
use crate::value::{items, text};

/// Versions of the conversion request that there are.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// `spec.conversion`. Fact: the names in the paths are those of Kubernetes' internal version.
pub(super) fn conversion(conversion: &Value, path: &Path<'_>, errors: &mut Errors) {
    let strategy = text(conversion, "/strategy");
    one_of(errors, &path.child("strategy"), strategy, &["None", "Webhook"]);
    let (client, reviews) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    let webhook = conversion.get("webhook").filter(|webhook| !webhook.is_null());
    let config = webhook.and_then(|webhook| webhook.get("clientConfig")).filter(|config| !config.is_null());
    if strategy != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        if config.is_some() {
            errors.push(FieldError::forbidden(client, why));
        }
        if items(conversion, "/webhook/conversionReviewVersions").len() > 0 {
            errors.push(FieldError::forbidden(reviews, why));
        }
        return;
    }
    match config {
        None => errors.push(FieldError::required(client, "required when strategy is set to Webhook")),
        Some(config) => target(config, &client, errors),
    }
    review_versions(conversion, &reviews, errors);
}

fn target(config: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (url, service) = (config.get("url").and_then(Value::as_str), config.get("service"));
    match (url, service.filter(|service| !service.is_null())) {
        (None, None) | (Some(_), Some(_)) => {
            errors.push(FieldError::required(path, "exactly one of url or service is required"));
        }
        (Some(url), None) => {
            let at = path.child("url");
            if !url.starts_with("https://") {
                let why = "'https' is the only allowed URL scheme; desired format: https://host[/path]";
                errors.push(FieldError::invalid(at, url, why));
            }
            if url.contains(['?', '#']) {
                let why = "query parameters and fragments are not permitted in the URL";
                errors.push(FieldError::invalid(at, url, why));
            }
        }
        (None, Some(service)) => {
            let at = path.child("service");
            for name in ["name", "namespace"] {
                let why = format!("service {name} is required");
                if text(service, &format!("/{name}")).is_empty() {
                    errors.push(FieldError::required(at.child(name), why));
                }
            }
            let number = service.get("port").and_then(Value::as_i64).unwrap_or(443);
            for problem in names::port_number(number) {
                let why = format!("port is not valid: {problem}");
                errors.push(FieldError::invalid(at.child("port"), number, why));
            }
        }
    }
}

fn review_versions(conversion: &Value, path: &Path<'_>, errors: &mut Errors) {
    let given: Vec<&str> =
        items(conversion, "/webhook/conversionReviewVersions").filter_map(Value::as_str).collect();
    if given.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, version) in given.iter().enumerate() {
        let at = path.index(index);
        if !seen.insert(*version) {
            errors.push(FieldError::invalid(at, *version, "duplicate version"));
            continue;
        }
        for problem in names::dns1035_label(version) {
            errors.push(FieldError::invalid(at, *version, problem));
        }
    }
    if !given.iter().any(|version| REVIEWS.contains(version)) {
        let why = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(path, given, why));
    }
}
