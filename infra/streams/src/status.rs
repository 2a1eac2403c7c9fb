//! The last message of an exec or attach: a Kubernetes `Status`, from which clients take the exit code.

use serde_json::{Value, json};

/// The command ended well.
pub fn success() -> Value {
    json!({"metadata": {}, "status": "Success"})
}

/// The command ended with this code.
pub fn exited(code: i32) -> Value {
    if code == 0 {
        return success();
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

/// The command could not be run, or the stream failed.
pub fn internal(message: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {message}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// client-go takes the code from the cause whose type is `ExitCode`; `type` is written as `reason`.
    #[test]
    fn an_exit_code_is_a_cause() {
        let status = exited(3);
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
        assert_eq!(exited(0), success());
    }
}
