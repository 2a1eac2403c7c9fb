//! Why a backup is not written or not read.

use std::{io, path::PathBuf};
use thiserror::Error;

/// Named for what the caller can do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is a file of that name already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The file is something else.
    #[error("{} is not a backup of agent-sandbox", .0.display())]
    Foreign(PathBuf),
    /// A newer program wrote it.
    #[error("{} has backup format {found}, and this version reads up to {supported}", file.display())]
    TooNew {
        /// The file.
        file: PathBuf,
        /// The format that it states.
        found: u32,
        /// The newest that this program reads.
        supported: u32,
    },
    /// It is cut off or was changed.
    #[error("{} is damaged: {what}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// It was told to end.
    #[error("stopped before it was done")]
    Stopped,
    /// A file or directory could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Inside an [`io::Error`]: the caller has told the work to end.
#[derive(Debug, Error)]
#[error("told to end")]
pub(crate) struct ToldToEnd;

/// Says what was tried on what.
pub(crate) fn failed(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| match source.get_ref().is_some_and(|inner| inner.is::<ToldToEnd>()) {
        true => Error::Stopped,
        false => Error::Io { action, path, source },
    }
}
