//! Where an installation keeps its things: the data directory, what is derived from it, and who holds it.
//!
//! **Invariant:** one process at a time works on a data directory; the kernel's lock says so, not a pid file.

use crate::{
    contents,
    lock::{self, Holder, Lock, Refused},
};
use cli::{Failure, Result};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// Where data goes unless `--data-dir` says otherwise.
pub(crate) use cli::DATA_DIR as DEFAULT_DATA_DIR;

/// Bytes that must fit into the data directory when the agent starts.
const ROOM: usize = 1 << 20;

/// The paths of one installation.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Everything that must survive a reboot.
    pub(crate) data: PathBuf,
    /// Sockets and namespaces of this boot.
    pub(crate) run: PathBuf,
    /// Six hexadecimal digits that name what this installation makes on the host.
    pub(crate) id: String,
}

/// What a running `up` says of itself, in `<data>/up.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    pub(crate) server: String,
    pub(crate) version: String,
    /// Kubeconfig that the context was written to, if one was.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Name of that context.
    #[serde(default)]
    pub(crate) context: Option<String>,
    /// RuntimeClass of sandboxes that name none.
    #[serde(default)]
    pub(crate) default_runtime: Option<String>,
}

// === impl Place ===

impl Place {
    /// Finds the installation of `data`, which is created (0711, so that only names that are known can be reached).
    ///
    /// # Errors
    /// It cannot be made, or holds something else than our data.
    pub(crate) fn create(data: &Path) -> Result<Self> {
        create(data)
            .map_err(|failure| failure.remedy("choose another place with --data-dir, or run as root"))?;
        let place = Self::existing(data)?;
        contents::claim(&place.data)?;
        create(&place.run)?;
        Ok(place)
    }

    /// Makes `data`, which must be empty or missing, the place of a restore, and takes it.
    ///
    /// # Errors
    /// It cannot be made, or holds something.
    pub(crate) fn begin_restore(data: &Path) -> Result<(Self, Lock)> {
        create(data)?;
        let place = Self::existing(data)?;
        contents::must_be_empty(&place.data)?;
        let lock = place.lock()?;
        contents::begin_restore(&place.data)?;
        Ok((place, lock))
    }

    /// The installation of `data`, which must exist.
    pub(crate) fn existing(data: &Path) -> Result<Self> {
        let real = data.canonicalize().map_err(|error| {
            Failure::new(format!("data directory {}: {error}", data.display()))
                .remedy("'agent-sandbox up' creates one")
        })?;
        let id = format!("{:06x}", fnv(real.to_string_lossy().as_bytes()) & 0xff_ffff);
        Ok(Self { run: Path::new("/run/agent-sandbox").join(&id), data: real, id })
    }

    /// Takes the directory, or says who has it.
    pub(crate) fn lock(&self) -> Result<Lock> {
        Lock::take(&self.data.join(lock::FILE)).map_err(|refused| match refused {
            Refused::Taken => self.taken(),
            Refused::Broken(failure) => {
                failure.remedy("make the data directory writable, or choose another with --data-dir")
            }
        })
    }

    /// Fails where the data directory takes no more data, before anything is started that would have to stop again.
    pub(crate) fn has_room(&self) -> Result<()> {
        let path = self.data.join(".room");
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![1; ROOM])?;
            file.sync_all()
        });
        let _ = fs::remove_file(&path);
        written.map_err(|error| {
            Failure::new(format!("write to the data directory {}: {error}", self.data.display())).remedy(
                "free some space there and start again: nothing that was acknowledged is lost, and sandboxes go on running",
            )
        })
    }

    fn taken(&self) -> Failure {
        let who = self
            .last_record()
            .map_or_else(String::new, |running| format!(" (pid {}, {})", running.pid, running.server));
        Failure::new(format!("an agent-sandbox already runs on {}{who}", self.data.display()))
            .remedy("'agent-sandbox status' shows it, 'agent-sandbox down' stops it; another --data-dir runs beside it")
    }

    /// What the process that holds the directory says of itself, if one does. Takes no lock: a question must not stand in
    /// the way of an `up` that starts at the same moment.
    pub(crate) fn running(&self) -> Option<Running> {
        let holder = self.holder()?;
        self.last_record().filter(|record| record.pid == holder.pid)
    }

    /// The process that holds the directory.
    pub(crate) fn holder(&self) -> Option<Holder> {
        Holder::of(&self.data.join(lock::FILE), || self.last_record().map(|record| record.pid))
    }

    /// What the last `up` said of itself, running or not.
    pub(crate) fn last_record(&self) -> Option<Running> {
        serde_json::from_slice(&fs::read(self.data.join("up.json")).ok()?).ok()
    }

    /// Writes down who runs. The lock must be held.
    pub(crate) fn record(&self, running: &Running) -> Result<()> {
        let text = serde_json::to_vec_pretty(running).map_err(|error| Failure::new(error.to_string()))?;
        let temporary = self.data.join(".up.json");
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, self.data.join("up.json")))
            .map_err(|error| Failure::new(format!("write {}: {error}", self.data.join("up.json").display())))
    }

    /// Whether the run directory is of this boot: what it says of processes and namespaces of an earlier one is void.
    pub(crate) fn forget_other_boots(&self) -> Result<()> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mark = self.run.join("boot");
        if fs::read_to_string(&mark).is_ok_and(|seen| seen == boot) {
            return Ok(());
        }
        let failed = |error| Failure::new(format!("renew {}: {error}", self.run.display()));
        match fs::remove_dir_all(&self.run) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.run).map_err(failed)?;
        fs::write(&mark, boot).map_err(failed)
    }
}

/// Makes a directory of which only names that are known can be reached.
fn create(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path)
        .map_err(|error| Failure::new(format!("create {}: {error}", path.display())))
}

fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_is_first() {
        let dir = tempfile::tempdir().expect("dir");
        let place = Place::existing(dir.path()).expect("place");
        let lock = place.lock().expect("first");
        let pid = i32::try_from(std::process::id()).expect("pid");
        let record = Running {
            pid,
            server: "https://127.0.0.1:1".to_owned(),
            version: String::new(),
            kubeconfig: None,
            context: None,
            default_runtime: None,
        };
        place.record(&record).expect("record");
        let refused = place.lock().err().expect("second").to_string();
        assert!(
            refused.contains(&format!("pid {pid}")) && refused.contains("agent-sandbox down"),
            "{refused}"
        );
        assert_eq!(place.running().expect("running").pid, pid);
        drop(lock);
        assert!(place.running().is_none());
    }

    #[test]
    fn the_id_depends_on_the_directory() {
        let (one, two) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let id = |dir: &tempfile::TempDir| Place::existing(dir.path()).expect("place").id;
        assert_ne!(id(&one), id(&two));
        assert_eq!(id(&one).len(), 6);
    }
}
