//! A container that runs or ran.

use crate::{
    attach::Attach,
    cgroup,
    control::{self, Control},
    detect::Runtimes,
    types::{Driver, Exit, StartFailure, Stats},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How long a supervisor may take to clean up after its container, and a container to die of SIGKILL.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);

/// A started container. Cheap to clone; dropping it does nothing to the container.
#[derive(Clone, Debug)]
pub struct Container {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) runtimes: Runtimes,
    pub(crate) id: String,
    pub(crate) dir: PathBuf,
    pub(crate) driver: Driver,
    pid: i32,
    started_at: String,
    /// Read when first needed.
    facts: OnceLock<Facts>,
}

/// What exec and stats need of a container's records.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// `process` of the spec.
    pub(crate) process: Value,
    /// Cgroup path.
    pub(crate) cgroup: String,
    /// The pod's network namespace.
    pub(crate) netns: Option<PathBuf>,
}

/// What is found in a container's directory.
#[derive(Debug)]
pub enum Adopted {
    /// It runs.
    Running(Container),
    /// It ended.
    Exited(Exit),
    /// It never started.
    Failed(StartFailure),
    /// Its supervisor is gone without a record (reboot, SIGKILL of the supervisor). Leftovers were killed and an
    /// exit record with `lost` was written.
    Lost(Exit),
    /// There was never a container here.
    Absent,
}

/// Why a container could not be stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The request did not reach the supervisor.
    #[error("cannot reach the container's supervisor")]
    Unreachable(#[from] io::Error),
}

// === impl Runtimes ===

impl Runtimes {
    /// Finds the container that an earlier agent started in `dir`.
    ///
    /// # Errors
    /// The directory cannot be read, or a living supervisor does not answer.
    pub async fn adopt(&self, dir: &Path) -> io::Result<Adopted> {
        if let Some(ended) = ended(dir)? {
            return Ok(ended);
        }
        let Some(config) = read::<Value>(&dir.join("config.json"))? else { return Ok(Adopted::Absent) };
        let id = config["id"].as_str().unwrap_or_default().to_owned();
        let driver = serde_json::from_value(config["driver"].clone()).map_err(io::Error::other)?;
        let answer = match wait_started(dir).await {
            Ok(answer) => answer,
            Err(error) => {
                // It may have ended in between; else there is nobody.
                if let Some(ended) = ended(dir)? {
                    return Ok(ended);
                }
                if error.kind() == io::ErrorKind::TimedOut {
                    return Err(error);
                }
                return Ok(Adopted::Lost(self.lost(&id, dir).await?));
            }
        };
        self.inner.active.lock().insert(id.clone());
        let pid = answer["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        let started_at = answer["startedAt"].as_str().unwrap_or_default().to_owned();
        Ok(Adopted::Running(Container::new(self, &id, dir, driver, pid, started_at)))
    }

    /// Kills what a dead supervisor left of a container and records that its end was not seen.
    pub(crate) async fn lost(&self, id: &str, dir: &Path) -> io::Result<Exit> {
        self.destroy(id, dir).await;
        let state = read::<Value>(&dir.join("state.json"))?.unwrap_or_default();
        let exit = Exit {
            // Kubernetes' code for a container whose end nobody saw (ContainerStatusUnknown).
            exit_code: 137,
            signal: None,
            started_at: state["startedAt"].as_str().unwrap_or_default().to_owned(),
            finished_at: String::new(),
            oom_killed: false,
            lost: true,
        };
        let text = serde_json::to_vec(&exit)?;
        let (temporary, path) = (dir.join("exit.json.tmp"), dir.join("exit.json"));
        tokio::task::spawn_blocking(move || {
            fs::write(&temporary, text)?;
            fs::File::open(&temporary)?.sync_all()?;
            fs::rename(temporary, path)
        })
        .await??;
        Ok(exit)
    }
}

// === impl Container ===

impl Container {
    pub(crate) fn new(
        runtimes: &Runtimes,
        id: &str,
        dir: &Path,
        driver: Driver,
        pid: i32,
        started_at: String,
    ) -> Container {
        Container {
            inner: Arc::new(Inner {
                runtimes: runtimes.clone(),
                id: id.to_owned(),
                dir: dir.to_owned(),
                driver,
                pid,
                started_at,
                facts: OnceLock::new(),
            }),
        }
    }

    /// Runtime id.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Directory of its records.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Program that runs it.
    pub fn driver(&self) -> Driver {
        self.inner.driver
    }

    /// Host number of its first process (runc) or of its sandbox (runsc).
    pub fn pid(&self) -> i32 {
        self.inner.pid
    }

    /// When it started: RFC 3339, UTC.
    pub fn started_at(&self) -> &str {
        &self.inner.started_at
    }

    /// Waits for its end. When this returns, nothing of it is left but its records.
    ///
    /// # Errors
    /// The records cannot be read or written.
    pub async fn wait(&self) -> io::Result<Exit> {
        let dir = &self.inner.dir;
        if let Ok(mut control) = Control::open(dir).await
            && control.ask(&json!({ "op": "wait" })).await.is_ok()
        {
            // One line with the exit, then the end of the stream when everything is cleaned up.
            let _ = control.line().await;
            let _ = tokio::time::timeout(CLEANUP_TIMEOUT, control.line()).await;
        }
        let result = match ended(dir)? {
            Some(Adopted::Exited(exit)) => {
                self.wait_supervisor_gone().await;
                Ok(exit)
            }
            _ => self.inner.runtimes.lost(&self.inner.id, dir).await,
        };
        self.inner.runtimes.inner.active.lock().remove(&self.inner.id);
        result
    }

    /// The supervisor removes its socket last.
    async fn wait_supervisor_gone(&self) {
        let deadline = tokio::time::Instant::now() + CLEANUP_TIMEOUT;
        while self.inner.dir.join("control.sock").exists()
            && Control::open(&self.inner.dir).await.is_ok()
            && tokio::time::Instant::now() < deadline
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops it: `signal` now, SIGKILL after `grace`, and waits for the end.
    ///
    /// # Errors
    /// The records cannot be read or written.
    pub async fn stop(&self, signal: i32, grace: Duration) -> Result<Exit, StopError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let request = json!({ "op": "stop", "signal": signal, "graceMs": grace_ms });
        // An error means that there is no supervisor; waiting finds out what became of the container.
        let _ = control::ask(&self.inner.dir, &request).await;
        match tokio::time::timeout(grace + CLEANUP_TIMEOUT, self.wait()).await {
            Ok(exit) => Ok(exit?),
            Err(_) => Ok(self.inner.runtimes.lost(&self.inner.id, &self.inner.dir).await?),
        }
    }

    /// Sends a signal to its first process.
    ///
    /// # Errors
    /// The supervisor cannot be reached: the container has ended.
    pub async fn signal(&self, number: i32) -> io::Result<()> {
        control::ask(&self.inner.dir, &json!({ "op": "signal", "signal": number })).await.map(drop)
    }

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// It has no terminal, or has ended.
    pub async fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let request = json!({ "op": "resize", "columns": columns, "rows": rows });
        control::ask(&self.inner.dir, &request).await.map(drop)
    }

    /// Joins its output from now on, and its input if it keeps that open and `stdin` is wanted.
    ///
    /// # Errors
    /// The container has ended.
    pub async fn attach(&self, stdin: bool) -> io::Result<Attach> {
        let mut control = Control::open(&self.inner.dir).await?;
        control.ask(&json!({ "op": "attach", "stdin": stdin })).await?;
        Ok(Attach::new(control.stream))
    }

    /// What it uses now. All zero when it has ended.
    pub fn stats(&self) -> Stats {
        cgroup::stats(&self.facts().cgroup)
    }

    /// What its records say.
    pub(crate) fn facts(&self) -> &Facts {
        self.inner.facts.get_or_init(|| {
            let read =
                |name: &str| read::<Value>(&self.inner.dir.join(name)).ok().flatten().unwrap_or_default();
            let (mut spec, config) = (read("bundle/config.json"), read("config.json"));
            Facts {
                process: spec["process"].take(),
                cgroup: config["cgroup"].as_str().unwrap_or_default().to_owned(),
                netns: config["netns"].as_str().map(PathBuf::from),
            }
        })
    }
}

/// The supervisor's answer once its container runs.
async fn wait_started(dir: &Path) -> io::Result<Value> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    loop {
        match control::status(dir).await {
            Ok(answer) if answer["state"] != "starting" => return Ok(answer),
            Ok(_) if tokio::time::Instant::now() > deadline => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            // A supervisor that was only just started has no socket yet.
            Err(error) if crate::sweep::supervisor_of(dir).is_some() => {
                if tokio::time::Instant::now() > deadline || ended(dir)?.is_some() {
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The record of an end, if there is one.
fn ended(dir: &Path) -> io::Result<Option<Adopted>> {
    if let Some(exit) = read::<Exit>(&dir.join("exit.json"))? {
        return Ok(Some(if exit.lost { Adopted::Lost(exit) } else { Adopted::Exited(exit) }));
    }
    Ok(read(&dir.join("error.json"))?.map(Adopted::Failed))
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
