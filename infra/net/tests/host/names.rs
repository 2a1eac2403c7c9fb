//! DNS as pods use it.
use super::world::*;
use net::{Attach, Network};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Serves DNS for as long as the test runs.
pub(crate) fn serve(network: &Network) -> CancellationToken {
    let (network, shutdown) = (network.clone(), CancellationToken::new());
    let (handle, token) = (tokio::runtime::Handle::current(), shutdown.clone());
    thread::spawn(move || handle.block_on(network.run(token)));
    shutdown
}

/// Asks for the A records of a name; the code and the addresses.
fn ask(namespace: &Path, server: Ipv4Addr, name: &str) -> Option<(u8, Vec<Ipv4Addr>)> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let answer = within(namespace, || {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        socket.send_to(&query, (server, 53)).ok()?;
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    })?;
    let mut addresses = Vec::new();
    let mut rest = answer.get(query.len()..)?;
    for _ in 0..u16::from_be_bytes([answer[6], answer[7]]) {
        // Answers repeat the name as a pointer: 12 bytes before the address.
        let record = rest.get(..16)?;
        addresses.push(Ipv4Addr::new(record[12], record[13], record[14], record[15]));
        rest = &rest[16..];
    }
    Some((answer[3] & 15, addresses))
}

/// Plays the resolver of the host's world: every name is 192.0.2.99.
fn resolver(world: &World) {
    let socket = within(&world.outside, || UdpSocket::bind((OUTSIDE, 53)).unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut answer = buffer[..length].to_vec();
            answer[2] |= 0x80;
            answer[7] = 1;
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 99]);
            socket.send_to(&answer, from).ok();
        }
    });
}

#[test]
fn a_sandbox_is_found_by_its_names_and_everything_else_is_asked_outside() {
    machine(async |world| {
        let network = world.open().await;
        let shutdown = serve(&network);
        resolver(&world);
        let a = network.attach(pod("a")).await.unwrap();
        let b = network.attach(Attach { namespace: "team".to_owned(), ..pod("b") }).await.unwrap();
        network.zone().set("default", "my-sandbox", vec![a.address]);
        let found = Some((0, vec![a.address]));
        assert_eq!(ask(&a.netns, a.gateway, "my-sandbox"), found);
        assert_eq!(ask(&b.netns, b.gateway, "my-sandbox.default.svc.cluster.local"), found);
        assert_eq!(ask(&b.netns, b.gateway, "my-sandbox"), Some((3, vec![])), "another namespace");
        let start = Instant::now();
        assert_eq!(ask(&a.netns, a.gateway, "pypi.org.default.svc.cluster.local"), Some((3, vec![])));
        assert!(start.elapsed() < Duration::from_millis(200), "a search path costs nothing");
        assert_eq!(ask(&a.netns, a.gateway, "example.org"), Some((0, vec![Ipv4Addr::new(192, 0, 2, 99)])));
        shutdown.cancel();
    });
}

#[test]
fn a_pod_resolves_with_the_c_librarys_resolver() {
    machine(async |world| {
        let network = world.open().await;
        let shutdown = serve(&network);
        let a = network.attach(pod("a")).await.unwrap();
        network.zone().set("default", "my-sandbox", vec![a.address]);
        let file = world.dir.path().join("resolv.conf");
        std::fs::write(&file, network.resolv_conf("default")).unwrap();
        let script = format!(
            "mount --bind {} /etc/resolv.conf && getent ahostsv4 my-sandbox && getent ahostsv4 my-sandbox.default",
            file.display()
        );
        let command = format!("nsenter --net={} unshare -m sh -c '{script}'", a.netns.display());
        let found = sh(&command);
        assert_eq!(found.matches("STREAM").count(), 2, "{found}");
        assert!(found.contains(&a.address.to_string()));
        shutdown.cancel();
    });
}

#[test]
fn strangers_are_not_served_and_closed_pods_ask_nothing_outside() {
    machine(async |world| {
        let network = world.open().await;
        let shutdown = serve(&network);
        resolver(&world);
        network.zone().set("default", "my-sandbox", vec![Ipv4Addr::new(10, 0, 0, 9)]);
        let gateway = network.subnet().gateway();
        sh(&format!("nsenter --net={} ip route add {gateway} via {HOST}", world.outside.display()));
        assert_eq!(ask(&world.outside, gateway, "my-sandbox.default.svc.cluster.local"), None);
        let closed = network.attach(Attach { closed: true, ..pod("c") }).await.unwrap();
        assert_eq!(
            ask(&closed.netns, gateway, "example.org"),
            Some((5, vec![])),
            "refused: names carry data out"
        );
        assert!(ask(&closed.netns, gateway, "my-sandbox").is_some_and(|(code, _)| code == 0));
        shutdown.cancel();
    });
}

#[test]
fn a_dead_resolver_is_an_answer_not_silence() {
    machine(async |world| {
        let network = world.open().await;
        let shutdown = serve(&network);
        let a = network.attach(pod("a")).await.unwrap();
        // Nobody listens on the outside's port 53: the kernel says so at once.
        assert_eq!(ask(&a.netns, a.gateway, "example.org"), Some((2, vec![])));
        shutdown.cancel();
    });
}
