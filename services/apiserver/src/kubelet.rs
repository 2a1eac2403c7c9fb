//! The one connection that is not a Kubernetes object: the way to a node's kubelet-shaped endpoints.

use std::{fmt, io};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to a node.
pub trait NodeStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> NodeStream for T {}

/// Opens streams to nodes. Each stream speaks HTTP/1.1 to the node's endpoints and carries one request.
pub trait KubeletConnector: Send + Sync {
    /// Opens a stream to the node of that name.
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>>;
}

/// Reaches no node: exec, attach, logs and port-forward answer that the node cannot be dialled.
#[derive(Debug, Default)]
pub struct NoKubelet;

// === impl NoKubelet ===

impl KubeletConnector for NoKubelet {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, format!("no route to node {node:?}"));
        Box::pin(async move { Err(refused) })
    }
}

impl fmt::Debug for dyn KubeletConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KubeletConnector")
    }
}
