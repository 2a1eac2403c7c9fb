//! A small file system of a test's own, to fill it or to make it read-only.

use crate::Output;
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A mounted tmpfs; unmounted and removed when dropped. Declare it before the [`crate::Machine`] on it.
pub struct Disk {
    directory: PathBuf,
}

// === impl Disk ===

impl Disk {
    /// Mounts one of this many MiB.
    ///
    /// # Panics
    /// It cannot be mounted.
    pub fn of(name: &str, mebibytes: u32) -> Self {
        let directory = PathBuf::from(format!("/var/tmp/system-test-disk.{}.{name}", std::process::id()));
        fs::create_dir(&directory).expect("mount point");
        let options = format!("size={mebibytes}m,mode=0755");
        Output::of(Command::new("mount").args(["-t", "tmpfs", "-o", &options, name]).arg(&directory)).ok();
        Self { directory }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Writes a file until nothing more fits.
    ///
    /// # Panics
    /// The file cannot be made.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("filler");
        for size in [1 << 20, 1 << 12] {
            while file.write_all(&vec![0x5a; size]).is_ok() {}
        }
    }

    /// Takes the filling away again.
    ///
    /// # Panics
    /// It is not filled.
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("filler");
    }

    /// Makes it read-only or writable.
    pub fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        Output::of(Command::new("mount").args(["-o", &options]).arg(&self.directory)).ok();
    }

    fn filler(&self) -> PathBuf {
        self.directory.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Output::of(Command::new("umount").arg("-l").arg(&self.directory));
        let _ = fs::remove_dir(&self.directory);
    }
}
