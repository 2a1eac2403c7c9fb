//! Why a container will not be built.

use std::fmt;

/// A container (or pod) that will not run as written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// What kind of refusal it is.
    pub reason: Reason,
    /// Path of the field in the Pod, as `spec.containers[app].securityContext.privileged`.
    pub field: String,
    /// What is wrong, in Kubernetes' words where it has some.
    pub message: String,
    /// What to do instead; may be empty when the message says it.
    pub remedy: String,
}

/// Kinds of refusal, each with the word Kubernetes uses for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The Pod asks for what this system does not give: the Pod fails.
    Forbidden,
    /// Something it names is missing or wrong; it may appear later: the container waits.
    Config,
}

// === impl Refusal ===

impl Refusal {
    /// A field that is not allowed here.
    pub(crate) fn forbidden(
        field: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Refusal {
            reason: Reason::Forbidden,
            field: field.into(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// Something missing or unusable that may be put right while the Pod waits.
    pub(crate) fn config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal {
            reason: Reason::Config,
            field: field.into(),
            message: message.into(),
            remedy: String::new(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Forbidden => write!(f, "{}: {}", self.field, self.message)?,
            Reason::Config => f.write_str(&self.message)?,
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

// === impl Reason ===

impl Reason {
    /// The reason shown in the Pod's or the container's status.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Forbidden => "Forbidden",
            Reason::Config => "CreateContainerConfigError",
        }
    }
}
