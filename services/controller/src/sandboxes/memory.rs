//! What is remembered of Sandboxes between passes, for as long as it matters.

use jiff::Timestamp;
use kubekit::Key;
use lifecycle::sandbox::Memory;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Below this many nothing is thrown away.
const FEW: usize = 1024;

#[derive(Default)]
pub(super) struct Memories(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    by_key: HashMap<Key, Memory>,
    /// At this many, what no longer matters is thrown away.
    limit: usize,
}

// === impl Memories ===

impl Memories {
    pub(super) fn get(&self, key: &Key) -> Memory {
        self.0.lock().by_key.get(key).copied().unwrap_or_default()
    }

    pub(super) fn set(&self, key: &Key, memory: Memory, now: Timestamp) {
        let mut inner = self.0.lock();
        inner.by_key.insert(key.clone(), memory);
        if inner.by_key.len() > inner.limit.max(FEW) {
            inner.by_key.retain(|_, memory| !memory.is_stale(now));
            inner.limit = inner.by_key.len() * 2;
            let limit = inner.limit.max(FEW);
            inner.by_key.shrink_to(limit);
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().by_key.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_longer_matters_is_thrown_away() {
        let memories = Memories::default();
        for second in 0..20_000 {
            let now = Timestamp::from_second(second).unwrap();
            memories.set(
                &Key::new("ns", &second.to_string()),
                Memory { written: Some(now), lost: None },
                now,
            );
        }
        let count = memories.0.lock().by_key.len();
        assert!(count <= FEW, "{count}");
        assert!(memories.get(&Key::new("ns", "19999")).written.is_some());
        memories.forget(&Key::new("ns", "19999"));
        assert_eq!(memories.get(&Key::new("ns", "19999")), Memory::default());
    }
}
