//! What the controllers are told.

use kubekit::Board;
use telemetry::Health;

/// Plain settings of [`crate::run`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The certificate (PEM) that `kube-root-ca.crt` in every namespace holds; empty: none is written.
    pub root_ca: String,
    /// Who events say they are from, besides the controller: the host's name.
    pub instance: String,
    /// How long an event is kept after it was last seen, in seconds. Default one hour, as in Kubernetes.
    pub event_seconds: u32,
    /// Where their queues are shown. Default: nobody looks.
    pub board: Board,
    /// Where their checks go. Default: nobody looks.
    pub health: Health,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Config {
        Config {
            root_ca: String::new(),
            instance: "agent-sandbox".to_owned(),
            event_seconds: 3600,
            board: Board::default(),
            health: Health::default(),
        }
    }
}
