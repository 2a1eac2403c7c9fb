//! What can go wrong with an image. Each text names the image or file, and the remedy where there is one.

use std::{io, path::PathBuf};
use thiserror::Error;

/// Why an image cannot be had.
#[derive(Debug, Error)]
pub enum Error {
    /// The name is not one of an image.
    #[error("{reference:?} is not an image name ({reason}); names look like registry.example/team/app:tag")]
    InvalidName {
        /// The name given.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image is not on this machine.
    #[error("image {reference} is not on this machine; pull it, or import it from an OCI layout")]
    NotPresent {
        /// The image.
        reference: String,
    },
    /// The registry does not have the image.
    #[error("the registry has no image {reference}; check the name and the tag")]
    NotFound {
        /// The image.
        reference: String,
    },
    /// The registry wants other credentials.
    #[error(
        "the registry denies access to image {reference}; check that it exists and pass credentials that may pull it"
    )]
    Unauthorized {
        /// The image.
        reference: String,
    },
    /// The registry cannot be reached, or failed; trying again later may help.
    #[error("cannot pull image {reference}: {reason}")]
    Unavailable {
        /// The image.
        reference: String,
        /// What happened.
        reason: String,
    },
    /// The image itself is wrong, or hostile; trying again does not help.
    #[error("image {reference} cannot be used: {reason}")]
    Invalid {
        /// The image.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image has nothing for this machine.
    #[error(
        "image {reference} has no variant for {wanted} (it has {found}); use an image built for this platform"
    )]
    NoPlatform {
        /// The image.
        reference: String,
        /// This machine's platform.
        wanted: String,
        /// The platforms that it has.
        found: String,
    },
    /// A local file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

// === impl Error ===

impl Error {
    /// Turns an I/O error into one that says what was tried on what.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn invalid(reference: impl Into<String>, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Invalid { reference: reference.into(), reason: reason.to_string() }
    }
}
