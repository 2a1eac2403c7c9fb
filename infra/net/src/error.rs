//! What can go wrong, named for what the caller can do.
use std::io;
use std::path::PathBuf;

/// An error of the pods' network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work; nothing was changed.
    #[error("network configuration: {0}")]
    Config(String),
    /// A program we need is missing.
    #[error("{program} is not installed: {fix}")]
    Missing {
        /// The program.
        program: &'static str,
        /// What to type.
        fix: &'static str,
    },
    /// Every address of the subnet is in use.
    #[error("no free address in {0}: delete sandboxes or configure a larger subnet")]
    Full(crate::Subnet),
    /// The slot asked for belongs to another pod.
    #[error("address slot {slot} belongs to pod {owner}")]
    Taken {
        /// The slot asked for.
        slot: u16,
        /// The pod that has it.
        owner: String,
    },
    /// No such pod here.
    #[error("pod {0} has no network")]
    Unknown(String),
    /// The kernel refused.
    #[error("{what}: {source}")]
    Kernel {
        /// What we asked for.
        what: String,
        /// Its answer.
        source: io::Error,
    },
    /// The firewall refused a change; nothing of it was applied.
    #[error("nft: {0}")]
    Firewall(String),
    /// A file of ours cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Names the failed request.
pub(crate) trait Context<T> {
    /// Wraps an I/O error as [`Error::Kernel`].
    fn during(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Kernel { what: what(), source: source.into() })
    }
}
