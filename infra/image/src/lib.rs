//! Images for the node agent: from a registry, an OCI layout or the host itself, to directories that can be mounted.
//!
//! ```text
//!  pull, import ──> manifest, config ──> blobs (resumable) ──> layers/<diff id>/  (unpacked, shared)
//!  built in     ──> host/<hash>/ and binds of the host's /usr
//! ```
//!
//! **Invariants.**
//! - Everything fetched is checked against its digest before it is used; a layer also against its diff id.
//! - Archives are hostile: every path is resolved beneath the layer's directory by the kernel, no device node is made, and
//!   entries, bytes and memory are capped.
//! - A layer's directory appears by a rename after its content was synced. Whatever a crash leaves is under `tmp/` or
//!   `downloads/` and is cleaned up or resumed.
//! - A layer that an [`Image`] in use needs is never deleted: see [`Image`] and [`Images::collect`].
//!
//! The directory is closed to everybody but root: layers hold set-user-id programs of strangers.

mod archive;
mod blob;
mod config;
mod content;
mod digest;
mod error;
mod fetch;
mod host;
mod image;
mod images;
mod layout;
mod manifest;
mod reference;
mod registry;
mod removal;
mod tree;
mod unpack;

pub use archive::Limits;
pub use config::ImageConfig;
pub use error::Error;
pub use host::{HOST_IMAGE, HOST_IMAGE_SHORT};
pub use image::{Bind, Image};
pub use images::{Config, Images, PutOff, Removed, Summary};
pub use registry::{Credentials, Progress};
pub use removal::{remove_tree, remove_tree_while};
pub use unpack::unpack_layer;
