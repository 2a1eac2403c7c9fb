//! Starts a supervisor, which starts the container.

use crate::{
    container::Container,
    detect::{Found, Runtimes},
    types::{Driver, Request, StartFailure},
};
use podspec::Role;
use serde_json::{Value, json};
use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

/// How much longer than the runtime the supervisor may take to say how it went.
const MARGIN: Duration = Duration::from_secs(10);

/// Why a container was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The driver is not installed or does not work: install or repair it.
    #[error("{0}")]
    NoDriver(String),
    /// The directory holds the records of another run: use a new one.
    #[error("{0} already holds the records of a container")]
    InUse(String),
    /// The container could not be started; nothing of it is left. Kubernetes' reason and words are inside.
    #[error(transparent)]
    Failed(#[from] StartFailure),
    /// The host failed (disk, processes); try again later.
    #[error("cannot start a supervisor")]
    Host(#[from] io::Error),
}

// === impl Runtimes ===

impl Runtimes {
    /// Starts a container and returns when its first process runs.
    ///
    /// Dropping the future does not stop what was begun: the container is then found by [`Runtimes::adopt`] in
    /// `request.dir`, or removed by [`Runtimes::sweep`].
    ///
    /// # Errors
    /// See [`StartError`]; after `Failed` and `NoDriver` nothing is left behind but the records in `request.dir`.
    pub async fn start(&self, request: Request) -> Result<Container, StartError> {
        let found = self.usable(request.driver)?.clone();
        write_records(self, &found, &request)?;
        self.inner.active.lock().insert(request.id.clone(), request.cgroup().to_owned());
        let result = self.launch(&request).await;
        if result.is_err() {
            self.inner.active.lock().remove(&request.id);
        }
        result
    }

    fn usable(&self, driver: Driver) -> Result<&Found, StartError> {
        let name = match driver {
            Driver::Runc => "runc",
            Driver::Runsc => "runsc (gVisor)",
        };
        let found = self
            .driver(driver)
            .ok_or_else(|| StartError::NoDriver(format!("{name} is not installed on this machine")))?;
        match &found.broken {
            Some(why) => Err(StartError::NoDriver(format!("{name} cannot be used: {why}"))),
            None => Ok(found),
        }
    }

    async fn launch(&self, request: &Request) -> Result<Container, StartError> {
        let errors = fs::File::create(request.dir.join("supervisor.err"))?;
        let mut command = Command::new(&self.inner.config.supervisor);
        command.arg0("agent-sandbox-supervisor");
        command
            .args(["run", "--instance", &self.inner.config.instance, "--id", &request.id])
            .arg(&request.dir);
        // Nothing is asked for between fork and exec, so the child is spawned without a copy of the agent's page tables, which
        // costs milliseconds; the supervisor makes its own session.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).env_clear().env("PATH", PATH);
        let mut child = command.spawn()?;
        let report = child.stdout.take().ok_or_else(|| io::Error::other("no report from the supervisor"))?;
        let mut line = String::new();
        let read = async { BufReader::new(report).read_line(&mut line).await };
        match tokio::time::timeout(request.create_timeout + MARGIN, read).await {
            Ok(result) => drop(result?),
            Err(_) => {
                let _ = child.start_kill();
                self.destroy(&request.id, &request.dir).await;
                return Err(unclear("the supervisor did not answer in time").into());
            }
        }
        let report: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(pid) = report["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()) {
            let started_at = report["startedAt"].as_str().unwrap_or_default().to_owned();
            let supervisor = child.id().and_then(|pid| i32::try_from(pid).ok());
            return Ok(Container::new(
                self,
                &request.id,
                &request.dir,
                request.driver,
                (pid, supervisor),
                started_at,
            ));
        }
        if let Ok(failure) = serde_json::from_value::<StartFailure>(report["error"].clone()) {
            // Its directory may be removed as soon as this returns: let it end first.
            let _ = tokio::time::timeout(MARGIN, child.wait()).await;
            return Err(failure.into());
        }
        let text = fs::read_to_string(request.dir.join("supervisor.err")).unwrap_or_default();
        self.destroy(&request.id, &request.dir).await;
        Err(unclear(&format!("the supervisor ended without a word {}", text.trim())).into())
    }
}

/// Search path of runtimes, which call `newuidmap` and the like.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn unclear(message: &str) -> StartFailure {
    StartFailure {
        reason: "CreateContainerError".to_owned(),
        message: message.trim().to_owned(),
        exit_code: 128,
        at: String::new(),
    }
}

fn write_records(runtimes: &Runtimes, found: &Found, request: &Request) -> Result<(), StartError> {
    let dir = &request.dir;
    let taken = ["config.json", "exit.json", "error.json"].iter().any(|name| dir.join(name).exists());
    if taken {
        return Err(StartError::InUse(dir.display().to_string()));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join("bundle"))?;
    if let Some(parent) = request.log.path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    write(&dir.join("bundle/config.json"), &request.spec)?;
    write(&dir.join("config.json"), &supervisor_config(runtimes, found, request))?;
    Ok(())
}

fn write(path: &Path, value: &Value) -> io::Result<()> {
    fs::write(path, value.to_string())
}

/// `config.json`; field names agree with `bin/supervisor`.
fn supervisor_config(runtimes: &Runtimes, found: &Found, request: &Request) -> Value {
    json!({
        "id": request.id,
        "driver": request.driver,
        "program": found.path,
        "options": options(found),
        "root": runtimes.root(request.driver),
        "mountDir": runtimes.mount_dir(),
        "rootfs": request.rootfs,
        "mounts": request.mounts,
        "netns": request.netns,
        "netSysctls": request.net_sysctls,
        "ids": request.ids,
        "member": matches!(request.role, Role::Member { .. }),
        "log": request.log,
        "tty": request.tty,
        "stdin": request.stdin,
        "stdinOnce": request.stdin_once,
        "createTimeoutMs": u64::try_from(request.create_timeout.as_millis()).unwrap_or(u64::MAX),
        "cgroup": request.spec["linux"]["cgroupsPath"],
    })
}

/// Global options of the runtime.
pub(crate) fn options(found: &Found) -> Vec<String> {
    match found.driver {
        Driver::Runc => Vec::new(),
        Driver::Runsc => {
            let platform = found.platform.as_deref().unwrap_or("systrap");
            let mut options = vec![
                format!("--platform={platform}"),
                "--network=sandbox".to_owned(),
                // The default leaves its own file in the root file system and refuses to use it again.
                "--overlay2=none".to_owned(),
            ];
            if found.applies_seccomp {
                options.push("--oci-seccomp".to_owned());
            }
            options
        }
    }
}
