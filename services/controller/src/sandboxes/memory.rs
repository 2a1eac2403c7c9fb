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
    by_key: HashMap<Key, Entry>,
    /// At this many, what no longer matters is thrown away.
    limit: usize,
}

#[derive(Default)]
struct Entry {
    memory: Memory,
    /// What was logged last.
    said: Box<str>,
}

// === impl Memories ===

impl Memories {
    pub(super) fn get(&self, key: &Key) -> Memory {
        self.0.lock().by_key.get(key).map(|entry| entry.memory.clone()).unwrap_or_default()
    }

    /// Changes what is remembered of one Sandbox.
    pub(super) fn update(&self, key: &Key, now: Timestamp, change: impl FnOnce(Memory) -> Memory) {
        let mut inner = self.0.lock();
        let old = inner.by_key.get(key).map(|entry| entry.memory.clone()).unwrap_or_default();
        let memory = change(old.clone());
        if memory == old {
            return;
        }
        inner.by_key.entry(key.clone()).or_default().memory = memory;
        inner.tidy(now);
    }

    /// Whether `text` is something that was not said of this Sandbox last time. It is now.
    pub(super) fn is_news(&self, key: &Key, text: &str) -> bool {
        let mut inner = self.0.lock();
        if inner.by_key.get(key).map_or("", |entry| &entry.said) == text {
            return false;
        }
        inner.by_key.entry(key.clone()).or_default().said = text.into();
        !text.is_empty()
    }

    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().by_key.remove(key);
    }
}

// === impl Inner ===

impl Inner {
    fn tidy(&mut self, now: Timestamp) {
        if self.by_key.len() > self.limit.max(FEW) {
            self.by_key.retain(|_, entry| !entry.said.is_empty() || !entry.memory.is_stale(now));
            self.limit = self.by_key.len() * 2;
            let limit = self.limit.max(FEW);
            self.by_key.shrink_to(limit);
        }
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
            let key = Key::new("ns", &second.to_string());
            memories.update(&key, now, |mut memory| {
                memory.written = Some(now);
                memory
            });
        }
        let count = memories.0.lock().by_key.len();
        assert!(count <= FEW, "{count}");
        assert!(memories.get(&Key::new("ns", "19999")).written.is_some());
        memories.forget(&Key::new("ns", "19999"));
        assert_eq!(memories.get(&Key::new("ns", "19999")), Memory::default());
    }

    #[test]
    fn a_text_is_news_once() {
        let (memories, key) = (Memories::default(), Key::new("ns", "s"));
        let said = ["", "a", "a", "b", "", "b"].map(|text| memories.is_news(&key, text));
        assert_eq!(said, [false, true, false, true, false, true]);
    }
}
