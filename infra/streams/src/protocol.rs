//! Which dialect is spoken.

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A version of the channel protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `v5.channel.k8s.io`: stdin can be closed on its own.
    V5,
    /// `v4.channel.k8s.io`: the final status is a JSON `Status`.
    V4,
}

// === impl Protocol ===

impl Protocol {
    /// Chooses the newest version among those offered for exec and attach (`Sec-WebSocket-Protocol`, comma separated).
    pub fn for_exec(offered: &str) -> Option<Self> {
        [Self::V5, Self::V4].into_iter().find(|protocol| protocol.is_offered(offered))
    }

    /// Chooses among those offered for port-forward: clients that offer v5 there speak v4.
    pub fn for_ports(offered: &str) -> Option<Self> {
        Some(Self::V4).filter(|protocol| protocol.is_offered(offered))
    }

    /// The name in the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
        }
    }

    fn is_offered(self, offered: &str) -> bool {
        offered.split(',').any(|name| name.trim() == self.name())
    }
}

/// The `Sec-WebSocket-Accept` header that answers a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offered_version_is_spoken() {
        assert_eq!(Protocol::for_exec("v4.channel.k8s.io, v5.channel.k8s.io"), Some(Protocol::V5));
        assert_eq!(Protocol::for_exec("channel.k8s.io,v4.channel.k8s.io"), Some(Protocol::V4));
        assert_eq!(Protocol::for_exec("v3.channel.k8s.io"), None);
        assert_eq!(Protocol::for_exec(""), None);
    }

    /// kube-rs offers v5 and v4 on every upgrade and speaks the old framing on port-forward.
    #[test]
    fn port_forward_speaks_v4_even_to_clients_that_offer_v5() {
        assert_eq!(Protocol::for_ports("v5.channel.k8s.io, v4.channel.k8s.io"), Some(Protocol::V4));
        assert_eq!(Protocol::for_ports("SPDY/3.1+portforward.k8s.io"), None);
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_key_is_answered_as_the_standard_says() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
