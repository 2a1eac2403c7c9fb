//! What stands around the sandboxes in a test: listeners on the host, and a namespace that plays the rest of the world.

use crate::Output;
use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    thread,
};

/// The host's and the other side's address of the link between them (a net for documentation).
pub const HOST: &str = "203.0.113.1";
/// See [`HOST`].
pub const OUTSIDE: &str = "203.0.113.2";

/// Says "hello" to everybody who connects to any of the host's addresses, until the test ends; the port.
///
/// # Panics
/// There is no free port.
pub fn listen_everywhere() -> u16 {
    serve(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port"))
}

/// As [`listen_everywhere`], on one address and port.
///
/// # Panics
/// They are taken.
pub fn listen_at(address: &str, port: u16) {
    serve(TcpListener::bind((address, port)).expect("bind"));
}

fn serve(listener: TcpListener) -> u16 {
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"hello");
        }
    });
    port
}

/// Runs a shell command on the host; it must succeed.
#[track_caller]
pub fn sh(command: &str) -> String {
    Output::of(Command::new("sh").args(["-c", command])).ok()
}

/// Every IPv4 address of the host.
///
/// # Panics
/// `ip` prints no JSON.
pub fn host_addresses() -> Vec<String> {
    let links: Vec<serde_json::Value> = serde_json::from_str(&sh("ip -j -4 addr")).expect("JSON");
    let infos = links.iter().flat_map(|link| link["addr_info"].as_array().cloned().unwrap_or_default());
    infos.filter_map(|info| info["local"].as_str().map(str::to_owned)).collect()
}

/// An address that the host has while this value lives.
pub struct OwnAddress {
    address: String,
}

// === impl OwnAddress ===

impl OwnAddress {
    /// Gives it to the host.
    pub fn add(address: &str) -> Self {
        sh(&format!("ip addr add {address}/32 dev lo"));
        Self { address: address.to_owned() }
    }
}

impl Drop for OwnAddress {
    fn drop(&mut self) {
        Output::of(Command::new("ip").args(["addr", "del", &format!("{}/32", self.address), "dev", "lo"]));
    }
}

/// A namespace behind a link of the host. It has a web server that answers with the asker's address on [`OUTSIDE`]:80, and
/// counts datagrams by source on port 7.
pub struct World {
    name: String,
    server: Child,
}

const SERVER: &str = r"
import socket, threading
seen = []
def datagrams():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7))
    while True: seen.append(s.recvfrom(64)[1][0])
threading.Thread(target=datagrams, daemon=True).start()
def serve(port, say):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', port)); s.listen()
    while True:
        c, peer = s.accept(); c.sendall(say(peer[0]).encode()); c.close()
threading.Thread(target=serve, args=(81, lambda peer: ' '.join(seen)), daemon=True).start()
serve(80, lambda peer: peer)
";

// === impl World ===

impl World {
    /// Makes it; additional addresses are reached through it, too.
    pub fn with(addresses: &[&str]) -> Self {
        let name = format!("ast{}", std::process::id());
        sh(&format!(
            "ip netns add {name} && ip link add {name}u mtu 1400 type veth peer name up0 netns {name}"
        ));
        sh(&format!("ip addr add {HOST}/24 dev {name}u && ip link set {name}u up"));
        let inside = format!("ip netns exec {name}");
        sh(&format!(
            "{inside} ip link set lo up && {inside} ip addr add {OUTSIDE}/24 dev up0 && {inside} ip link set up0 up"
        ));
        for address in addresses {
            sh(&format!(
                "{inside} ip addr add {address}/32 dev lo && ip route add {address}/32 via {OUTSIDE}"
            ));
        }
        let server = Command::new("ip")
            .args(["netns", "exec", &name, "python3", "-c", SERVER])
            .stdin(Stdio::null())
            .spawn()
            .expect("the outside's server");
        Self { name, server }
    }

    /// Sources of the datagrams that arrived.
    pub fn sources(&self) -> String {
        sh(&format!(
            "ip netns exec {} python3 -c \"import socket; print(socket.create_connection(('127.0.0.1', 81)).recv(65536).decode())\"",
            self.name
        ))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        Output::of(Command::new("ip").args(["link", "del", &format!("{}u", self.name)]));
        Output::of(Command::new("ip").args(["netns", "del", &self.name]));
    }
}
