//! The network of one instance: opening it, attaching and detaching pods, cleaning up.
//!
//! Every step can be cut off by a crash: attaching repeats what is there, and what has no owner is found by name.
use crate::dns::{Server, Zone};
use crate::error::{Context as _, Error};
use crate::foreign::Ours;
use crate::link::{Names, Tag};
use crate::nft::Nft;
use crate::slots::{Refused, Slots};
use crate::state::State;
use crate::{Config, Finding, Subnet, netns, rules};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

mod check;
mod host;
mod pair;

/// Namespaces made at the same time: the kernel serialises most of the work, more threads would only wait.
const PARALLEL: usize = 4;

/// The network of one instance. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Network {
    inner: Arc<Inner>,
}

/// What a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// The pod's uid; letters, digits and `-`.
    pub uid: String,
    /// Its Kubernetes namespace, for bare names.
    pub namespace: String,
    /// The slot it had before, if any. It is given this one or an error.
    pub slot: Option<u16>,
    /// Nothing outside is reachable; other pods and their names are.
    pub closed: bool,
}

/// What a pod got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Record it with the pod: it is the address after a restart.
    pub slot: u16,
    /// The pod's address.
    pub address: Ipv4Addr,
    /// Its gateway and name server.
    pub gateway: Ipv4Addr,
    /// The pinned network namespace.
    pub netns: PathBuf,
    /// The host's end of the pair.
    pub interface: String,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    names: Names,
    subnet: Subnet,
    mtu: u32,
    pods: Mutex<Pods>,
    nft: Nft,
    zone: Zone,
    gate: Semaphore,
    server: Mutex<Option<Server>>,
}

#[derive(Debug)]
struct Pods {
    slots: Slots,
    tags: HashMap<String, Tag>,
}

// === impl Network ===

impl Network {
    /// Takes over what exists and makes the rest: forwarding, the firewall, the gateway's device, the DNS sockets. Pods
    /// of an earlier process keep working through it.
    ///
    /// # Errors
    /// A configuration that cannot work, nft missing, no free subnet, port 53 of the gateway taken.
    pub async fn open(config: Config) -> Result<Network, Error> {
        let (config, host) = blocking(move || {
            let host = host::prepare(&config)?;
            Ok((config, host))
        })
        .await?;
        let zone = Zone::new(&config.cluster_domain, host.subnet);
        let server = Server::bind(host.subnet.gateway(), zone.clone(), config.upstreams.clone()).await?;
        let mut pods = Pods { slots: host.slots, tags: HashMap::new() };
        for (slot, tag) in host.pods {
            zone.set_client(host.subnet.address(slot), &tag.namespace, tag.closed);
            pods.tags.insert(tag.uid.clone(), tag);
        }
        let inner = Inner {
            names: Names::new(&config.id),
            config,
            subnet: host.subnet,
            mtu: host.mtu,
            pods: Mutex::new(pods),
            nft: Nft::start()?,
            zone,
            gate: Semaphore::new(PARALLEL),
            server: Mutex::new(Some(server)),
        };
        Ok(Network { inner: Arc::new(inner) })
    }

    /// Answers DNS until `shutdown`. Pods have no names without it. Call it once.
    pub async fn run(&self, shutdown: CancellationToken) {
        let server = self.inner.server.lock().take();
        if let Some(server) = server {
            server.run(shutdown).await;
        }
    }

    /// The names this network answers; others fill it.
    pub fn zone(&self) -> &Zone {
        &self.inner.zone
    }

    /// The subnet of the pods.
    pub fn subnet(&self) -> Subnet {
        self.inner.subnet
    }

    /// The text of `/etc/resolv.conf` for pods of a namespace.
    pub fn resolv_conf(&self, namespace: &str) -> String {
        let domain = &self.inner.config.cluster_domain;
        let gateway = self.inner.subnet.gateway();
        format!(
            "nameserver {gateway}\nsearch {namespace}.svc.{domain} svc.{domain} {domain}\noptions ndots:5\n"
        )
    }

    /// Gives a pod its namespace, address and way out. Idempotent: a pod that has them gets the same again, and what gVisor
    /// took out of the namespace is put back, so call it before every start of a pod's root container.
    ///
    /// # Errors
    /// The slot is taken or the subnet full; the kernel or nft refused. Nothing is left behind then.
    pub async fn attach(&self, request: Attach) -> Result<Attachment, Error> {
        checked_name(&request.uid)?;
        checked_name(&request.namespace)?;
        let (slot, fresh) = self.take(&request)?;
        let tag = Tag { uid: request.uid, namespace: request.namespace, closed: request.closed };
        match self.build(slot, &tag).await {
            Ok(attachment) => {
                self.inner.zone.set_client(attachment.address, &tag.namespace, tag.closed);
                self.inner.pods.lock().tags.insert(tag.uid.clone(), tag);
                Ok(attachment)
            }
            Err(e) if fresh => {
                // The first error is the one that explains; what stays is swept later.
                self.detach(&tag.uid).await.ok();
                Err(e)
            }
            Err(e) => Err(e),
        }
    }

    /// Takes everything of a pod away. Idempotent, also for a pod nobody knows.
    ///
    /// # Errors
    /// The kernel or nft refused; call it again.
    pub async fn detach(&self, uid: &str) -> Result<(), Error> {
        checked_name(uid)?;
        let (slot, tag) = {
            let pods = self.inner.pods.lock();
            (pods.slots.get(uid), pods.tags.get(uid).cloned())
        };
        if let Some(slot) = slot {
            self.inner.zone.remove_client(self.inner.subnet.address(slot));
        }
        let (inner, path) = (self.inner.clone(), self.netns(uid));
        blocking(move || {
            if let Some(slot) = slot {
                inner.delete_pair(slot)?;
            }
            netns::remove(&path)
        })
        .await?;
        if let (Some(slot), Some(Tag { closed: true, .. })) = (slot, &tag) {
            self.reopen(slot).await?;
        }
        let mut pods = self.inner.pods.lock();
        pods.slots.release(uid);
        pods.tags.remove(uid);
        Ok(())
    }

    /// Removes every namespace and interface whose pod is not in `keep`. For the start, before the first attach.
    /// Returns the uids of what was removed.
    ///
    /// # Errors
    /// As [`Network::detach`]; what was removed stays removed.
    pub async fn sweep(&self, keep: &HashSet<String>) -> Result<Vec<String>, Error> {
        let pinned = pinned(&self.inner.config.run_dir);
        let known = self.inner.pods.lock().slots.uids();
        let mut gone: Vec<String> =
            pinned.into_iter().chain(known).filter(|uid| !keep.contains(uid)).collect();
        gone.sort();
        gone.dedup();
        for uid in &gone {
            self.detach(uid).await?;
        }
        Ok(gone)
    }

    /// The pods that have an address, with it.
    pub fn addresses(&self) -> HashMap<String, Ipv4Addr> {
        let pods = self.inner.pods.lock();
        let uids = pods.slots.uids().into_iter();
        uids.filter_map(|uid| Some((pods.slots.get(&uid)?, uid)))
            .map(|(slot, uid)| (uid, self.inner.subnet.address(slot)))
            .collect()
    }

    /// Opens a TCP connection from inside a pod's namespace, for port-forward and probes. It does not reach a gVisor pod:
    /// its network is inside runsc.
    ///
    /// # Errors
    /// The pod is unknown, nobody listens, or `timeout` passed.
    pub async fn connect(
        &self,
        uid: &str,
        to: SocketAddr,
        timeout: Duration,
    ) -> Result<tokio::net::TcpStream, Error> {
        checked_name(uid)?;
        let path = self.netns(uid);
        if !netns::exists(&path) {
            return Err(Error::Unknown(uid.to_owned()));
        }
        let what = move || format!("connect to {to} in the pod");
        let stream = blocking(move || {
            netns::enter(&path, || {
                let stream = TcpStream::connect_timeout(&to, timeout).during(what)?;
                stream.set_nonblocking(true).during(what)?;
                Ok(stream)
            })
        })
        .await?;
        tokio::net::TcpStream::from_std(stream).during(what)
    }

    /// What the operator should know about this machine's network.
    pub async fn check(&self) -> Vec<Finding> {
        let inner = self.inner.clone();
        blocking(move || Ok(inner.findings())).await.unwrap_or_default()
    }

    /// What would stand in the way on this machine, found without changing anything and without a running instance.
    pub async fn survey(config: &Config) -> Vec<Finding> {
        let config = config.clone();
        blocking(move || Ok(check::survey(&config))).await.unwrap_or_default()
    }

    /// Removes everything an instance ever made, running or not: pods' interfaces and namespaces, the gateway, the table, our
    /// rules in other firewalls, the state. IPv4 forwarding stays on: others may have come to rely on it.
    ///
    /// # Errors
    /// The kernel or nft refused; call it again.
    pub async fn purge(config: Config) -> Result<(), Error> {
        blocking(move || host::purge(&config)).await
    }

    fn netns(&self, uid: &str) -> PathBuf {
        directory(&self.inner.config.run_dir).join(uid)
    }

    fn take(&self, request: &Attach) -> Result<(u16, bool), Error> {
        let mut pods = self.inner.pods.lock();
        let fresh = pods.slots.get(&request.uid).is_none();
        let slot = pods.slots.take(&request.uid, request.slot).map_err(|refused| match refused {
            Refused::Full => Error::Full(self.inner.subnet),
            Refused::Taken(owner) => Error::Taken { slot: request.slot.unwrap_or_default(), owner },
            Refused::Outside => Error::Config(format!(
                "address slot {} is outside {}",
                request.slot.unwrap_or_default(),
                self.inner.subnet
            )),
        })?;
        Ok((slot, fresh))
    }

    async fn build(&self, slot: u16, tag: &Tag) -> Result<Attachment, Error> {
        let was_closed = self.inner.pods.lock().tags.get(&tag.uid).is_some_and(|old| old.closed);
        let address = self.inner.subnet.address(slot);
        if tag.closed {
            // Before its interface is up.
            self.inner.nft.apply(vec![rules::element("add", &self.inner.config.id, &[address])]).await?;
        }
        let _turn = self.inner.gate.acquire().await;
        let (inner, path, owned) = (self.inner.clone(), self.netns(&tag.uid), tag.clone());
        let attachment = blocking(move || inner.make(slot, &owned, path)).await?;
        if was_closed && !tag.closed {
            self.reopen(slot).await?;
        }
        Ok(attachment)
    }

    async fn reopen(&self, slot: u16) -> Result<(), Error> {
        let address = self.inner.subnet.address(slot);
        // Adding first makes the deletion valid whether or not a crash came between.
        let verbs = ["add", "delete"].map(|verb| rules::element(verb, &self.inner.config.id, &[address]));
        self.inner.nft.apply(verbs.to_vec()).await
    }
}

fn directory(run_dir: &Path) -> PathBuf {
    run_dir.join("netns")
}

/// The uids that have a pinned namespace, or the file for one.
fn pinned(run_dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory(run_dir)).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| checked_name(name).is_ok())
        .collect()
}

fn checked_name(name: &str) -> Result<(), Error> {
    let fine = (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fine { Ok(()) } else { Err(Error::Config(format!("{name:?} is not the name of a pod or namespace"))) }
}

/// Runs what would block a worker of the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|e| {
        Err(Error::Kernel { what: "network thread".to_owned(), source: io::Error::other(e) })
    })
}
