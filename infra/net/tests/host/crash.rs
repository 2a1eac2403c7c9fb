//! Whatever a crash leaves is found and removed, and nothing that lives is touched.
use super::firewall::again;
use super::world::*;
use std::collections::HashSet;
use std::fs;

#[test]
fn a_new_process_finds_its_pods_and_sweeps_the_rest() {
    machine(async |world| {
        let network = world.open().await;
        let (a, b) = two(&network).await;
        listen(Some(&a.netns), a.address, 8000);
        drop(network);
        let network = again(&world.config).await;
        assert_eq!(network.addresses().len(), 2);
        let gone = network.sweep(&HashSet::from(["a".to_owned()])).await.unwrap();
        assert_eq!(gone, ["b"]);
        assert!(!b.netns.exists() && !sh("ip -o link").contains(&b.interface));
        let c = network.attach(pod("c")).await.unwrap();
        assert_ne!(c.slot, a.slot);
        assert!(fetch(&c.netns, a.address, 8000).is_ok(), "the kept pod works on");
    });
}

#[test]
fn half_made_pods_of_every_kind_are_swept() {
    machine(async |world| {
        let network = world.open().await;
        let a = network.attach(pod("a")).await.unwrap();
        // Killed before the interface got its owner, before the namespace was pinned, between file and mount, after the
        // interface was deleted.
        let prefix = format!("as{}-", world.config.id);
        sh(&format!("ip link add {prefix}00aa type veth peer name x0"));
        let dir = a.netns.parent().unwrap();
        fs::write(dir.join("bare"), "").unwrap();
        let d = network.attach(pod("d")).await.unwrap();
        sh(&format!("ip link del {}", d.interface));
        let e = network.attach(pod("e")).await.unwrap();
        // A process still in it keeps the interface alive.
        let _held = fs::File::open(&e.netns).unwrap();
        sh(&format!("umount -l {0} && rm {0}", e.netns.display()));
        drop(network);
        let network = again(&world.config).await;
        let mut gone = network.sweep(&HashSet::from(["a".to_owned()])).await.unwrap();
        gone.sort();
        assert_eq!(gone, ["bare", "d", "e"]);
        let links = sh("ip -o link");
        assert_eq!(links.matches(&prefix).count(), 1, "{links}");
        assert_eq!(fs::read_dir(dir).unwrap().count(), 1);
        assert_eq!(network.attach(pod("a")).await.unwrap(), a);
    });
}

#[test]
fn a_pod_whose_namespace_or_interface_was_lost_is_made_whole_by_attach() {
    machine(async |world| {
        let network = world.open().await;
        let (a, b) = two(&network).await;
        listen(Some(&b.netns), b.address, 8000);
        sh(&format!("ip link del {}", a.interface));
        assert_eq!(network.attach(pod("a")).await.unwrap(), a);
        assert!(fetch(&a.netns, b.address, 8000).is_ok());
        sh(&format!("umount {0} && rm {0}", a.netns.display()));
        assert_eq!(network.attach(pod("a")).await.unwrap(), a);
        assert!(fetch(&a.netns, b.address, 8000).is_ok());
    });
}

#[test]
fn the_subnet_is_remembered_and_never_changes_under_running_pods() {
    machine(async |world| {
        let network = world.open().await;
        let subnet = network.subnet();
        network.attach(pod("a")).await.unwrap();
        drop(network);
        assert_eq!(again(&world.config).await.subnet(), subnet);
        let other = net::Config { subnet: "10.9.0.0/20".parse().ok(), ..world.config.clone() };
        let refused = net::Network::open(other).await.unwrap_err();
        assert!(refused.to_string().contains("remove them first"), "{refused}");
    });
}
