//! What a pod must not reach.
use super::world::*;
use net::{Attach, Config, Network, Severity};
use std::net::Ipv4Addr;

#[test]
fn no_address_of_the_host_is_reached_but_the_dns() {
    machine(async |world| {
        let network = world.open().await;
        let a = network.attach(pod("a")).await.unwrap();
        for port in [22, 6443] {
            listen(None, Ipv4Addr::UNSPECIFIED, port);
        }
        for address in [HOST, network.subnet().gateway(), Ipv4Addr::LOCALHOST] {
            assert!(fetch(&a.netns, address, 6443).is_err(), "{address}");
        }
        assert_eq!(
            fetch(&world.outside, HOST, 22).unwrap(),
            format!("hello {OUTSIDE}"),
            "the listener works"
        );
        assert!(!succeeds(&a.netns, &format!("ping -c1 -W1 {HOST}")));
        // Even when the host routes 127.0.0.0/8, as some proxies make it.
        setting("ipv4/conf/all/route_localnet", "1");
        sh(&format!(
            "nsenter --net={0} ip link set lo down && nsenter --net={0} ip route add 127.0.0.1 via {1} dev eth0",
            a.netns.display(),
            a.gateway
        ));
        assert!(fetch(&a.netns, Ipv4Addr::LOCALHOST, 6443).is_err());
    });
}

#[test]
fn a_port_the_host_publishes_by_nat_is_closed_too() {
    machine(async |world| {
        let network = world.open().await;
        let a = network.attach(pod("a")).await.unwrap();
        listen(Some(&world.outside), OUTSIDE, 9000);
        // Docker publishes ports like this: the packet is no longer for the host when `input` would see it.
        sh("nft add table ip pub && nft 'add chain ip pub pre { type nat hook prerouting priority -100; }'");
        sh(&format!("nft add rule ip pub pre tcp dport 8080 dnat to {OUTSIDE}:9000"));
        assert!(fetch(&a.netns, HOST, 8080).is_err());
        assert!(fetch(&a.netns, OUTSIDE, 9000).is_ok());
    });
}

#[test]
fn metadata_services_are_closed_and_refused_at_once() {
    machine(async |world| {
        let network = world.open().await;
        let a = network.attach(pod("a")).await.unwrap();
        let inside = format!("nsenter --net={}", world.outside.display());
        for address in ["169.254.169.254", "100.100.100.200", "168.63.129.16"] {
            sh(&format!("{inside} ip addr add {address}/32 dev lo"));
            let metadata: Ipv4Addr = address.parse().unwrap();
            listen(Some(&world.outside), metadata, 80);
            sh(&format!("ip route add {metadata} via {OUTSIDE}"));
            let start = std::time::Instant::now();
            assert!(fetch(&a.netns, metadata, 80).is_err(), "{metadata}");
            assert!(start.elapsed() < PATIENCE / 2, "refused, not left hanging");
        }
        listen(Some(&world.outside), OUTSIDE, 80);
        assert!(fetch(&a.netns, OUTSIDE, 80).is_ok());
    });
}

#[test]
fn a_spoofed_source_goes_nowhere() {
    machine(async |world| {
        let network = world.open().await;
        let (a, b) = two(&network).await;
        let stranger = Ipv4Addr::new(203, 0, 113, 9);
        let inside = format!("nsenter --net={}", a.netns.display());
        sh(&format!(
            "{inside} ip addr add {stranger}/32 dev lo && {inside} ip addr add {}/32 dev lo",
            b.address
        ));
        sh(&format!("nsenter --net={} ip route add {stranger} via {HOST}", world.outside.display()));
        // A place where spoofed packets would be seen.
        let seen =
            "nft add table ip seen && nft 'add chain ip seen f { type filter hook forward priority 10; }'";
        sh(seen);
        sh(&format!("nft add rule ip seen f ip saddr {{ {stranger}, {} }} oifname up0 counter", b.address));
        echo(&world.outside, OUTSIDE, 7);
        bounce(&a.netns, a.address, OUTSIDE, 7).unwrap();
        bounce(&a.netns, stranger, OUTSIDE, 7).unwrap_err();
        bounce(&a.netns, b.address, OUTSIDE, 7).unwrap_err();
        assert!(sh("nft list table ip seen").contains("packets 0"));
    });
}

#[test]
fn a_closed_pod_reaches_pods_and_nothing_outside_until_it_is_opened() {
    machine(async |world| {
        let network = world.open().await;
        let b = network.attach(pod("b")).await.unwrap();
        let closed = Attach { closed: true, ..pod("a") };
        let a = network.attach(closed.clone()).await.unwrap();
        listen(Some(&world.outside), OUTSIDE, 80);
        listen(Some(&b.netns), b.address, 8000);
        assert!(fetch(&a.netns, OUTSIDE, 80).is_err());
        assert!(fetch(&a.netns, b.address, 8000).is_ok());
        assert!(fetch(&b.netns, OUTSIDE, 80).is_ok());
        drop(network);
        // A new process replaces the table, and the pod is as closed as before.
        let network = again(&world.config).await;
        assert!(fetch(&a.netns, OUTSIDE, 80).is_err());
        network.attach(pod("a")).await.unwrap();
        assert!(fetch(&a.netns, OUTSIDE, 80).is_ok());
        network.attach(closed).await.unwrap();
        network.detach("a").await.unwrap();
        assert!(!sh(&format!("nft list set inet {} closed", world.table())).contains("elements"));
    });
}

/// Opens the network again; the port is free as soon as the old one's sockets are gone.
pub(crate) async fn again(config: &Config) -> Network {
    Network::open(config.clone()).await.unwrap()
}

#[test]
fn dockers_firewall_is_found_and_mended_and_left_as_it_was() {
    machine(async |world| {
        sh(
            "nft add table ip filter && nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'",
        );
        sh("nft add chain ip filter DOCKER-USER && nft add rule ip filter FORWARD jump DOCKER-USER");
        let before = sh("nft list table ip filter");
        let surveyed = Network::survey(&world.config).await;
        assert!(surveyed.iter().any(|f| f.fix.contains("DOCKER-USER")), "{surveyed:?}");
        assert!(
            surveyed.iter().any(|f| f.severity == Severity::Note && f.what.contains("forwarding")),
            "{surveyed:?}"
        );
        assert!(!world.config.state_file.exists() && !sh("nft list ruleset").contains(&world.table()));
        let network = world.open().await;
        let (a, b) = two(&network).await;
        listen(Some(&world.outside), OUTSIDE, 80);
        listen(Some(&b.netns), b.address, 8000);
        assert!(fetch(&a.netns, OUTSIDE, 80).is_err(), "this is what Docker does");
        let findings = network.check().await;
        let finding = findings.iter().find(|f| f.severity == Severity::Problem).expect("a finding");
        assert!(finding.fix.contains("DOCKER-USER"), "{finding:?}");
        // The advice works when typed.
        sh(&finding.fix);
        assert!(fetch(&a.netns, OUTSIDE, 80).is_ok() && fetch(&a.netns, b.address, 8000).is_ok());
        assert!(network.check().await.iter().all(|f| f.severity == Severity::Note));
        sh("nft flush chain ip filter DOCKER-USER");
        drop(network);
        let network = again(&Config { fix_forward: true, ..world.config.clone() }).await;
        assert!(fetch(&a.netns, OUTSIDE, 80).is_ok() && fetch(&a.netns, b.address, 8000).is_ok());
        assert!(network.check().await.iter().all(|f| f.severity == Severity::Note));
        Network::purge(world.config.clone()).await.unwrap();
        assert_eq!(sh("nft list table ip filter"), before);
    });
}

#[test]
fn a_host_that_drops_input_still_answers_dns_once_mended() {
    machine(async |world| {
        sh(
            "nft add table inet ufw && nft 'add chain inet ufw in { type filter hook input priority 0; policy drop; }'",
        );
        let network = Network::open(Config { fix_forward: true, ..world.config.clone() }).await.unwrap();
        assert!(network.check().await.iter().all(|f| f.severity == Severity::Note));
        let rules = sh("nft list chain inet ufw in");
        assert!(rules.contains("dport 53") && !rules.contains("8080"), "{rules}");
    });
}

/// The kernel has one table of connections for the host and everybody on it.
#[test]
fn one_pod_cannot_fill_the_hosts_table_of_connections() {
    machine(async |world| {
        let network = world.open().await;
        let (a, b) = (network.attach(pod("a")).await.unwrap(), network.attach(pod("b")).await.unwrap());
        listen(Some(&world.outside), OUTSIDE, 9000);
        let flood = format!(
            "import socket\ns=socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor port in range(1024, 9024): s.sendto(b'x', ('{OUTSIDE}', port))"
        );
        sh(&format!("nsenter --net={} python3 -c \"{flood}\"", a.netns.display()));
        let counted = sh("cat /proc/sys/net/netfilter/nf_conntrack_count");
        let counted: u32 = counted.trim().parse().unwrap();
        assert!((3000..5000).contains(&counted), "{counted} connections");
        assert!(fetch(&a.netns, OUTSIDE, 9000).is_err(), "a has as many as it may");
        assert!(fetch(&b.netns, OUTSIDE, 9000).is_ok(), "b is not concerned");
    });
}
