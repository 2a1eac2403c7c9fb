//! One pod's pair of interfaces and its namespace: made, repaired, deleted.
use super::{Attachment, Inner, host};
use crate::error::{Context as _, Error};
use crate::link::{self, Ends, Tag};
use crate::netlink::Netlink;
use crate::netns;
use std::path::PathBuf;

impl Inner {
    pub(super) fn make(&self, slot: u16, tag: &Tag, path: PathBuf) -> Result<Attachment, Error> {
        let ends = Ends {
            names: self.names.clone(),
            slot,
            address: self.subnet.address(slot),
            gateway: self.subnet.gateway(),
            mtu: self.mtu,
        };
        let mut host = host::netlink()?;
        let interface = self.names.pod(slot);
        let paired = link::index_of(&mut host, &interface).is_ok();
        let outside = |host: &mut Netlink| {
            link::configure_outside(host, &ends, tag).during(|| format!("bring up {interface}"))
        };
        if paired && netns::exists(&path) {
            outside(&mut host)?;
            netns::enter(&path, || inside(&ends))?;
        } else {
            self.delete_pair(slot)?;
            netns::remove(&path)?;
            netns::create(&path, |this| {
                settings()?;
                link::create_pair(&mut host, &ends, this).during(|| format!("make {interface}"))?;
                outside(&mut host)?;
                inside(&ends)
            })?;
        }
        link::wait_until_up(&mut host, &interface).during(|| format!("wait for {interface}"))?;
        Ok(Attachment { slot, address: ends.address, gateway: ends.gateway, netns: path, interface })
    }

    pub(super) fn delete_pair(&self, slot: u16) -> Result<(), Error> {
        let mut host = host::netlink()?;
        let name = self.names.pod(slot);
        match link::index_of(&mut host, &name) {
            Ok(index) => link::delete(&mut host, [index]).during(|| format!("delete {name}")),
            Err(_) => Ok(()),
        }
    }
}

fn inside(ends: &Ends) -> Result<(), Error> {
    let mut netlink = host::netlink()?;
    link::configure_inside(&mut netlink, ends).during(|| "bring up the pod's interface".to_owned())
}

/// Settings of a new namespace, written by the thread that is in it.
fn settings() -> Result<(), Error> {
    let settings = [
        // Pods speak IPv4 only: everything that guards them is written for it.
        ("ipv6/conf/all/disable_ipv6", "1"),
        ("ipv6/conf/default/disable_ipv6", "1"),
        // What containers expect: port 80 and ping without capabilities, also in a user namespace.
        ("ipv4/ip_unprivileged_port_start", "0"),
        ("ipv4/ping_group_range", "0 2147483647"),
    ];
    settings.into_iter().try_for_each(|(name, value)| host::set(name, value))
}
