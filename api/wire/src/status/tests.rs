//! Texts, codes and reasons are those of apimachinery's `api/errors` and of the API server's negotiation.

use serde_json::json;

use super::*;

const PODS: Qualified<'static> = Qualified::new("", "pods");
const SANDBOXES: Qualified<'static> = Qualified::new("agents.x-k8s.io", "sandboxes");

#[test]
fn every_answer_has_kubernetes_text_code_and_reason() {
    let attempt =
        Attempt { user: "u", verb: "list", resource: SANDBOXES, subresource: "", namespace: "n", name: "" };
    let cases = [
        (Status::not_found(PODS, "x"), 404, Reason::NotFound, "pods \"x\" not found"),
        (
            Status::not_found(SANDBOXES, "x"),
            404,
            Reason::NotFound,
            "sandboxes.agents.x-k8s.io \"x\" not found",
        ),
        (Status::already_exists(PODS, "x"), 409, Reason::AlreadyExists, "pods \"x\" already exists"),
        (
            Status::modified(PODS, "x"),
            409,
            Reason::Conflict,
            "Operation cannot be fulfilled on pods \"x\": the object has been modified; please apply your changes \
             to the latest version and try again",
        ),
        (
            Status::strict_decoding("Pod", "v1", &["unknown field \"spec.foo\"".to_owned()]),
            400,
            Reason::BadRequest,
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.foo\"",
        ),
        (
            Status::denied(&attempt),
            403,
            Reason::Forbidden,
            "sandboxes.agents.x-k8s.io is forbidden: User \"u\" cannot list resource \"sandboxes\" in API group \
             \"agents.x-k8s.io\" in the namespace \"n\"",
        ),
        (
            Status::denied_path("u", "get", "/metrics"),
            403,
            Reason::Forbidden,
            "forbidden: User \"u\" cannot get path \"/metrics\"",
        ),
        (Status::too_old(3, 9), 410, Reason::Expired, "too old resource version: 3 (9)"),
        (
            Status::method_not_supported(PODS, "patch"),
            405,
            Reason::MethodNotAllowed,
            "patch is not supported on resources of kind \"pods\"",
        ),
        (Status::internal("boom"), 500, Reason::InternalError, "Internal error occurred: boom"),
    ];
    for (status, code, reason, message) in cases {
        assert_eq!(
            (status.code, status.reason.clone(), status.message.as_str()),
            (code, Some(reason), message)
        );
    }
}

#[test]
fn invalid_lists_each_error_as_a_cause() {
    let errors = [FieldError::required("spec.containers", ""), FieldError::invalid("spec.x", 1, "bad")];
    let status = Status::invalid(Qualified::new("", "Pod"), "x", &errors);
    assert_eq!(
        status.message,
        "Pod \"x\" is invalid: [spec.containers: Required value, spec.x: Invalid value: 1: bad]"
    );
    let want = Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: "Invalid value: 1: bad".to_owned(),
        field: "spec.x".to_owned(),
    };
    assert_eq!(status.causes()[1], want);
}

#[test]
fn json_has_the_shape_that_clients_decode() {
    let status = Status::not_found(PODS, "x");
    let want = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "pods \"x\" not found", "reason": "NotFound", "code": 404,
        "details": {"name": "x", "kind": "pods"}
    });
    assert_eq!(serde_json::to_value(&status).unwrap(), want);
    assert_eq!(serde_json::from_value::<Status>(want).unwrap(), status);
    let done = serde_json::to_value(Status::success(PODS, "x", "u")).unwrap();
    assert_eq!(
        done,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
               "details": {"name": "x", "kind": "pods", "uid": "u"}})
    );
}

#[test]
fn an_unknown_reason_survives() {
    let status: Status = serde_json::from_value(json!({"reason": "Odd", "code": 418})).unwrap();
    assert_eq!(status.reason, Some(Reason::Other("Odd".to_owned())));
}
