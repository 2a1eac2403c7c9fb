//! Bytes at rest, packed against bytes that look like them.
//!
//! Objects of one kind have the same fields, the same owners, other names and times. Against one of them as dictionary an object takes
//! a tenth of its size, and is whole again in a microsecond.
//!
//! **Invariant:** what comes out is what went in, whatever became of the packer.

use std::sync::Arc;

/// Smaller values gain nothing.
const LEAST: usize = 256;
/// LZ4 looks back this far, so a larger dictionary would not be used.
const MOST: usize = 64 << 10;
/// How many values that their dictionary does not fit make way for another.
const MISSES: u8 = 8;

type Dictionary = Arc<Box<[u8]>>;

/// Packs values that look alike.
#[derive(Debug, Default)]
pub struct Packer {
    dictionary: Option<Dictionary>,
    misses: u8,
}

/// A packed value. It keeps its dictionary, which it shares.
#[derive(Debug)]
pub struct Packed {
    bytes: Box<[u8]>,
    dictionary: Dictionary,
    len: u32,
}

// === impl Packer ===

impl Packer {
    /// Packs a value; none if that would not halve it, or if it becomes the dictionary for those after it.
    pub fn pack(&mut self, plain: &[u8]) -> Option<Packed> {
        if !(LEAST..=MOST).contains(&plain.len()) {
            return None;
        }
        let Some(dictionary) = &self.dictionary else {
            self.dictionary = Some(Arc::new(plain.into()));
            return None;
        };
        let bytes = lz4_flex::block::compress_with_dict(plain, dictionary);
        if bytes.len() <= plain.len() / 2 {
            self.misses = 0;
            let len = u32::try_from(plain.len()).ok()?;
            return Some(Packed { bytes: bytes.into(), dictionary: Arc::clone(dictionary), len });
        }
        self.misses += 1;
        if self.misses >= MISSES {
            // Values packed with the old one keep it.
            *self = Self { dictionary: Some(Arc::new(plain.into())), misses: 0 };
        }
        None
    }
}

// === impl Packed ===

impl Packed {
    /// The value.
    ///
    /// # Panics
    /// If this memory was damaged.
    pub fn open(&self) -> Vec<u8> {
        lz4_flex::block::decompress_with_dict(&self.bytes, self.len as usize, &self.dictionary)
            .expect("it was packed by this process with this dictionary")
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
            assert_eq!(packed.open(), object(number));
        }
    }

    #[test]
    fn what_does_not_shrink_is_left_alone_and_makes_way_for_another_dictionary() {
        let mut packer = Packer::default();
        packer.pack(&noise(1));
        for seed in 2..2 + u64::from(MISSES) {
            assert!(packer.pack(&noise(seed)).is_none());
        }
        let last = noise(1 + u64::from(MISSES));
        assert_eq!(packer.pack(&last).unwrap().open(), last, "the last one is the dictionary now");
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
