//! Values in memory: as they were written, or packed once nobody has been busy for a moment.
//!
//! Most of what a store holds is at rest and looks like its neighbours under the same topic. The disk always has values as they were
//! written.

use crate::window::topic_of_key;
use bytes::Bytes;
use packing::Packed;
use parking_lot::RwLock;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};

/// How many values may wait to be packed; more were written without a pause, and stay as they are.
const MAX_WAITING: usize = 1 << 16;

/// Of the values that wait, the newest are left alone while others write: they are replaced or read soon.
const LEFT_ALONE: usize = 256;

/// A value, shared by the index and the events that show it. There is one for each object and event: it is kept small.
#[derive(Debug)]
pub(crate) struct Value {
    held: RwLock<Held>,
}

#[derive(Debug)]
enum Held {
    Plain(Box<Bytes>),
    Packed(Packed),
}

/// Packs values in the order in which they were written.
#[derive(Default)]
pub(crate) struct Packer {
    waiting: VecDeque<(Arc<str>, Weak<Value>)>,
    topics: HashMap<Box<str>, packing::Packer>,
}

// === impl Value ===

impl Value {
    pub(crate) fn new(bytes: Bytes) -> Arc<Self> {
        Arc::new(Self { held: RwLock::new(Held::Plain(Box::new(bytes))) })
    }

    /// The size that it was written with.
    pub(crate) fn len(&self) -> usize {
        match &*self.held.read() {
            Held::Plain(bytes) => bytes.len(),
            Held::Packed(packed) => packed.plain_size(),
        }
    }

    /// The bytes as they were written.
    pub(crate) fn bytes(&self) -> Bytes {
        match &*self.held.read() {
            Held::Plain(bytes) => Bytes::clone(bytes),
            Held::Packed(packed) => packed.open().into(),
        }
    }

    fn pack(&self, packer: &mut packing::Packer) {
        let plain = match &*self.held.read() {
            Held::Plain(bytes) => Bytes::clone(bytes),
            Held::Packed(_) => return,
        };
        if let Some(packed) = packer.pack(&plain) {
            *self.held.write() = Held::Packed(packed);
        }
    }
}

// === impl Packer ===

impl Packer {
    /// Takes note of a value that was written.
    pub(crate) fn add(&mut self, key: &Arc<str>, value: &Arc<Value>) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back((key.clone(), Arc::downgrade(value)));
        }
    }

    /// Whether values wait.
    pub(crate) fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Packs up to `count` of the values that wait and are not new.
    pub(crate) fn keep_up(&mut self, count: usize) {
        self.work(count.min(self.waiting.len().saturating_sub(LEFT_ALONE)));
    }

    /// Packs up to `count` of the values that wait.
    pub(crate) fn work(&mut self, count: usize) {
        for _ in 0..count {
            let Some((key, value)) = self.waiting.pop_front() else { break };
            // Nobody holds what was replaced and is out of the window.
            if let Some(value) = value.upgrade() {
                value.pack(self.topic(topic_of_key(&key)));
            }
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to_fit();
        }
    }

    fn topic(&mut self, name: &str) -> &mut packing::Packer {
        if !self.topics.contains_key(name) {
            self.topics.insert(name.into(), packing::Packer::default());
        }
        self.topics.get_mut(name).expect("it was just added")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(number: usize) -> Bytes {
        format!("{{\"name\":\"box-{number}\",\"managed\":\"{}\"}}", "f:spec f:containers ".repeat(30)).into()
    }

    fn held(value: &Value) -> usize {
        match &*value.held.read() {
            Held::Plain(bytes) => bytes.len(),
            Held::Packed(packed) => packed.size(),
        }
    }

    #[test]
    fn values_of_a_topic_are_packed_and_read_as_written() {
        let mut packer = Packer::default();
        let values: Vec<_> = (0..100).map(|number| Value::new(object(number))).collect();
        for (number, value) in values.iter().enumerate() {
            packer.add(&format!("core/pods/default/box-{number}").into(), value);
        }
        packer.add(&"core/pods/default/gone".into(), &Value::new(object(100)));
        while packer.has_work() {
            packer.work(7);
        }
        for (number, value) in values.iter().enumerate() {
            assert_eq!(held(value) * 5 < value.len(), number > 0, "the first is the dictionary");
            assert_eq!((value.len(), value.bytes()), (object(number).len(), object(number)));
        }
    }

    #[test]
    fn while_others_write_the_newest_are_left_alone() {
        let mut packer = Packer::default();
        let values: Vec<_> = (0..LEFT_ALONE + 2).map(|number| Value::new(object(number))).collect();
        for (number, value) in values.iter().enumerate() {
            packer.add(&format!("core/pods/default/box-{number}").into(), value);
        }
        packer.keep_up(1);
        packer.keep_up(5);
        let packed = values.iter().filter(|value| held(value) < value.len()).count();
        assert_eq!((packed, packer.waiting.len()), (1, LEFT_ALONE), "the first is the dictionary");
    }

    #[test]
    fn a_value_takes_48_bytes_beside_what_it_says() {
        let counts = 2 * size_of::<usize>();
        assert_eq!(counts + size_of::<Value>(), 48);
    }
}
