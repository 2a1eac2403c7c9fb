//! One constructor for each answer, with Kubernetes' code, reason, details and text.

use std::fmt::Display;

use super::{Attempt, Cause, Details, Qualified, Reason, Status, explain};
use crate::field::FieldError;
use crate::golang::quote;

/// The detail of a conflict that comes from a stale resourceVersion.
const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl Status {
    /// A failure from its parts, for what no other constructor covers.
    pub fn failure(code: u16, reason: Reason, message: impl Into<String>) -> Status {
        Status {
            status: "Failure".to_owned(),
            message: message.into(),
            reason: Some(reason),
            details: None,
            code,
            continue_token: None,
        }
    }

    /// `Success` about an object, as a finished delete answers.
    pub fn success(resource: Qualified<'_>, name: &str, uid: &str) -> Status {
        let details = Details { uid: uid.to_owned(), ..about(resource, name) };
        Status { status: "Success".to_owned(), ..Status::default() }.with(details)
    }

    /// The same with details.
    pub fn with(mut self, details: Details) -> Status {
        self.details = Some(Box::new(details));
        self
    }

    /// 404 `pods "x" not found`.
    pub fn not_found(resource: Qualified<'_>, name: &str) -> Status {
        let message = format!("{resource} {} not found", quote(name));
        Status::failure(404, Reason::NotFound, message).with(about(resource, name))
    }

    /// 404 for a path that nothing serves.
    pub fn no_such_path() -> Status {
        Status::failure(404, Reason::NotFound, "the server could not find the requested resource")
            .with(Details::default())
    }

    /// 500 without a reason: what Kubernetes makes of an error that is no status.
    pub fn unexplained(why: impl Display) -> Status {
        Status { reason: None, ..Status::failure(500, Reason::InternalError, why.to_string()) }
    }

    /// 409 `pods "x" already exists`.
    pub fn already_exists(resource: Qualified<'_>, name: &str) -> Status {
        let message = format!("{resource} {} already exists", quote(name));
        Status::failure(409, Reason::AlreadyExists, message).with(about(resource, name))
    }

    /// 409 when no free name could be made from `generateName`.
    pub fn generate_name_conflict(resource: Qualified<'_>, name: &str) -> Status {
        let message = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for the object",
            quote(name)
        );
        Status::failure(409, Reason::AlreadyExists, message)
            .with(Details { retry_after_seconds: 1, ..about(resource, name) })
    }

    /// 409 `Operation cannot be fulfilled on pods "x": <why>`.
    pub fn conflict(resource: Qualified<'_>, name: &str, why: impl Display) -> Status {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", quote(name));
        Status::failure(409, Reason::Conflict, message).with(about(resource, name))
    }

    /// The conflict of a write whose resourceVersion is behind.
    pub fn modified(resource: Qualified<'_>, name: &str) -> Status {
        Status::conflict(resource, name, MODIFIED)
    }

    /// The conflict of a delete whose uid precondition does not hold. `kind` is the kind, not the plural.
    pub fn uid_precondition(kind: Qualified<'_>, name: &str, wanted: &str, actual: &str) -> Status {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({actual}). \
             The object might have been deleted and then recreated"
        );
        Status::conflict(kind, name, why)
    }

    /// The conflict of a delete whose resourceVersion precondition does not hold. `kind` is the kind.
    pub fn version_precondition(kind: Qualified<'_>, name: &str, wanted: &str, actual: &str) -> Status {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({actual}). The object might have been modified"
        );
        Status::conflict(kind, name, why)
    }

    /// 409 of server-side apply; `causes` have reason `FieldManagerConflict`.
    pub fn apply_conflict(causes: Vec<Cause>, message: impl Into<String>) -> Status {
        Status::failure(409, Reason::Conflict, message).with(Details { causes, ..Details::default() })
    }

    /// 422 `Pod "x" is invalid: ...`, with one cause for each error. `kind` is the kind, not the plural.
    pub fn invalid(kind: Qualified<'_>, name: &str, errors: &[FieldError]) -> Status {
        let (causes, text) = explain(errors);
        let mut message = format!("{kind} {} is invalid", quote(name));
        if !errors.is_empty() {
            message.push_str(": ");
            message.push_str(&text);
        }
        Status::failure(422, Reason::Invalid, message).with(Details { causes, ..about(kind, name) })
    }

    /// 400 with the given text.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::failure(400, Reason::BadRequest, message)
    }

    /// 400 for a body that is not the kind it should be; `why` is the decoder's text.
    pub fn undecodable(kind: &str, version: &str, why: impl Display) -> Status {
        let version = quote(version);
        Status::bad_request(format!("{kind} in version {version} cannot be handled as a {kind}: {why}"))
    }

    /// 400 for a body that does not say what it is: shows how it begins.
    pub fn unrecognized(kind: &str, why: impl Display, body: &[u8]) -> Status {
        const SHOWN: usize = 30;
        let start = &body[..body.len().min(SHOWN)];
        // What is no JSON object is shown as hexadecimal digits.
        let start = match body.first() {
            None => "<empty>".to_owned(),
            Some(b'{') => String::from_utf8_lossy(start).into_owned(),
            Some(_) => start.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let shown = if body.len() > SHOWN { format!("{start} ...") } else { start };
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({shown})"
        ))
    }

    /// 400 of `fieldValidation=Strict`: `problems` are texts like `unknown field "spec.foo"`.
    pub fn strict_decoding(kind: &str, version: &str, problems: &[String]) -> Status {
        Status::undecodable(kind, version, strict(problems))
    }

    /// 401.
    pub fn unauthorized() -> Status {
        Status::failure(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 403 `pods "x" is forbidden: <why>`.
    pub fn forbidden(resource: Qualified<'_>, name: &str, why: impl Display) -> Status {
        let message = match (resource.name.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{resource} is forbidden: {why}"),
            (false, false) => format!("{resource} {} is forbidden: {why}", quote(name)),
        };
        Status::failure(403, Reason::Forbidden, message).with(about(resource, name))
    }

    /// 403 of RBAC for an object request.
    pub fn denied(attempt: &Attempt<'_>) -> Status {
        Status::forbidden(attempt.resource, attempt.name, attempt.sentence())
    }

    /// 403 of RBAC for a path that is not a resource.
    pub fn denied_path(user: &str, verb: &str, path: &str) -> Status {
        let why = format!("User {} cannot {verb} path {}", quote(user), quote(path));
        Status::forbidden(Qualified::new("", ""), "", why)
    }

    /// 410 `Expired`: the revision asked for is no longer kept.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::failure(410, Reason::Expired, message)
    }

    /// 410 as a watch or list from an old revision answers: `too old resource version: <asked> (<oldest>)`.
    pub fn too_old(asked: u64, oldest: u64) -> Status {
        Status::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 410 `Gone`.
    pub fn gone(message: impl Into<String>) -> Status {
        Status::failure(410, Reason::Gone, message)
    }

    /// 405 `<action> is not supported on resources of kind "pods"`.
    pub fn method_not_supported(resource: Qualified<'_>, action: &str) -> Status {
        let message =
            format!("{action} is not supported on resources of kind {}", quote(&resource.to_string()));
        Status::failure(405, Reason::MethodNotAllowed, message).with(about(resource, ""))
    }

    /// 405 for a method that no route of the path has.
    pub fn method_not_allowed() -> Status {
        let message = "the server does not allow this method on the requested resource";
        Status::failure(405, Reason::MethodNotAllowed, message).with(Details::default())
    }

    /// 406: none of the media types that the client accepts can be served.
    pub fn not_acceptable(served: &[&str]) -> Status {
        let message = format!("only the following media types are accepted: {}", served.join(", "));
        Status::failure(406, Reason::NotAcceptable, message)
    }

    /// 415: a body in a media type that is not understood.
    pub fn unsupported_media_type(understood: &[&str]) -> Status {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            understood.join(", ")
        );
        Status::failure(415, Reason::UnsupportedMediaType, message)
    }

    /// 413 `Request entity too large: <what>`.
    pub fn too_large(what: impl Display) -> Status {
        Status::failure(413, Reason::RequestEntityTooLarge, format!("Request entity too large: {what}"))
    }

    /// 429 with the seconds after which to try again.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Status {
        Status::failure(429, Reason::TooManyRequests, message)
            .with(Details { retry_after_seconds, ..Details::default() })
    }

    /// 500 `Internal error occurred: <why>`.
    pub fn internal(why: impl Display) -> Status {
        let cause = Cause { message: why.to_string(), ..Cause::default() };
        Status::failure(500, Reason::InternalError, format!("Internal error occurred: {why}"))
            .with(Details { causes: vec![cause], ..Details::default() })
    }

    /// 503 with the given text.
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::failure(503, Reason::ServiceUnavailable, message)
    }

    /// 504 `Timeout: <message>`.
    pub fn timeout(message: impl Display) -> Status {
        Status::failure(504, Reason::Timeout, format!("Timeout: {message}")).with(Details::default())
    }
}

impl Attempt<'_> {
    /// `User "u" cannot list resource "pods" in API group "" in the namespace "n"`.
    pub fn sentence(&self) -> String {
        let (user, group) = (quote(self.user), quote(self.resource.group));
        let resource = if self.subresource.is_empty() {
            quote(self.resource.name)
        } else {
            quote(&format!("{}/{}", self.resource.name, self.subresource))
        };
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {}", quote(self.namespace))
        };
        format!("User {user} cannot {} resource {resource} in API group {group} {place}", self.verb)
    }
}

/// `strict decoding error: a, b`, the text of several problems.
pub(crate) fn strict(problems: &[String]) -> String {
    format!("strict decoding error: {}", problems.join(", "))
}

fn about(resource: Qualified<'_>, name: &str) -> Details {
    Details {
        name: name.to_owned(),
        group: resource.group.to_owned(),
        kind: resource.name.to_owned(),
        ..Details::default()
    }
}
