//! Pods and the paths between them.
use super::world::*;
use net::{Attach, Error, Network};
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[test]
fn pods_reach_each_other_and_the_host_reaches_pods() {
    machine(async |world| {
        let network = world.open().await;
        let (a, b) = two(&network).await;
        listen(Some(&b.netns), b.address, 8000);
        assert_eq!(fetch(&a.netns, b.address, 8000).unwrap(), format!("hello {}", a.address));
        assert!(succeeds(&a.netns, &format!("ping -c1 -W2 {}", b.address)));
        sh(&format!("ping -c1 -W2 {}", b.address));
        let from_host = network.connect("b", SocketAddr::from((b.address, 8000)), PATIENCE).await;
        assert!(from_host.is_ok(), "connect() is inside the pod: {from_host:?}");
    });
}

#[test]
fn a_pod_reaches_the_outside_behind_the_hosts_address() {
    machine(async |world| {
        let network = world.open().await;
        let (a, b) = two(&network).await;
        listen(Some(&world.outside), OUTSIDE, 80);
        assert_eq!(fetch(&a.netns, OUTSIDE, 80).unwrap(), format!("hello {HOST}"), "masqueraded");
        // The outside knows where the pods are and still does not get in.
        listen(Some(&b.netns), b.address, 8000);
        let subnet = network.subnet();
        sh(&format!("nsenter --net={} ip route add {subnet} via {HOST}", world.outside.display()));
        fetch(&world.outside, b.address, 8000).unwrap_err();
    });
}

#[test]
fn a_pod_has_the_uplinks_mtu_and_no_ipv6() {
    machine(async |world| {
        let network = world.open().await;
        let a = network.attach(pod("a")).await.unwrap();
        let inside = format!("nsenter --net={}", a.netns.display());
        let link = sh(&format!("{inside} ip -o link show eth0"));
        assert!(link.contains("mtu 1400"), "{link}");
        assert_eq!(sh(&format!("{inside} ip -6 addr")), "");
        assert_eq!(sh(&format!("ip -6 addr show dev {}", a.interface)), "");
    });
}

#[test]
fn attaching_again_gives_the_same_and_restores_what_gvisor_took() {
    machine(async |world| {
        let network = world.open().await;
        let (a, b) = two(&network).await;
        let inside = format!("nsenter --net={}", a.netns.display());
        sh(&format!("{inside} ip addr flush dev eth0"));
        assert_eq!(network.attach(pod("a")).await.unwrap(), a);
        listen(Some(&b.netns), b.address, 8000);
        assert!(fetch(&a.netns, b.address, 8000).is_ok());
        assert_eq!(network.attach(pod("a")).await.unwrap(), a, "nothing was missing");
    });
}

#[test]
fn a_pod_gets_the_slot_it_had_or_an_error() {
    machine(async |world| {
        let network = world.open().await;
        let a = network.attach(Attach { slot: Some(77), ..pod("a") }).await.unwrap();
        assert_eq!((a.slot, a.address), (77, network.subnet().address(77)));
        let taken = network.attach(Attach { slot: Some(77), ..pod("b") }).await.unwrap_err();
        assert!(matches!(taken, Error::Taken { slot: 77, ref owner } if owner == "a"), "{taken}");
        network.detach("a").await.unwrap();
        network.detach("a").await.unwrap();
        assert!(!a.netns.exists());
        network.attach(Attach { slot: Some(77), ..pod("b") }).await.unwrap();
    });
}

#[test]
fn names_that_could_leave_the_directory_are_refused() {
    machine(async |world| {
        let network = world.open().await;
        for uid in ["", "..", "a/b", "a b", &"x".repeat(64)] {
            assert!(matches!(network.attach(pod(uid)).await, Err(Error::Config(_))), "{uid:?}");
        }
        let configured = net::Config { subnet: "8.8.8.0/24".parse().ok(), ..world.config.clone() };
        assert!(matches!(Network::open(configured).await, Err(Error::Config(_))));
    });
}

#[test]
fn a_hundred_attach_at_once_and_each_has_its_own_address() {
    machine(async |world| {
        let network = world.open().await;
        let alone = timed(&network, 20, false).await;
        let start = Instant::now();
        let together = timed(&network, 100, true).await;
        let all = start.elapsed();
        println!(
            "attach alone p50 {:?} max {:?}; 100 at once p50 {:?} max {:?}, all in {all:?}",
            alone[10], alone[19], together[50], together[99]
        );
        let mut addresses: Vec<_> = network.addresses().into_values().collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 120);
        assert!(all < Duration::from_secs(20), "collapsed: {all:?}");
        let start = Instant::now();
        let mut gone = JoinSet::new();
        for uid in network.addresses().into_keys() {
            let network = network.clone();
            gone.spawn(async move { network.detach(&uid).await });
        }
        gone.join_all().await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
        println!("120 detached at once in {:?}", start.elapsed());
        assert_eq!(network.addresses().len(), 0);
    });
}

async fn timed(network: &Network, count: usize, together: bool) -> Vec<Duration> {
    let mut tasks = JoinSet::new();
    let mut times = Vec::new();
    for i in 0..count {
        let network = network.clone();
        tasks.spawn(async move {
            let start = Instant::now();
            network.attach(pod(&format!("t{together}-{i}"))).await.unwrap();
            start.elapsed()
        });
        if !together {
            times.push(tasks.join_next().await.unwrap().unwrap());
        }
    }
    times.extend(tasks.join_all().await);
    times.sort();
    times
}

#[test]
fn all_pins_are_below_one_mount_and_go_with_the_installation() {
    machine(async |world| {
        let network = world.open().await;
        let (a, _) = two(&network).await;
        let pins = a.netns.parent().unwrap().to_owned();
        let listed = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let own =
            |text: &str| text.lines().filter(|line| line.contains(&format!(" {} ", pins.display()))).count();
        assert_eq!(own(&listed()), 1, "the directory is a mount");
        drop(network);
        let network = super::firewall::again(&world.config).await;
        assert_eq!(own(&listed()), 1, "a restart makes no second one");
        drop(network);
        net::Network::purge(world.config.clone()).await.unwrap();
        assert!(!listed().contains(&pins.display().to_string()) && !pins.exists());
    });
}
