//! What a controller does when a write fails.
use kubekit::{Failure, Outcome};
use std::fmt::Display;

/// The outcome of a pass that ended with `result`. A conflict or an object that is gone is everyday life; a refusal is logged, because
/// only a person can do something about it.
pub(crate) fn outcome(what: &str, key: &impl Display, result: Result<Outcome, kube::Error>) -> Outcome {
    let error = match result {
        Ok(outcome) => return outcome,
        Err(error) => error,
    };
    match Failure::of(&error) {
        Failure::NotFound => Outcome::Done,
        Failure::Conflict | Failure::AlreadyExists | Failure::Expired => Outcome::Retry,
        Failure::Transient => {
            tracing::debug!(controller = what, %key, %error, "failed; trying again");
            Outcome::Retry
        }
        Failure::Refused => {
            tracing::warn!(controller = what, %key, %error, "refused; trying again later");
            Outcome::Retry
        }
    }
}
