//! What `check` tells the operator.

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something will not work until it is fixed.
    Problem,
}

/// One thing about this machine's network that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What is so, in one sentence.
    pub what: String,
    /// What to type, empty if nothing is to be done.
    pub fix: String,
}

// === impl Finding ===

impl Finding {
    pub(crate) fn note(what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { severity: Severity::Note, what: what.into(), fix: fix.into() }
    }

    pub(crate) fn problem(what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { severity: Severity::Problem, what: what.into(), fix: fix.into() }
    }
}
