//! The root container of a gVisor sandbox with several containers.

use std::time::Duration;

use runtime::Container;
use tokio::sync::Mutex;

use super::start::{Failed, runtime_failure};
use crate::shared::Shared;

/// Started before the first container and killed after the last.
#[derive(Default)]
pub(crate) struct Pause {
    container: Mutex<Option<Container>>,
}

// === impl Pause ===

impl Pause {
    /// Starts it unless it runs. Containers that start at the same time wait for the one start.
    pub(crate) async fn ensure(&self, shared: &Shared, request: runtime::Request) -> Result<(), Failed> {
        let mut held = self.container.lock().await;
        if held.as_ref().is_some_and(is_running) {
            return Ok(());
        }
        std::fs::create_dir_all(request.log.path.parent().unwrap_or(&request.dir)).map_err(|error| {
            let message = format!("directories of the sandbox: {error}");
            Failed::Waiting(super::Trouble { reason: lifecycle::pod::reason::CREATE, message })
        })?;
        *held = Some(shared.runtimes.start(request).await.map_err(runtime_failure)?);
        Ok(())
    }

    /// Takes over one that outlived the agent.
    pub(crate) async fn adopt(&self, container: Container) {
        *self.container.lock().await = Some(container);
    }

    /// Whether it runs, or is being started.
    pub(crate) async fn is_alive(&self) -> bool {
        self.container.lock().await.as_ref().is_some_and(is_running)
    }

    /// Whether a new one would have to be made, as far as can be told without waiting.
    pub(crate) fn is_missing(&self) -> bool {
        self.container.try_lock().is_ok_and(|held| !held.as_ref().is_some_and(is_running))
    }

    /// Ends it, if it runs.
    pub(crate) async fn kill(&self) {
        if let Some(container) = self.container.lock().await.take() {
            super::signal_and_wait(&container, Some("KILL"), Duration::ZERO).await;
        }
    }
}

fn is_running(container: &Container) -> bool {
    !container.dir().join("exit.json").exists()
}
