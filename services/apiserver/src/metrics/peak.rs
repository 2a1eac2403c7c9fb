//! How many there are, and how many there were at most since somebody asked.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// A number that goes up and down. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Peak(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    now: AtomicI64,
    most: AtomicI64,
}

/// One of those that are counted; it goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Peak);

// === impl Peak ===

impl Peak {
    /// One more.
    pub(super) fn enter(&self) -> Counted {
        let now = self.0.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most.fetch_max(now, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// How many there were at most since this was last asked. Fact: Kubernetes tells the most of the last second.
    pub(super) fn take(&self) -> i64 {
        let now = self.0.now.load(Ordering::Relaxed);
        self.0.most.swap(now, Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_since_the_last_question_is_told() {
        let peak = Peak::default();
        let (first, second) = (peak.enter(), peak.enter());
        drop(first);
        assert_eq!((peak.take(), peak.take()), (2, 1));
        drop(second);
        assert_eq!((peak.take(), peak.take()), (1, 0));
    }
}
