//! Reproducible randomness: the same seed makes the same choices (the machine's timing stays its own).

use std::time::Duration;

/// A stream of random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

// === impl Dice ===

impl Dice {
    /// The stream of a seed; different `stream`s do not resemble each other.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self { state: seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95) };
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit.max(1)
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// An index of a list of this length; `None` if it is empty.
    pub fn pick(&mut self, length: usize) -> Option<usize> {
        usize::try_from(self.below(length as u64)).ok().filter(|_| length > 0)
    }

    /// A time between two numbers of milliseconds.
    pub fn pause(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to.saturating_sub(from)))
    }
}
