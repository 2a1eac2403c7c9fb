//! Who holds a data directory: the kernel's lock on a file, in which the holder writes who it is.
//!
//! **Invariant:** only whoever is going to work on the data takes the lock; everybody else reads the file. A process is
//! signalled only after it is known to be the holder, and by a descriptor that cannot come to mean another process.

use cli::{Failure, Result};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    fs::{self, File, Permissions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Its name in the data directory.
pub(crate) const FILE: &str = "lock";

/// The data directory is ours until this is dropped.
pub(crate) struct Lock {
    file: File,
}

/// Why the lock was not taken.
pub(crate) enum Refused {
    Taken,
    Broken(Failure),
}

/// A process that lives and holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: i32,
    /// When it started, in ticks since boot: a number that is given again names another process.
    started: u64,
}

// === impl Lock ===

impl Lock {
    /// Takes the lock and writes down who has it.
    pub(crate) fn take(path: &Path) -> std::result::Result<Self, Refused> {
        let broken = |doing: &str, error: &dyn std::fmt::Display| {
            Refused::Broken(Failure::new(format!("{doing} {}: {error}", path.display())))
        };
        // Whoever may open it may also lock it, and so keep the owner out.
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
        let mut file = file.map_err(|error| broken("open", &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Refused::Taken),
            Err(error) => return Err(broken("lock", &error)),
        }
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let line = format!("{own} {}\n", started(own).unwrap_or_default());
        let written = file
            .set_permissions(Permissions::from_mode(0o600))
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(line.as_bytes()));
        // A full disk is told by whoever needs the room; the lock itself is held.
        let _ = written;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody holds what is empty; the lock itself goes with the file.
        let _ = self.file.set_len(0);
    }
}

// === impl Holder ===

impl Holder {
    /// The living process that the file names. `recorded` is the process that an older version wrote down elsewhere.
    pub(crate) fn of(path: &Path, recorded: impl Fn() -> Option<i32>) -> Option<Self> {
        let text = match fs::read_to_string(path) {
            // Who is not root sees the record only, and that the process it names is one of ours.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let pid = recorded()?;
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                return Some(Self { pid, started: started(pid)? })
                    .filter(|_| name.starts_with("agent-sandbox"));
            }
            text => text.ok()?,
        };
        let mut words = text.split_whitespace().map(str::parse::<u64>);
        if let (Some(Ok(pid)), Some(Ok(at))) = (words.next(), words.next()) {
            let holder = Self { pid: i32::try_from(pid).ok()?, started: at };
            return (started(holder.pid)? == holder.started).then_some(holder);
        }
        // Versions before this one left the file empty; a shared try tells whether one of them has it.
        let file = File::open(path).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = recorded()?;
                Some(Self { pid, started: started(pid)? })
            }
            _ => None,
        }
    }

    /// Sends a signal to this very process.
    ///
    /// # Errors
    /// It is gone, or belongs to somebody else.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let failed = |error: rustix::io::Errno| {
            Failure::new(format!("signal pid {}: {error}", self.pid))
                .remedy("run this as the user who started it, or with sudo")
        };
        let pid = Pid::from_raw(self.pid).ok_or_else(|| failed(rustix::io::Errno::SRCH))?;
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
        // Asked after the descriptor is open: from here on the number cannot change hands unnoticed.
        if started(self.pid) != Some(self.started) {
            return Err(failed(rustix::io::Errno::SRCH));
        }
        pidfd_send_signal(process, signal).map_err(failed)
    }
}

/// Field 22 of `/proc/<pid>/stat`; none of a process that is gone or only waits to be collected.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the state follows it as field 3.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let alive = !matches!(fields.next()?, "Z" | "X");
    fields.nth(18)?.parse().ok().filter(|_| alive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_read_without_taking_the_lock() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join(FILE);
        let none = || None;
        assert_eq!(Holder::of(&path, none), None);
        let lock = Lock::take(&path).ok().expect("free");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
        let holder = Holder::of(&path, none).expect("held");
        assert_eq!(u32::try_from(holder.pid).expect("pid"), std::process::id());
        holder.signal(Signal::CONT).expect("it is us");
        assert!(matches!(Lock::take(&path), Err(Refused::Taken)));
        drop(lock);
        assert_eq!(Holder::of(&path, none), None);
    }

    #[test]
    fn a_number_that_was_given_to_another_process_is_no_holder() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join(FILE);
        let own = i32::try_from(std::process::id()).expect("pid");
        let earlier = Holder { pid: own, started: started(own).expect("alive") - 1 };
        fs::write(&path, format!("{} {}\n", earlier.pid, earlier.started)).expect("write");
        assert_eq!(Holder::of(&path, || None), None);
        assert!(earlier.signal(Signal::CONT).is_err(), "it is not signalled either");
    }

    #[test]
    fn a_lock_of_the_version_before_is_told_by_its_record() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join(FILE);
        let file = File::create(&path).expect("create");
        let own = i32::try_from(std::process::id()).expect("pid");
        assert_eq!(Holder::of(&path, || Some(own)), None, "nobody holds it");
        flock(&file, FlockOperation::NonBlockingLockExclusive).expect("lock");
        assert_eq!(Holder::of(&path, || Some(own)).expect("held").pid, own);
    }
}
