//! Why a container did not start, in the words people know from Kubernetes.

use crate::clock;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `error.json`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) exit_code: i32,
    pub(crate) at: String,
}

#[derive(Deserialize)]
struct LogLine {
    #[serde(default)]
    level: String,
    #[serde(default)]
    msg: String,
}

// === impl Failure ===

impl Failure {
    /// The container's file system or network could not be made ready.
    pub(crate) fn setup(message: impl Into<String>) -> Failure {
        Failure { reason: "CreateContainerError", message: message.into(), exit_code: 128, at: clock::now() }
    }

    /// The runtime refused; its log says why.
    pub(crate) fn from_runtime(log: &Path, command: &str, status: i32) -> Failure {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let raw = last_error(&text)
            .unwrap_or_else(|| format!("the runtime ended with status {status} and did not say why"));
        let (message, exit_code) = plain(&raw, command);
        Failure { reason: "StartError", message, exit_code, at: clock::now() }
    }
}

/// The last complaint in a log of JSON lines; the last line of anything else.
fn last_error(text: &str) -> Option<String> {
    let mut last = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str::<LogLine>(line) {
            Ok(entry) if matches!(entry.level.as_str(), "error" | "fatal" | "") => last = Some(entry.msg),
            Ok(_) => {}
            Err(_) => last = Some(line.to_owned()),
        }
    }
    last.filter(|message| !message.is_empty())
}

/// The message and the code that Kubernetes shows for it.
fn plain(raw: &str, command: &str) -> (String, i32) {
    let lower = raw.to_ascii_lowercase();
    let quoted = format!("{command:?}");
    // runc words it itself: `exec: "foo": executable file not found in $PATH`.
    if let Some(at) = raw.find("exec: \"") {
        let code =
            if lower.contains("permission denied") || lower.contains("is a directory") { 126 } else { 127 };
        return (raw[at..].trim().to_owned(), code);
    }
    let loading =
        lower.contains("failed to load") || lower.contains("finding") || lower.contains("executable");
    if loading && (lower.contains("not found") || lower.contains("no such file")) {
        let detail = if command.contains('/') {
            "no such file or directory"
        } else {
            "executable file not found in $PATH"
        };
        let stat = if command.contains('/') { format!("stat {command}: ") } else { String::new() };
        return (format!("exec: {quoted}: {stat}{detail}"), 127);
    }
    if loading && lower.contains("permission denied") {
        return (format!("exec: {quoted}: permission denied"), 126);
    }
    if lower.contains("exec format error") {
        return (format!("exec {command}: exec format error"), 126);
    }
    (raw.trim().to_owned(), 128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_worded_as_kubelet_words_them() {
        let check = |raw: &str, command: &str, expect: &str, code: i32| {
            assert_eq!(plain(raw, command), (expect.to_owned(), code));
        };
        let missing = "exec: \"foo\": executable file not found in $PATH";
        check(&format!("runc run failed: unable to start container process: {missing}"), "foo", missing, 127);
        check(
            "unable to start container process: exec: \"/etc\": permission denied",
            "/etc",
            "exec: \"/etc\": permission denied",
            126,
        );
        check("something else", "foo", "something else", 128);
    }

    #[test]
    fn the_last_error_of_the_log_counts() {
        let log = "{\"level\":\"warning\",\"msg\":\"w\"}\n{\"level\":\"error\",\"msg\":\"one\"}\n{\"level\":\"error\",\"msg\":\"two\"}\n{\"level\":\"info\",\"msg\":\"i\"}\n";
        assert_eq!(last_error(log).as_deref(), Some("two"));
        assert_eq!(last_error(""), None);
    }
}
