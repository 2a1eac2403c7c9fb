//! Which runtimes this machine has.

use crate::{host, leftover, probe, types::Driver};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How the runtimes are used.
#[derive(Clone, Debug)]
pub struct Config {
    /// Instance id: six hex digits.
    pub instance: String,
    /// Directory for runtime state, for example `/run/agent-sandbox/<instance>`; made if missing.
    pub run_dir: PathBuf,
    /// The static supervisor program.
    pub supervisor: PathBuf,
    /// Where runtimes are looked for; the usual directories if empty.
    pub search: Vec<PathBuf>,
    /// gVisor platform to use; `None` probes once and remembers the answer in `probe_cache`.
    pub platform: Option<String>,
    /// File that remembers what probing found.
    pub probe_cache: Option<PathBuf>,
    /// Longest time for one runtime command that is not `run`.
    pub command_timeout: Duration,
}

/// A runtime that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one.
    pub driver: Driver,
    /// Its program.
    pub path: PathBuf,
    /// Its version as it prints it.
    pub version: String,
    /// When that version was released, `YYYY-MM`, if known.
    pub released: Option<String>,
    /// How it isolates, in a few words: `shared kernel`, `gVisor (systrap)`.
    pub isolation: String,
    /// gVisor platform in use.
    pub platform: Option<String>,
    /// It enforces the spec's seccomp profile itself (runc always; gVisor where `--oci-seccomp` exists).
    pub applies_seccomp: bool,
    /// Why it cannot be used, if it cannot.
    pub broken: Option<String>,
    /// What a person should know: age, missing features.
    pub warnings: Vec<String>,
}

/// The runtimes of this machine, ready to run containers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runtimes {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) found: BTreeMap<Driver, Found>,
    /// Cgroups of the containers that this process started or adopted, by id: the sweep never touches them. A container
    /// is in here before anything of it is made.
    pub(crate) active: Mutex<BTreeMap<String, String>>,
}

// === impl Config ===

impl Config {
    /// A configuration with the usual search path and time limits.
    pub fn new(
        instance: impl Into<String>,
        run_dir: impl Into<PathBuf>,
        supervisor: impl Into<PathBuf>,
    ) -> Config {
        Config {
            instance: instance.into(),
            run_dir: run_dir.into(),
            supervisor: supervisor.into(),
            search: Vec::new(),
            platform: None,
            probe_cache: None,
            command_timeout: Duration::from_secs(10),
        }
    }
}

// === impl Runtimes ===

impl Runtimes {
    /// Looks for runtimes, asks each for its version, finds gVisor's fastest platform that works, and makes the
    /// run directory.
    ///
    /// # Errors
    /// The run directory cannot be made, or the supervisor program is missing.
    pub async fn detect(config: Config) -> io::Result<Runtimes> {
        make_dirs(&config)?;
        if !config.supervisor.is_file() {
            let text =
                format!("{} is missing: the supervisor runs every container", config.supervisor.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        leftover::sweep(&config.run_dir);
        leftover::sweep(&exec_dir(&config));
        let mut found = BTreeMap::new();
        for (driver, name) in [(Driver::Runc, "runc"), (Driver::Runsc, "runsc")] {
            if let Some(path) = search(&config, name) {
                found.insert(driver, probe::examine(&config, driver, path).await);
            }
        }
        Ok(Runtimes { inner: Arc::new(Inner { config, found, active: Mutex::default() }) })
    }

    /// Every runtime found, usable or not.
    pub fn found(&self) -> impl Iterator<Item = &Found> {
        self.inner.found.values()
    }

    /// The runtime for a driver, if it was found.
    pub fn driver(&self, driver: Driver) -> Option<&Found> {
        self.inner.found.get(&driver)
    }

    /// Where supervisors mount things, each in its own mount namespace: for `podspec::Host::mount_dir`.
    pub fn mount_dir(&self) -> PathBuf {
        mount_dir(&self.inner.config)
    }

    /// The init program for `podspec::Inputs::init`.
    pub fn init_program(&self) -> &Path {
        &self.inner.config.supervisor
    }

    /// Facts of this host for `podspec::Inputs`, without the node's name and addresses.
    pub fn host(&self) -> podspec::Host {
        host::facts(&self.inner.config.instance, self.mount_dir())
    }

    /// Files of commands under way. In memory: their variables may be secrets, and a disk would make each command wait.
    pub(crate) fn exec_dir(&self) -> PathBuf {
        exec_dir(&self.inner.config)
    }

    /// State directory of a runtime.
    pub(crate) fn root(&self, driver: Driver) -> PathBuf {
        root(&self.inner.config, driver)
    }
}

pub(crate) fn mount_dir(config: &Config) -> PathBuf {
    config.run_dir.join("mnt")
}

fn exec_dir(config: &Config) -> PathBuf {
    config.run_dir.join("exec")
}

pub(crate) fn root(config: &Config, driver: Driver) -> PathBuf {
    config.run_dir.join(match driver {
        Driver::Runc => "runc",
        Driver::Runsc => "runsc",
    })
}

/// Containers' roots must be able to walk to their file system: search permission for all, reading for none.
fn make_dirs(config: &Config) -> io::Result<()> {
    let make = |dir: &Path, mode: u32| std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir);
    make(&config.run_dir, 0o711)?;
    // `runc exec` changes to the path of the container's root, though in the agent's namespace nothing is there.
    make(&mount_dir(config).join(podspec::ROOTFS), 0o711)?;
    make(&exec_dir(config), 0o700)?;
    make(&root(config, Driver::Runc), 0o711)?;
    make(&root(config, Driver::Runsc), 0o711)
}

fn search(config: &Config, name: &str) -> Option<PathBuf> {
    const USUAL: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let usual = USUAL.iter().map(PathBuf::from).filter(|_| config.search.is_empty());
    config.search.iter().cloned().chain(usual).map(|dir| dir.join(name)).find(|path| path.is_file())
}
