//! Fuzz targets: what takes bytes of strangers, given any bytes. A target panics when a promise is broken.
//!
//! `cargo xtask fuzz` runs them for long, under libFuzzer; this crate's test replays the corpus of each, which holds what
//! covers the code and everything that was ever found.

mod json;
mod layers;
mod patches;
mod schemas;
mod selectors;
mod spdy;

/// A target: its name, which is also its folder in the corpus, and what it does with any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "patches", run: patches::run },
    Target { name: "selectors", run: selectors::run },
    Target { name: "spdy", run: spdy::run },
    Target { name: "schemas", run: schemas::run },
    Target { name: "layers", run: layers::run },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

// === impl Target ===

impl Target {
    /// Gives it some bytes.
    ///
    /// # Panics
    /// A promise is broken.
    pub fn run(&self, data: &[u8]) {
        (self.run)(data);
    }
}
