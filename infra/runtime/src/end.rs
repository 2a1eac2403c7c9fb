//! How a container ends: waiting for it, stopping it, and what is done when its supervisor is gone without a word.
//!
//! **Invariant:** a container is called lost only when its supervisor is known to be gone. Whatever else keeps the
//! supervisor from being reached (no descriptors left, a starved machine, a queue that is full) is waited out.

use crate::{
    container::{Adopted, Container, ended, read},
    control::{self, Control},
    detect::Runtimes,
    process,
    sweep::supervisor_of,
    types::Exit,
};
use serde_json::{Value, json};
use std::{fs, io, path::Path, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long a supervisor may take to clean up after its container, and a container to die of SIGKILL.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a supervisor that cannot be reached is told again to stop its container.
const TELL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a record that cannot be read is tried again once nobody writes it any more.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How soon a supervisor that could not be reached is tried again, doubling up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Why a container could not be stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The request did not reach the supervisor.
    #[error("cannot reach the container's supervisor")]
    Unreachable(#[from] io::Error),
}

// === impl Container ===

impl Container {
    /// Waits for its end. When this returns, nothing of it is left but its records.
    ///
    /// # Errors
    /// The records cannot be read or written.
    pub async fn wait(&self) -> io::Result<Exit> {
        let result = self.wait_recorded().await;
        self.inner.runtimes.inner.active.lock().remove(&self.inner.id);
        result
    }

    async fn wait_recorded(&self) -> io::Result<Exit> {
        let dir = &self.inner.dir;
        let (mut pause, mut unread) = (RETRY_FIRST, None);
        loop {
            self.listen_for_end().await;
            // Asked first: what a supervisor that is gone had to write, it wrote before.
            let gone = self.is_unattended();
            match ended(dir) {
                Ok(Some(Adopted::Exited(exit))) => {
                    self.wait_supervisor_gone().await;
                    return Ok(exit);
                }
                // Somebody else found the supervisor gone and wrote it down.
                Ok(Some(Adopted::Lost(exit))) if gone => return Ok(exit),
                Ok(_) if gone => return self.inner.runtimes.lost(&self.inner.id, dir).await,
                Err(error) if gone => {
                    let since: Instant = *unread.get_or_insert_with(Instant::now);
                    if since.elapsed() > READ_TIMEOUT {
                        return Err(error);
                    }
                }
                Ok(_) | Err(_) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Returns when the supervisor has told the end and has cleaned up, or cannot be reached.
    async fn listen_for_end(&self) {
        if let Ok(mut control) = Control::open(&self.inner.dir).await
            && control.ask(&json!({ "op": "wait" })).await.is_ok()
        {
            // One line with the exit, then the end of the stream when everything is cleaned up.
            let _ = control.line().await;
            let _ = timeout(CLEANUP_TIMEOUT, control.line()).await;
        }
    }

    /// Whether it is certain that its supervisor is gone.
    fn is_unattended(&self) -> bool {
        match &self.inner.supervisor {
            Some(held) => process::has_ended(held),
            None => matches!(supervisor_of(&self.inner.dir), Ok(None)),
        }
    }

    /// What the supervisor has mounted goes with it, so it is waited for.
    async fn wait_supervisor_gone(&self) {
        let deadline = Instant::now() + CLEANUP_TIMEOUT;
        while !self.is_unattended() && Instant::now() < deadline {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Stops it: `signal` now, SIGKILL after `grace`, and waits for the end. One whose supervisor does not obey is
    /// killed together with it when all time is over.
    ///
    /// # Errors
    /// The records cannot be read or written.
    pub async fn stop(&self, signal: i32, grace: Duration) -> Result<Exit, StopError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let request = json!({ "op": "stop", "signal": signal, "graceMs": grace_ms });
        let _ = timeout(TELL_TIMEOUT, self.tell(&request)).await;
        match timeout(grace + CLEANUP_TIMEOUT, self.wait()).await {
            Ok(exit) => Ok(exit?),
            Err(_) => Ok(self.inner.runtimes.lost(&self.inner.id, &self.inner.dir).await?),
        }
    }

    /// Repeats a request until it is taken, refused, or there is nobody to take it.
    async fn tell(&self, request: &Value) {
        let mut pause = RETRY_FIRST;
        while let Err(error) = control::ask(&self.inner.dir, request).await {
            if error.kind() == io::ErrorKind::Other || self.is_unattended() {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}

// === impl Runtimes ===

impl Runtimes {
    /// Kills what a dead supervisor left of a container and records that its end was not seen.
    pub(crate) async fn lost(&self, id: &str, dir: &Path) -> io::Result<Exit> {
        self.destroy(id, dir).await;
        let state = read::<Value>(&dir.join("state.json")).ok().flatten().unwrap_or_default();
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
