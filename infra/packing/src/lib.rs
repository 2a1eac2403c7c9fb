//! Bytes at rest, packed against bytes that look like them.
//!
//! Objects of one kind have the same fields, the same owners, other names and times. Against one of them as dictionary an object takes
//! a tenth of its size, and is whole again in a microsecond.
//!
//! **Invariant:** what comes out is what went in, whatever became of the packer.

use std::sync::Arc;

/// Smaller values gain nothing.
const LEAST: usize = 256;
/// LZ4 looks back this far, so a larger dictionary would not be used for all of a value.
const MOST: usize = 64 << 10;
/// So large a dictionary is extended: each value that is packed pays for a walk over it.
const EXTENDED: usize = 8 << 10;
/// How many values that a full dictionary does not fit make way for another.
const MISSES: u8 = 8;

type Dictionary = Arc<Box<[u8]>>;

/// Packs values that look alike.
#[derive(Debug, Default)]
pub struct Packer {
    dictionary: Dictionary,
    /// What a value takes that has nothing new but its names and times: the smallest of late. 0 before there is one.
    usual: usize,
    misses: u8,
}

/// A packed value. It keeps its dictionary, which it shares.
#[derive(Debug)]
pub struct Packed {
    /// The value's size, four bytes in little endian, and the value.
    bytes: Box<[u8]>,
    dictionary: Dictionary,
}

// === impl Packer ===

impl Packer {
    /// Packs a value; none if that would not halve it, or if it was taken into the dictionary for those after it.
    pub fn pack(&mut self, plain: &[u8]) -> Option<Packed> {
        if !(LEAST..=MOST).contains(&plain.len()) {
            return None;
        }
        if self.dictionary.is_empty() {
            self.dictionary = Arc::new(plain.into());
            return None;
        }
        let bytes = lz4_flex::block::compress_prepend_size_with_dict(plain, &self.dictionary);
        let halved = bytes.len() <= plain.len() / 2;
        if self.learns(plain, &bytes, halved) || !halved {
            return None;
        }
        Some(Packed { bytes: bytes.into(), dictionary: Arc::clone(&self.dictionary) })
    }

    /// Takes a value into the dictionary if it has much that is not in there and there is room, or nothing like it was for a while.
    /// Values packed before keep the dictionary that they were packed with.
    fn learns(&mut self, plain: &[u8], packed: &[u8], halved: bool) -> bool {
        let new = !halved || (self.usual > 0 && packed.len() > self.usual + self.usual / 2);
        if halved {
            self.misses = 0;
            let risen = if self.usual == 0 { usize::MAX } else { self.usual + self.usual / 32 + 1 };
            self.usual = packed.len().min(risen);
        }
        if new && self.dictionary.len() + plain.len() <= EXTENDED {
            self.dictionary = Arc::new([&self.dictionary, plain].concat().into());
            return true;
        }
        self.misses += u8::from(!halved);
        if self.misses < MISSES {
            return false;
        }
        *self = Self { dictionary: Arc::new(plain.into()), usual: 0, misses: 0 };
        true
    }
}

// === impl Packed ===

impl Packed {
    /// The value.
    ///
    /// # Panics
    /// If this memory was damaged.
    pub fn open(&self) -> Vec<u8> {
        lz4_flex::block::decompress_size_prepended_with_dict(&self.bytes, &self.dictionary)
            .expect("it was packed by this process with this dictionary")
    }

    /// The size of the value, in bytes.
    pub fn plain_size(&self) -> usize {
        let (size, _) = self.bytes.split_first_chunk().expect("it begins with the size");
        u32::from_le_bytes(*size) as usize
    }

    /// Bytes that it takes, without the dictionary.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(number: usize) -> Vec<u8> {
        let text = format!(
            "{{\"metadata\":{{\"name\":\"box-{number}\",\"uid\":\"{:032x}\"}},\"managed\":\"{}\"}}",
            number * 7919,
            "f:spec f:containers k:name ".repeat(30)
        );
        text.into()
    }

    fn noise(seed: u64) -> Vec<u8> {
        let mut state = seed;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()[7]
        };
        (0..1000).map(step).collect()
    }

    #[test]
    fn values_alike_take_a_tenth_and_open_as_they_were() {
        let mut packer = Packer::default();
        assert!(packer.pack(&object(0)).is_none(), "the first is the dictionary");
        for number in 1..100 {
            let packed = packer.pack(&object(number)).unwrap();
            assert!(packed.size() * 10 < object(number).len(), "{} of {number}", packed.size());
            assert_eq!((packed.plain_size(), packed.open()), (object(number).len(), object(number)));
        }
    }

    #[test]
    fn what_the_dictionary_lacks_is_learned_once() {
        let with_status = |number| [object(number), noise(7)[..300].to_vec()].concat();
        let mut packer = Packer::default();
        packer.pack(&object(0));
        packer.pack(&object(1)).unwrap();
        assert!(packer.pack(&with_status(1)).is_none(), "it is learned");
        for number in 2..10 {
            let sizes =
                [object(number), with_status(number)].map(|plain| packer.pack(&plain).unwrap().size());
            assert!(sizes[0] < 100 && sizes[1] < 100, "{sizes:?}");
        }
        assert_eq!(packer.dictionary.len(), object(0).len() + with_status(1).len());
    }

    #[test]
    fn what_does_not_shrink_is_left_alone_and_makes_way_for_another_dictionary() {
        let mut packer = Packer::default();
        let learned = u64::try_from(EXTENDED / 1000).unwrap();
        for seed in 0..learned + u64::from(MISSES) {
            assert!(packer.pack(&noise(seed)).is_none());
        }
        let last = noise(learned + u64::from(MISSES) - 1);
        assert_eq!(*packer.dictionary, last.clone().into());
        assert_eq!(packer.pack(&last).unwrap().open(), last);
        assert!(packer.pack(&object(0)[..LEAST - 1]).is_none());
        assert!(packer.pack(&object(0).repeat(100)).is_none());
    }

    proptest! {
        #[test]
        fn any_value_survives_any_dictionary(first in proptest::collection::vec(any::<u8>(), 256..2000),
                                             repeats in 1_usize..20, seed in any::<u8>()) {
            let second: Vec<u8> = first.iter().map(|byte| byte ^ (seed & 1)).collect::<Vec<_>>().repeat(repeats);
            let mut packer = Packer::default();
            packer.pack(&first);
            if let Some(packed) = packer.pack(&second) {
                prop_assert_eq!(packed.open(), second);
            }
        }
    }
}
