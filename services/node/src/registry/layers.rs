//! Which Pod has which kept writable layer mounted.
//!
//! **Invariant:** no layer is mounted by two containers. A Pod that was deleted by force may still be dying when the next
//! one of its Sandbox comes; the layer is handed over when the old container's end has been seen.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

/// The uids of the Pods that use them, by directory.
#[derive(Default)]
pub(crate) struct Layers {
    held: watch::Sender<HashMap<PathBuf, String>>,
    /// Whether containers that no Pod owns are gone; until then one of them may have any layer mounted.
    swept: watch::Sender<bool>,
}

/// A layer that is given back when this is dropped, unless it is kept.
pub(crate) struct Claim<'a> {
    layers: &'a Layers,
    path: PathBuf,
    uid: &'a str,
}

// === impl Layers ===

impl Layers {
    /// From now on nothing runs but what a Pod owns.
    pub(crate) fn set_swept(&self) {
        self.swept.send_replace(true);
    }

    /// Waits until no other Pod has the layer, and takes it.
    pub(crate) async fn claim<'a>(&'a self, path: PathBuf, uid: &'a str) -> Claim<'a> {
        let _ = self.swept.subscribe().wait_for(|swept| *swept).await;
        let mut changes = self.held.subscribe();
        loop {
            let mut ours = false;
            self.held.send_if_modified(|held| {
                let holder = held.entry(path.clone()).or_insert_with(|| uid.to_owned());
                ours = holder == uid;
                false
            });
            if ours {
                return Claim { layers: self, path, uid };
            }
            let _ = changes.changed().await;
        }
    }

    /// The Pod has it: its container outlived the agent.
    pub(crate) fn hold(&self, path: PathBuf, uid: &str) {
        self.held.send_modify(|held| drop(held.insert(path, uid.to_owned())));
    }

    /// The Pod's container has ended.
    pub(crate) fn release(&self, path: &Path, uid: &str) {
        self.held.send_if_modified(|held| {
            let ours = held.get(path).is_some_and(|holder| holder == uid);
            ours && held.remove(path).is_some()
        });
    }

    /// Whether a layer beneath this directory is in use.
    pub(crate) fn are_held_below(&self, dir: &Path) -> bool {
        self.held.borrow().keys().any(|path| path.starts_with(dir))
    }
}

// === impl Claim ===

impl Claim<'_> {
    /// A container has the layer now; it is given back with [`Layers::release`].
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.layers.release(&self.path, self.uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_layer_is_handed_over_only_when_the_old_end_was_seen() {
        let layers = Layers::default();
        let path = PathBuf::from("/roots/owner/app");
        layers.hold(path.clone(), "old");
        let claiming = layers.claim(path.clone(), "new");
        tokio::pin!(claiming);
        assert!(futures::poll!(&mut claiming).is_pending(), "what no pod owns may have it");
        layers.set_swept();
        assert!(futures::poll!(&mut claiming).is_pending(), "the old pod has it");
        layers.release(&path, "another");
        assert!(futures::poll!(&mut claiming).is_pending(), "nobody else gives it back");
        layers.release(&path, "old");
        claiming.await.keep();
        assert!(layers.are_held_below(Path::new("/roots/owner")));
        drop(layers.claim(path, "new").await);
        assert!(!layers.are_held_below(Path::new("/roots/owner")), "a start that failed gives it back");
    }
}
