//! Names for pods: ours from a [`Zone`], everything else asked from the host's resolvers.
//!
//! Queries go on as the bytes they came as, so every record type works and this code holds no opinion about them.
mod answer;
mod forward;
mod limit;
mod server;
mod zone;

pub(crate) use forward::upstreams;
pub(crate) use server::Server;
pub use zone::Zone;
