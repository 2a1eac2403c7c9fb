//! Values in memory: as they were written, or packed once nobody has been busy for a moment.
//!
//! Most of what a store holds is at rest and looks like its neighbours under the same topic: the same fields, the same owners, other
//! names and times. Against one of them as dictionary a value takes a tenth of its size, and a read gives it back in a microsecond.
//! The disk always has values as they were written.

use crate::window::topic_of_key;
use bytes::Bytes;
use parking_lot::RwLock;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};

/// Smaller values gain nothing.
const LEAST: usize = 256;
/// Larger ones would hold up the writer; a dictionary of more than 64 KiB would not be used either.
const MOST: usize = 64 << 10;
/// How many values may wait to be packed; more were written without a pause, and stay as they are.
const MAX_WAITING: usize = 1 << 16;
/// How many values that their dictionary does not fit make way for another.
const MISSES: u8 = 8;

/// A value, shared by the index and the events that show it.
#[derive(Debug)]
pub(crate) struct Value {
    len: usize,
    held: RwLock<Held>,
}

#[derive(Debug)]
enum Held {
    Plain(Bytes),
    Packed { bytes: Box<[u8]>, dictionary: Arc<[u8]> },
}

/// Packs values in the order in which they were written.
#[derive(Default)]
pub(crate) struct Packer {
    waiting: VecDeque<(Arc<str>, Weak<Value>)>,
    dictionaries: HashMap<Box<str>, Dictionary>,
}

struct Dictionary {
    bytes: Arc<[u8]>,
    misses: u8,
}

// === impl Value ===

impl Value {
    pub(crate) fn new(bytes: Bytes) -> Arc<Self> {
        Arc::new(Self { len: bytes.len(), held: RwLock::new(Held::Plain(bytes)) })
    }

    /// The size that it was written with.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes as they were written.
    pub(crate) fn bytes(&self) -> Bytes {
        match &*self.held.read() {
            Held::Plain(bytes) => bytes.clone(),
            Held::Packed { bytes, dictionary } => {
                lz4_flex::block::decompress_with_dict(bytes, self.len, dictionary)
                    .expect("it was packed by this process with this dictionary")
                    .into()
            }
        }
    }

    /// Packs it; false if that would not make it much smaller.
    fn pack(&self, dictionary: &Arc<[u8]>) -> bool {
        let plain = match &*self.held.read() {
            Held::Plain(bytes) => bytes.clone(),
            Held::Packed { .. } => return true,
        };
        let packed = lz4_flex::block::compress_with_dict(&plain, dictionary);
        if packed.len() > plain.len() / 2 {
            return false;
        }
        *self.held.write() = Held::Packed { bytes: packed.into(), dictionary: dictionary.clone() };
        true
    }
}

// === impl Packer ===

impl Packer {
    /// Takes note of a value that was written.
    pub(crate) fn add(&mut self, key: &Arc<str>, value: &Arc<Value>) {
        if (LEAST..=MOST).contains(&value.len) && self.waiting.len() < MAX_WAITING {
            self.waiting.push_back((key.clone(), Arc::downgrade(value)));
        }
    }

    /// Whether values wait.
    pub(crate) fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Packs up to `count` of the values that wait.
    pub(crate) fn work(&mut self, count: usize) {
        for _ in 0..count {
            let Some((key, value)) = self.waiting.pop_front() else { break };
            // Nobody holds what was replaced and is out of the window.
            if let Some(value) = value.upgrade() {
                self.pack(topic_of_key(&key), &value);
            }
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to_fit();
        }
    }

    fn pack(&mut self, topic: &str, value: &Value) {
        let Some(dictionary) = self.dictionaries.get_mut(topic) else {
            let first = Dictionary { bytes: value.bytes()[..].into(), misses: 0 };
            self.dictionaries.insert(topic.into(), first);
            return;
        };
        if value.pack(&dictionary.bytes) {
            dictionary.misses = 0;
            return;
        }
        dictionary.misses += 1;
        if dictionary.misses >= MISSES {
            // Values packed with the old one keep it.
            *dictionary = Dictionary { bytes: value.bytes()[..].into(), misses: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(number: usize) -> Bytes {
        let text = format!(
            "{{\"metadata\":{{\"name\":\"box-{number}\",\"uid\":\"{:032x}\"}},\"managed\":\"{}\"}}",
            number * 7919,
            "f:spec f:containers k:name ".repeat(30)
        );
        text.into()
    }

    fn packed(value: &Value) -> usize {
        match &*value.held.read() {
            Held::Plain(bytes) => bytes.len(),
            Held::Packed { bytes, .. } => bytes.len(),
        }
    }

    #[test]
    fn values_alike_take_a_tenth_and_read_as_written() {
        let mut packer = Packer::default();
        let values: Vec<_> = (0..100).map(|number| Value::new(object(number))).collect();
        for (number, value) in values.iter().enumerate() {
            packer.add(&format!("core/pods/default/box-{number}").into(), value);
        }
        while packer.has_work() {
            packer.work(7);
        }
        let (written, held): (usize, usize) = values
            .iter()
            .skip(1)
            .map(|value| (value.len(), packed(value)))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        assert!(held * 10 < written, "{held} of {written}");
        for (number, value) in values.iter().enumerate() {
            assert_eq!(value.bytes(), object(number));
        }
    }

    #[test]
    fn what_does_not_shrink_or_is_gone_is_left_alone() {
        let mut packer = Packer::default();
        let noise = |seed: u64| -> Bytes {
            let mut state = seed;
            let step = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_le_bytes()[7]
            };
            (0..1000).map(step).collect()
        };
        let values: Vec<_> = (1..20).map(|seed| Value::new(noise(seed))).collect();
        for value in &values {
            packer.add(&"core/secrets/default/s".into(), value);
        }
        packer.add(&"core/secrets/default/gone".into(), &Value::new(noise(99)));
        packer.work(100);
        assert!(!packer.has_work());
        for (seed, value) in (1..20).zip(&values) {
            assert_eq!((packed(value), value.bytes()), (1000, noise(seed)));
        }
    }

    proptest! {
        #[test]
        fn any_value_survives_any_dictionary(first in proptest::collection::vec(any::<u8>(), 256..2000),
                                             repeats in 1_usize..20, seed in any::<u8>()) {
            let second: Vec<u8> = first.iter().map(|byte| byte ^ (seed & 1)).collect::<Vec<_>>().repeat(repeats);
            let mut packer = Packer::default();
            let values = [first, second].map(|bytes| (Value::new(bytes.clone().into()), bytes));
            for (value, _) in &values {
                packer.add(&"a/b/c".into(), value);
            }
            packer.work(10);
            for (value, bytes) in &values {
                prop_assert_eq!(value.bytes().to_vec(), bytes.clone());
            }
        }
    }
}
