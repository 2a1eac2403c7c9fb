//! Images through the public interface: hostile layers, layouts, a registry on loopback, the built-in image. Needs root.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "images/fixture.rs"]
mod fixture;
#[path = "images/host.rs"]
mod host;
#[path = "images/keep.rs"]
mod keep;
#[path = "images/layout.rs"]
mod layout;
#[path = "images/pull.rs"]
mod pull;
#[path = "images/registry.rs"]
mod registry;
#[path = "images/unpack.rs"]
mod unpack;
