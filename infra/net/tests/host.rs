//! The network on a real kernel: namespaces, interfaces, nftables, DNS, runc and runsc. Needs root, nft, ip, nsenter,
//! ping, runc and runsc.
//!
//! Each test plays a whole machine: a network namespace of its own is the "host", another is the "outside", and mounts are
//! private, so that tests run beside each other and a failed one leaves nothing behind.
#![allow(unsafe_code, reason = "unshare(2) makes each test a machine of its own")]
#![allow(clippy::unwrap_used, reason = "tests, also outside of the functions marked as such")]

mod host {
    mod crash;
    mod firewall;
    mod names;
    mod pods;
    mod runtimes;
    mod world;
}
