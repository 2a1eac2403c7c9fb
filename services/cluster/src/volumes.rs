//! Binds claims to volumes, makes volumes of our own StorageClass, and lets go of volumes whose claim is gone.
//!
//! A volume of ours is a directory of the node agent, which makes it at first use. It carries the finalizer [`VOLUME_FINALIZER`]: the node
//! agent removes the directory, then the finalizer.
//!
//! **Invariant:** a volume is released only after the server said that its claim is gone, and its data is removed only if
//! its reclaim policy is Delete.

mod act;
mod plan;
mod view;

pub(crate) use act::plant;
pub(crate) use view::{ClaimView, ClassView, VolumeView};

use crate::guarded::outcome;
use crate::view::{NodeView, PodView};
use kube::Client;
use kubekit::{Backoff, Board, Change, EventRecorder, Key, Queue, Reader};
use std::fmt;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The provisioner of the StorageClass `standard`.
pub const PROVISIONER: &str = "agent-sandbox.local";
/// Kept on a volume until the node agent has removed its directory.
pub const VOLUME_FINALIZER: &str = "agent-sandbox.local/volume";
/// The StorageClass made at the start.
const STANDARD: &str = "standard";
/// Keeps a claim while a pod uses it; the name is Kubernetes'.
const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";

/// Keeps a volume while it is bound; likewise.
const PROTECTION: &str = "kubernetes.io/pv-protection";

const WORKERS: usize = 4;
/// Index of volumes by the uid of the claim each is for.
pub(crate) const BY_CLAIM: &str = "claim";

/// What the queue holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Work {
    Claim(Key),
    Volume(Key),
}

/// The controller.
#[derive(Clone)]
pub(crate) struct Volumes {
    client: Client,
    recorder: EventRecorder,
    queue: Queue<Work>,
    claims: Reader<ClaimView>,
    volumes: Reader<VolumeView>,
    classes: Reader<ClassView>,
    nodes: Reader<NodeView>,
    pods: Reader<PodView>,
}

// === impl Volumes ===

impl Volumes {
    pub(crate) fn new(
        client: Client,
        recorder: EventRecorder,
        claims: Reader<ClaimView>,
        volumes: Reader<VolumeView>,
        classes: Reader<ClassView>,
        nodes: Reader<NodeView>,
        pods: Reader<PodView>,
    ) -> Volumes {
        let backoff = Backoff { base: Duration::from_millis(5), cap: Duration::from_secs(60) };
        Volumes { client, recorder, queue: Queue::new(backoff), claims, volumes, classes, nodes, pods }
    }

    /// Shows its queue.
    pub(crate) fn show(&self, board: &Board) {
        board.show("persistentvolume", &self.queue);
    }

    pub(crate) fn claim_changed(&self, change: &Change<'_, ClaimView>) {
        self.queue.add(Work::Claim(change.key.clone()));
        for claim in change.new.into_iter().chain(change.old) {
            if !claim.volume.is_empty() {
                self.queue.add(Work::Volume(Key::new("", &claim.volume)));
            }
        }
    }

    pub(crate) fn volume_changed(&self, change: &Change<'_, VolumeView>) {
        self.queue.add(Work::Volume(change.key.clone()));
        for volume in change.new.into_iter().chain(change.old) {
            match &volume.claim {
                Some(claim) => self.queue.add(Work::Claim(Key::new(&claim.namespace, &claim.name))),
                None => self.unbound_claims(),
            }
        }
    }

    /// A pod is gone, over, or asks for a claim.
    pub(crate) fn pod_changed(&self, change: &Change<'_, PodView>) {
        if change.new.is_none_or(|pod| pod.over) {
            let claims = change.new.into_iter().chain(change.old).flat_map(|pod| &pod.claims);
            claims.for_each(|name| self.queue.add(Work::Claim(Key::new(&change.key.namespace, name))));
        }
    }

    /// A class or the node's disk is another: claims without a volume look again.
    pub(crate) fn unbound_claims(&self) {
        let claims = self.claims.list().into_iter().filter(|(_, claim)| !claim.is_bound());
        claims.for_each(|(key, _)| self.queue.add(Work::Claim(key)));
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let synced = async {
            tokio::join!(
                self.claims.synced(),
                self.volumes.synced(),
                self.classes.synced(),
                self.nodes.synced(),
                self.pods.synced()
            )
        };
        if shutdown.run_until_cancelled(synced).await.is_none() {
            return;
        }
        let queue = self.queue.clone();
        queue
            .work(WORKERS, shutdown, move |work| {
                let this = self.clone();
                async move {
                    let result = match &work {
                        Work::Claim(key) => this.claim(key).await,
                        Work::Volume(key) => this.volume(key).await,
                    };
                    outcome("volumes", &work, result)
                }
            })
            .await;
    }
}

// === impl Work ===

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Claim(key) => write!(f, "claim {key}"),
            Work::Volume(key) => write!(f, "volume {key}"),
        }
    }
}
