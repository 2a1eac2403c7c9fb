//! The little that must survive a reboot: the subnet, and what we changed on the host for good.
use crate::{Error, Subnet};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// The subnet in use.
    pub(crate) subnet: Option<String>,
    /// Whether it was us who made the host a router.
    #[serde(default)]
    pub(crate) enabled_forwarding: bool,
}

// === impl State ===

impl State {
    /// What was saved; the default if nothing was.
    pub(crate) fn load(path: &Path) -> Result<State, Error> {
        let file = |source| Error::File { path: path.to_owned(), source };
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| file(e.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(e) => Err(file(e)),
        }
    }

    /// Saves so that a crash leaves the old or the new state, never half of one.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Error> {
        let save = || {
            let draft = path.with_extension("new");
            let mut file = fs::File::create(&draft)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&draft, path)?;
            fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        save().map_err(|source| Error::File { path: path.to_owned(), source })
    }

    pub(crate) fn subnet(&self) -> Option<Subnet> {
        self.subnet.as_deref()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_survives_and_a_damaged_file_is_an_error_not_a_new_subnet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net.json");
        assert_eq!(State::load(&path).unwrap(), State::default());
        let state = State { subnet: Some("10.201.0.0/18".to_owned()), enabled_forwarding: true };
        state.save(&path).unwrap();
        assert_eq!(State::load(&path).unwrap(), state);
        fs::write(&path, b"{\"subnet\":").unwrap();
        assert!(matches!(State::load(&path), Err(Error::File { .. })));
    }
}
