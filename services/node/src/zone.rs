//! Names: every Sandbox that has a running Pod, and every Service with endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use net::dns::Zone;

/// A name within a namespace.
pub(crate) type Name = (String, String);

/// The addresses that names have, from several owners: a Service's endpoints win over a Sandbox's Pod, because a
/// Service of the same name is the Sandbox's own or a deliberate replacement.
#[derive(Debug, Default)]
pub(crate) struct Names {
    services: BTreeMap<Name, BTreeSet<Ipv4Addr>>,
    sandboxes: BTreeMap<Name, BTreeMap<String, Ipv4Addr>>,
}

// === impl Names ===

impl Names {
    /// A Pod of the Sandbox of this name has this address, or none any more.
    pub(crate) fn set_sandbox(&mut self, zone: &Zone, name: &Name, uid: &str, address: Option<Ipv4Addr>) {
        let pods = self.sandboxes.entry(name.clone()).or_default();
        match address {
            Some(address) => pods.insert(uid.to_owned(), address),
            None => pods.remove(uid),
        };
        if pods.is_empty() {
            self.sandboxes.remove(name);
        }
        self.publish(zone, name);
    }

    /// The Service of this name has these endpoints; none takes its name away.
    pub(crate) fn set_service(&mut self, zone: &Zone, name: &Name, addresses: BTreeSet<Ipv4Addr>) {
        if addresses.is_empty() {
            self.services.remove(name);
        } else {
            self.services.insert(name.clone(), addresses);
        }
        self.publish(zone, name);
    }

    fn publish(&self, zone: &Zone, name: &Name) {
        zone.set(&name.0, &name.1, self.addresses(name));
    }

    fn addresses(&self, name: &Name) -> Vec<Ipv4Addr> {
        if let Some(endpoints) = self.services.get(name) {
            return endpoints.iter().copied().collect();
        }
        self.sandboxes.get(name).map(|pods| pods.values().copied().collect()).unwrap_or_default()
    }
}
