//! SPDY/3.1, as far as Kubernetes' clients speak it: many streams on one connection, for exec, attach and port-forward.
//!
//! [`codec`] turns bytes into frames and back and does nothing else; [`connection`] serves a byte stream. It behaves as
//! client-go's own library (moby/spdystream) does on the other side, which knows no windows: it sends no WINDOW_UPDATE
//! and waits for none. So neither do we; what holds a sender back is the connection itself, which is not read while a
//! stream's data is not taken. Every queue has a bound, per stream and per connection.

pub mod codec;
pub mod connection;
mod deflate;
mod dictionary;
pub mod frame;
pub mod headers;
mod state;

pub use connection::{Connection, Reader, Stream, Writer, serve};
pub use headers::Headers;

#[cfg(test)]
pub(crate) mod tests;
