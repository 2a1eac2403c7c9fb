//! A Sandbox at rest: as JSON bytes, a fraction of what the parsed object takes. It is parsed when it is worked on.

use crd::v1beta1::Sandbox;

/// The bytes of a Sandbox.
pub(super) struct Packed(Box<[u8]>);

// === impl Packed ===

impl Packed {
    pub(super) fn of(sandbox: &Sandbox) -> Self {
        // Maps with string keys and plain values cannot fail to be written.
        Self(serde_json::to_vec(sandbox).unwrap_or_default().into_boxed_slice())
    }

    /// None only if the bytes were damaged in memory.
    pub(super) fn open(&self) -> Option<Sandbox> {
        serde_json::from_slice(&self.0).ok()
    }
}
