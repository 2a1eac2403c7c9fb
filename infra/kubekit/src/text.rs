//! Strings that many hold, held once.
//!
//! A name, a namespace or a uid is known to a dozen caches of one process. Each holds a pointer of eight bytes.

use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

/// A string of which this process has one copy. Cheap to clone and to compare.
#[derive(Clone)]
pub struct Text(Arc<Box<str>>);

/// Every [`Text`] there is, and some that nobody holds any more.
static TEXTS: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);

struct Table {
    held: HashSet<Entry>,
    /// At this size those that nobody holds are swept out.
    limit: usize,
}

/// Found by what it says; a [`Text`] is found by where it is.
#[derive(PartialEq, Eq, Hash)]
struct Entry(Arc<Box<str>>);

/// Fewer are not worth a sweep.
const LEAST: usize = 256;

// === impl Table ===

impl Default for Table {
    fn default() -> Self {
        Self { held: HashSet::new(), limit: LEAST }
    }
}

impl Table {
    fn get(&mut self, text: &str) -> Text {
        if let Some(Entry(held)) = self.held.get(text) {
            return Text(Arc::clone(held));
        }
        if self.held.len() >= self.limit {
            self.sweep();
        }
        let new = Arc::new(Box::from(text));
        self.held.insert(Entry(Arc::clone(&new)));
        Text(new)
    }

    /// One that only this table holds cannot be cloned by anybody meanwhile: clones come from here, under the lock.
    fn sweep(&mut self) {
        self.held.retain(|entry| Arc::strong_count(&entry.0) > 1);
        self.limit = LEAST.max(self.held.len() * 2);
        self.held.shrink_to(self.limit);
    }
}

// === impl Entry ===

impl Borrow<str> for Entry {
    fn borrow(&self) -> &str {
        &self.0
    }
}

// === impl Text ===

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        TEXTS.lock().get(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Default for Text {
    fn default() -> Self {
        "".into()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl PartialEq<Text> for &str {
    fn eq(&self, other: &Text) -> bool {
        **self == **other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        **self == **other
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other { Ordering::Equal } else { (**self).cmp(&**other) }
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_order_by_what_they_say() {
        let (a, b) = (Text::from("one"), Text::from("one".to_owned()));
        assert!(a == b && std::ptr::eq(&raw const *a, &raw const *b));
        let two = Text::from("two");
        assert_ne!(a, two);
        assert!(a < two && Text::default() < a);
        assert_eq!((a == *"one", a == "two"), (true, false));
    }

    #[test]
    fn what_nobody_holds_is_swept_and_what_somebody_holds_stays_one() {
        let mut table = Table::default();
        let kept: Vec<_> = (0..100).map(|n| table.get(&format!("kept-{n}"))).collect();
        for n in 0..10 * LEAST {
            drop(table.get(&format!("gone-{n}")));
        }
        assert!(table.held.len() <= 2 * LEAST, "{}", table.held.len());
        for (n, text) in kept.iter().enumerate() {
            assert_eq!(table.get(&format!("kept-{n}")), *text);
        }
    }
}
