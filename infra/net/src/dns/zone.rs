//! What the names inside the cluster domain mean, and who may ask what.
use crate::Subnet;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The records of one network. Cheap to clone; filled by others, read by the DNS server.
#[derive(Clone, Debug)]
pub struct Zone {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Lower case, without dots at the ends.
    domain: String,
    subnet: Subnet,
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// Names below `svc.<domain>`, for example `web.default`.
    services: HashMap<String, Vec<Ipv4Addr>>,
    clients: HashMap<Ipv4Addr, Client>,
}

/// A pod as the DNS server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Client {
    namespace: String,
    closed: bool,
}

/// What a name means to the one who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It has these addresses.
    Addresses(Vec<Ipv4Addr>),
    /// It would be ours and does not exist.
    Missing,
    /// Not ours: ask the host's resolvers.
    Outside,
    /// The asker may not ask for this.
    Refused,
}

// === impl Zone ===

impl Zone {
    pub(crate) fn new(domain: &str, subnet: Subnet) -> Zone {
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        Zone { inner: Arc::new(Inner { domain, subnet, tables: RwLock::default() }) }
    }

    /// Gives `<name>.<namespace>.svc.<domain>` these addresses; none removes it. `name` may have several labels
    /// (`<host>.<service>` of a headless service).
    pub fn set(&self, namespace: &str, name: &str, addresses: Vec<Ipv4Addr>) {
        let key = format!("{name}.{namespace}").to_ascii_lowercase();
        let mut tables = self.inner.tables.write();
        if addresses.is_empty() {
            tables.services.remove(&key);
        } else {
            tables.services.insert(key, addresses);
        }
    }

    /// Forgets `<name>.<namespace>.svc.<domain>`.
    pub fn remove(&self, namespace: &str, name: &str) {
        self.set(namespace, name, Vec::new());
    }

    /// The cluster domain.
    pub fn domain(&self) -> &str {
        &self.inner.domain
    }

    pub(crate) fn set_client(&self, address: Ipv4Addr, namespace: &str, closed: bool) {
        let client = Client { namespace: namespace.to_ascii_lowercase(), closed };
        self.inner.tables.write().clients.insert(address, client);
    }

    pub(crate) fn remove_client(&self, address: Ipv4Addr) {
        self.inner.tables.write().clients.remove(&address);
    }

    /// Pods, and the host itself by the gateway's address.
    pub(crate) fn knows(&self, asker: Ipv4Addr) -> bool {
        asker == self.inner.subnet.gateway() || self.inner.tables.read().clients.contains_key(&asker)
    }

    /// What `name` (absolute, without the last dot, any case) means to `asker`.
    pub(crate) fn resolve(&self, name: &str, asker: Ipv4Addr) -> Meaning {
        let name = name.to_ascii_lowercase();
        let tables = self.inner.tables.read();
        let client = tables.clients.get(&asker);
        if let Some(relative) = self.inside(&name) {
            return found(tables.relative(relative));
        }
        if !name.contains('.') && !name.is_empty() {
            let namespace = client.map_or("default", |c| &c.namespace);
            return found(tables.services.get(&format!("{name}.{namespace}")).cloned());
        }
        if reverse_of(&name).is_some_and(|address| self.inner.subnet.contains(address)) {
            return Meaning::Missing;
        }
        if client.is_some_and(|c| c.closed) { Meaning::Refused } else { Meaning::Outside }
    }

    /// The part of a name before the cluster domain; empty for the domain itself.
    fn inside<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name.strip_suffix(&self.inner.domain)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_suffix('.') }
    }
}

// === impl Tables ===

impl Tables {
    fn relative(&self, name: &str) -> Option<Vec<Ipv4Addr>> {
        if let Some(service) = name.strip_suffix(".svc") {
            return self.services.get(service).cloned();
        }
        let (dashed, namespace) = name.strip_suffix(".pod")?.split_once('.')?;
        let address: Ipv4Addr = dashed.replace('-', ".").parse().ok()?;
        self.clients.get(&address).is_some_and(|c| c.namespace == namespace).then(|| vec![address])
    }
}

fn found(addresses: Option<Vec<Ipv4Addr>>) -> Meaning {
    addresses.map_or(Meaning::Missing, Meaning::Addresses)
}

/// The address in `4.3.2.1.in-addr.arpa`.
fn reverse_of(name: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [a, b, c, d] = address.octets();
    Some(Ipv4Addr::new(d, c, b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: Ipv4Addr = Ipv4Addr::new(10, 201, 0, 7);
    const POD: Ipv4Addr = Ipv4Addr::new(10, 201, 0, 2);
    const CLOSED: Ipv4Addr = Ipv4Addr::new(10, 201, 0, 3);

    fn zone() -> Zone {
        let zone = Zone::new("cluster.local.", "10.201.0.0/18".parse().unwrap());
        zone.set("team", "Web", vec![WEB, POD]);
        zone.set("team", "db-0.db", vec![WEB]);
        zone.set_client(POD, "team", false);
        zone.set_client(CLOSED, "other", true);
        zone
    }

    #[test]
    fn names_mean_what_kubernetes_says() {
        let some = |addresses: &[Ipv4Addr]| Meaning::Addresses(addresses.to_vec());
        let cases = [
            ("web.team.svc.cluster.local", POD, some(&[WEB, POD])),
            ("WEB.Team.SVC.Cluster.Local", POD, some(&[WEB, POD])),
            ("db-0.db.team.svc.cluster.local", POD, some(&[WEB])),
            ("10-201-0-2.team.pod.cluster.local", CLOSED, some(&[POD])),
            ("10-201-0-2.other.pod.cluster.local", CLOSED, Meaning::Missing),
            ("10-201-0-9.team.pod.cluster.local", POD, Meaning::Missing),
            ("web.other.svc.cluster.local", POD, Meaning::Missing),
            ("cluster.local", POD, Meaning::Missing),
            ("web", POD, some(&[WEB, POD])),
            ("web", CLOSED, Meaning::Missing),
            ("web.team.svc.notcluster.local", POD, Meaning::Outside),
            ("example.org", POD, Meaning::Outside),
            ("example.org", CLOSED, Meaning::Refused),
            ("example.org.team.svc.cluster.local", POD, Meaning::Missing),
            ("7.0.201.10.in-addr.arpa", POD, Meaning::Missing),
            ("1.0.0.127.in-addr.arpa", POD, Meaning::Outside),
        ];
        for (name, asker, meaning) in cases {
            assert_eq!(zone().resolve(name, asker), meaning, "{name} asked by {asker}");
        }
    }

    #[test]
    fn strangers_are_not_known_and_a_removed_pod_becomes_one() {
        let zone = zone();
        assert!(zone.knows(POD) && zone.knows(Ipv4Addr::new(10, 201, 0, 1)));
        assert!(!zone.knows(Ipv4Addr::new(192, 0, 2, 7)));
        zone.remove_client(POD);
        assert!(!zone.knows(POD));
    }

    #[test]
    fn a_removed_record_is_gone() {
        let zone = zone();
        zone.remove("team", "web");
        assert_eq!(zone.resolve("web.team.svc.cluster.local", POD), Meaning::Missing);
    }
}
