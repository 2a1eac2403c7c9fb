//! An error for people: what happened, to which object, what to do next, and the exit code.

use std::fmt;

/// What a shell reports of a process that SIGPIPE ended.
pub(crate) const BROKEN_PIPE: u8 = 141;

/// Exit code of `run` and `exec` where the command was not run, so that it is not taken for the command's own.
pub(crate) const NOT_RUN: u8 = 125;

/// Result of a verb.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a verb failed. Printed as `error: <text>` and, where a remedy is known, a line that says what to do next.
#[derive(Debug)]
pub struct Failure {
    text: String,
    remedy: Option<String>,
    code: u8,
}

// === impl Failure ===

impl Failure {
    /// A failure with exit code 1. `text` says the object and what went wrong.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), remedy: None, code: 1 }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Sets the exit code of the process.
    #[must_use]
    pub fn exit_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Nobody reads what is written: the end of `agent-sandbox ... | head`, which is no error to speak of.
    pub(crate) fn reader_gone() -> Self {
        Self::new("").exit_code(BROKEN_PIPE)
    }

    /// Whether there is nothing to print.
    pub fn is_silent(&self) -> bool {
        self.text.is_empty()
    }

    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// As [`Failure::exit_code`], unless another code than 1 was set already.
    #[must_use]
    pub(crate) fn or_exit_code(self, code: u8) -> Self {
        if self.code == 1 { self.exit_code(code) } else { self }
    }

    /// Turns a client error into words, where `doing` names the operation and the object: `create sandbox "x"`.
    pub(crate) fn from_kube(doing: &str, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::new(format!("{doing}: {}", status.message)),
            kube::Error::Service(source) => Self::unreachable(doing, &deepest(source.as_ref())),
            kube::Error::HyperError(source) => Self::unreachable(doing, &deepest(&source)),
            other => Self::new(format!("{doing}: {}", deepest(&other))),
        }
    }

    pub(crate) fn unreachable(doing: &str, cause: &str) -> Self {
        Self::new(format!("{doing}: the API server does not answer: {cause}")).remedy(
            "start standalone with 'agent-sandbox up --detach', or choose another server with --context",
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.text)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "\n  {remedy}"))
    }
}

impl std::error::Error for Failure {}

/// The text of the innermost cause: the outer ones only repeat that a request failed.
pub(crate) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// Adds to a client call what it was doing, for the message.
pub(crate) trait Doing<T> {
    /// Names the operation and the object: `get sandbox "x"`.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, kube::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::from_kube(&what(), error))
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::new(format!("{}: {error}", what())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_stands_on_its_own_line() {
        let failure = Failure::new("get sandbox \"x\": not found").remedy("see 'agent-sandbox ls'");
        assert_eq!(failure.to_string(), "error: get sandbox \"x\": not found\n  see 'agent-sandbox ls'");
        assert_eq!(failure.code(), 1);
    }
}
