//! The codec on any input, and a connection as a client sees it.

mod bytes_and_frames;
pub(crate) mod client;
mod streams;
