//! Until when the certificates in a folder are good, for whoever asks from outside.

use std::path::Path;

use access::lifetime::{self, Lifetime};
use jiff::Timestamp;

use super::{PkiError, files, leaf};

/// Names of the certificates' files, what people call them, and how long they live.
const KEPT: [(&str, &str, Lifetime); 3] = [
    ("apiserver", "server", lifetime::SERVING),
    ("admin", "administrator", lifetime::ADMINISTRATOR),
    ("ca", "authority", lifetime::AUTHORITY),
];

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `server`, `administrator` or `authority`.
    pub what: &'static str,
    /// When it ends.
    pub until: Timestamp,
    /// From when on it is replaced: while the server runs, the authority at a start only.
    pub due_from: Timestamp,
}

/// Looks at the certificates in a folder and changes nothing. One that is not there yet is left out. Blocks on files.
///
/// # Errors
/// A file that cannot be read, or is no certificate.
pub fn standing(dir: &Path) -> Result<Vec<Standing>, PkiError> {
    let mut found = Vec::new();
    for (name, what, lifetime) in KEPT {
        let Some(pem) = files::certificate(dir, name)? else { continue };
        let end = leaf::end(name, &pem)?;
        let at = |second| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        found.push(Standing { what, until: at(end), due_from: at(lifetime.due_from(end)) });
    }
    Ok(found)
}
