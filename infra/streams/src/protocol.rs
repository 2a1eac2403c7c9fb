//! Which dialect is spoken.

use serde_json::Value;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A version of the channel protocol on WebSockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `v5.channel.k8s.io`: stdin can be closed on its own.
    V5,
    /// `v4.channel.k8s.io`: the final status is a JSON `Status`.
    V4,
}

/// A version of exec and attach over SPDY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The final status is a JSON `Status`.
    V4,
    /// The final status is a sentence, if there is an error; terminals have sizes.
    V3,
    /// As `V3` without sizes. (In `V1`, which is older, a client may have to be told twice that all is over.)
    V2,
}

/// How exec and attach are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exec {
    /// Channels of a WebSocket.
    WebSocket(Protocol),
    /// Streams of SPDY.
    Spdy(Version),
}

/// How port-forward is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Channels of a WebSocket; the request names the ports.
    Channels,
    /// SPDY in the messages of a WebSocket.
    Tunnel,
    /// SPDY.
    Spdy,
}

/// Names as they stand in headers, best first, with what they mean.
pub type Names<T> = &'static [(&'static str, T)];

/// What is spoken on one endpoint.
#[derive(Debug)]
pub struct Offer<T: 'static> {
    /// For `Sec-WebSocket-Protocol`.
    pub websocket: Names<T>,
    /// For `X-Stream-Protocol-Version`. The last is meant by clients that name none.
    pub spdy: Names<T>,
}

/// Exec and attach.
pub const EXEC: Offer<Exec> = Offer {
    websocket: &[
        ("v5.channel.k8s.io", Exec::WebSocket(Protocol::V5)),
        ("v4.channel.k8s.io", Exec::WebSocket(Protocol::V4)),
    ],
    spdy: &[
        ("v4.channel.k8s.io", Exec::Spdy(Version::V4)),
        ("v3.channel.k8s.io", Exec::Spdy(Version::V3)),
        ("v2.channel.k8s.io", Exec::Spdy(Version::V2)),
        ("channel.k8s.io", Exec::Spdy(Version::V2)),
    ],
};

/// Port-forward. A client that offers v5 there speaks v4.
pub const FORWARD: Offer<Forward> = Offer {
    websocket: &[("SPDY/3.1+portforward.k8s.io", Forward::Tunnel), ("v4.channel.k8s.io", Forward::Channels)],
    spdy: &[("portforward.k8s.io", Forward::Spdy)],
};

// === impl Offer ===

impl<T: Copy> Offer<T> {
    /// Chooses our best among those offered (comma separated) for a WebSocket.
    pub fn for_websocket(&self, offered: &str) -> Option<(&'static str, T)> {
        self.websocket.iter().find(|(name, _)| names(offered).any(|other| other == *name)).copied()
    }

    /// Chooses the client's best that is spoken here over SPDY, as Kubernetes does. A client that names none gets the
    /// oldest, and no name back.
    pub fn for_spdy(&self, offered: &str) -> Option<(Option<&'static str>, T)> {
        if names(offered).next().is_none() {
            return self.spdy.last().map(|(_, meaning)| (None, *meaning));
        }
        let known = |name: &str| self.spdy.iter().find(|(known, _)| *known == name);
        names(offered).find_map(known).map(|(name, meaning)| (Some(*name), *meaning))
    }
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

// === impl Version ===

impl Version {
    /// Whether clients open a stream for sizes of their terminal.
    pub(crate) fn resizes(self) -> bool {
        self != Self::V2
    }

    /// What is sent as the final status.
    pub(crate) fn status(self, status: &Value) -> String {
        if self == Self::V4 {
            return status.to_string();
        }
        let failed = status["status"] != "Success";
        status["message"].as_str().filter(|_| failed).unwrap_or_default().to_owned()
    }
}

/// The `Sec-WebSocket-Accept` header that answers a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(offered: &str) -> Option<&'static str> {
        EXEC.for_websocket(offered).map(|(name, _)| name)
    }

    #[test]
    fn the_newest_offered_version_is_spoken() {
        assert_eq!(exec("v4.channel.k8s.io, v5.channel.k8s.io"), Some("v5.channel.k8s.io"));
        assert_eq!(exec("channel.k8s.io,v4.channel.k8s.io"), Some("v4.channel.k8s.io"));
        assert_eq!(exec("v3.channel.k8s.io"), None);
        assert_eq!(exec(""), None);
    }

    /// kube-rs offers v5 and v4 on every upgrade and speaks the old framing on port-forward; kubectl offers the tunnel.
    #[test]
    fn port_forward_speaks_v4_even_to_clients_that_offer_v5() {
        let spoken = |offered| FORWARD.for_websocket(offered).map(|(_, forward)| forward);
        assert_eq!(spoken("v5.channel.k8s.io, v4.channel.k8s.io"), Some(Forward::Channels));
        assert_eq!(spoken("SPDY/3.1+portforward.k8s.io"), Some(Forward::Tunnel));
        assert_eq!(spoken("v5.channel.k8s.io"), None);
    }

    /// Facts: client-go offers v4, v3, v2 and v1 in this order; a server takes the first that it knows. Clients of
    /// Kubernetes 1.0 name none.
    #[test]
    fn over_spdy_the_clients_choice_counts() {
        let spoken = |offered| EXEC.for_spdy(offered);
        let all = "v4.channel.k8s.io,v3.channel.k8s.io,v2.channel.k8s.io,channel.k8s.io";
        assert_eq!(spoken(all), Some((Some("v4.channel.k8s.io"), Exec::Spdy(Version::V4))));
        let old = "v9.channel.k8s.io, v3.channel.k8s.io, v4.channel.k8s.io";
        assert_eq!(spoken(old), Some((Some("v3.channel.k8s.io"), Exec::Spdy(Version::V3))));
        assert_eq!(spoken(""), Some((None, Exec::Spdy(Version::V2))));
        assert_eq!(spoken("v5.channel.k8s.io"), None);
    }

    #[test]
    fn before_v4_the_status_is_a_sentence_or_nothing() {
        let failed = crate::status::exited(3);
        assert_eq!(Version::V2.status(&failed), failed["message"].as_str().unwrap());
        assert_eq!(Version::V3.status(&crate::status::success()), "");
        assert_eq!(Version::V4.status(&failed), failed.to_string());
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_key_is_answered_as_the_standard_says() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
