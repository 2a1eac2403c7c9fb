//! A container that runs or ran.

use crate::{
    attach::Attach,
    cgroup,
    control::{self, Control},
    detect::Runtimes,
    process,
    sweep::supervisor_of,
    types::{Driver, Exit, StartFailure, Stats},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How long a living supervisor may be silent before adoption gives up for now.
const ADOPT_TIMEOUT: Duration = Duration::from_secs(120);

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
    /// Its supervisor, held: what becomes of it is known even when nothing can be opened. None if it could not be held.
    pub(crate) supervisor: Option<OwnedFd>,
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

// === impl Runtimes ===

impl Runtimes {
    /// Finds the container that an earlier agent started in `dir`.
    ///
    /// # Errors
    /// For now nothing can be said: the directory cannot be read, or a living supervisor does not answer. The
    /// container is left alone; ask again.
    pub async fn adopt(&self, dir: &Path) -> io::Result<Adopted> {
        match self.look(dir).await {
            // Torn by a crash, or damaged, and there is nobody to write it anew.
            Err(error) if error.kind() == io::ErrorKind::InvalidData && supervisor_of(dir)?.is_none() => {
                Ok(Adopted::Lost(self.lost("", dir).await?))
            }
            found => found,
        }
    }

    async fn look(&self, dir: &Path) -> io::Result<Adopted> {
        if let Some(ended) = ended(dir)? {
            return Ok(ended);
        }
        let Some(config) = read::<Value>(&dir.join("config.json"))? else { return Ok(Adopted::Absent) };
        let id = config["id"].as_str().unwrap_or_default().to_owned();
        let driver = serde_json::from_value(config["driver"].clone()).map_err(io::Error::other)?;
        let Some((supervisor, answer)) = wait_started(dir).await? else {
            // It may have ended in between; else there is nobody.
            return match ended(dir)? {
                Some(ended) => Ok(ended),
                None => Ok(Adopted::Lost(self.lost(&id, dir).await?)),
            };
        };
        let cgroup = config["cgroup"].as_str().unwrap_or_default().to_owned();
        self.inner.active.lock().insert(id.clone(), cgroup);
        let pid = answer["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        let started_at = answer["startedAt"].as_str().unwrap_or_default().to_owned();
        Ok(Adopted::Running(Container::new(self, &id, dir, driver, (pid, Some(supervisor)), started_at)))
    }
}

// === impl Container ===

impl Container {
    pub(crate) fn new(
        runtimes: &Runtimes,
        id: &str,
        dir: &Path,
        driver: Driver,
        (pid, supervisor): (i32, Option<i32>),
        started_at: String,
    ) -> Container {
        Container {
            inner: Arc::new(Inner {
                runtimes: runtimes.clone(),
                id: id.to_owned(),
                dir: dir.to_owned(),
                driver,
                pid,
                supervisor: supervisor.and_then(process::hold),
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

/// The supervisor and its answer once its container runs; none if there is no supervisor.
async fn wait_started(dir: &Path) -> io::Result<Option<(i32, Value)>> {
    let deadline = tokio::time::Instant::now() + ADOPT_TIMEOUT;
    loop {
        let answer = control::status(dir).await;
        // One that was only just started has no socket yet, and one that is starved takes its time.
        let Some(supervisor) = supervisor_of(dir)? else { return Ok(None) };
        match answer {
            Ok(answer) if answer["state"] != "starting" => return Ok(Some((supervisor, answer))),
            Ok(_) | Err(_) if tokio::time::Instant::now() > deadline => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Its last acts: the record is there, and soon it is not.
            Err(_) if ended(dir)?.is_some() => return Ok(None),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The record of an end, if there is one.
pub(crate) fn ended(dir: &Path) -> io::Result<Option<Adopted>> {
    if let Some(exit) = read::<Exit>(&dir.join("exit.json"))? {
        return Ok(Some(if exit.lost { Adopted::Lost(exit) } else { Adopted::Exited(exit) }));
    }
    Ok(read(&dir.join("error.json"))?.map(Adopted::Failed))
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
