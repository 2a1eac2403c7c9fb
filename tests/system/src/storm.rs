//! A load whose clients remember what was acknowledged, and what has to be true after the agent was killed under it.
//!
//! Each [`Slot`] is one Sandbox with one writer, so that the order of its acknowledged writes is known. A reply that was
//! lost leaves two states possible; the next look at the server says which.

mod dice;
mod jobs;
mod ledger;
mod owned;
mod phase;
mod round;
mod view;
mod worker;

pub use dice::Dice;
pub use jobs::Job;
pub use ledger::{Change, Exec, Identity, Slot, Verb, Wanted};
pub use owned::{Objects, unowned};
pub use phase::{Disk, PHASES, Phase};
pub use round::Storm;
pub use view::{Seen, View};
pub use worker::Worker;

use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use parking_lot::Mutex;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Longest time that any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the server that a kubeconfig names.
///
/// # Panics
/// The kubeconfig is not usable.
pub async fn client(kubeconfig: &Path) -> kube::Client {
    // Another test of the same process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = Kubeconfig::read_from(kubeconfig).expect("read the kubeconfig");
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    kube::Client::try_from(config.expect("use the kubeconfig")).expect("make a client")
}

/// What the clients of one round share.
#[derive(Clone, Default)]
pub struct Signals {
    killed: Arc<AtomicBool>,
    complaints: Arc<Mutex<Vec<String>>>,
}

// === impl Signals ===

impl Signals {
    /// From now on a lost reply is nobody's fault.
    pub fn announce_kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    /// Whether the agent was killed.
    pub fn killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Something that must not happen.
    pub fn complain(&self, what: String) {
        self.complaints.lock().push(what);
    }

    /// Everything that must not have happened.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().clone()
    }

    /// An answer, unless none comes in time or the agent dies before.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn answered<T>(&self, question: impl Future<Output = T>) -> Result<T, std::io::Error> {
        let patience = async {
            for _ in 0..PATIENCE.as_millis() / 20 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if self.killed() {
                    return tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        };
        tokio::select! {
            answer = question => Ok(answer),
            () = patience => Err(std::io::Error::from(std::io::ErrorKind::TimedOut)),
        }
    }

    /// A reply did not come: allowed only around the kill.
    pub async fn lost(&self, doing: &str, error: &(dyn std::error::Error + Sync)) {
        for _ in 0..50 {
            if self.killed() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.complain(format!("{doing}: the connection broke though the agent runs: {error}"));
    }
}
