//! The host's side: what exists before the first pod and goes with the last.
use super::{Ours, Slots, directory};
use crate::error::{Context as _, Error};
use crate::link::{self, Names, Tag};
use crate::netlink::Netlink;
use crate::state::State;
use crate::subnet::{self, GATEWAY_SLOT};
use crate::{Config, Subnet, netns, nft, rules};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// What `prepare` found and made.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) subnet: Subnet,
    pub(super) mtu: u32,
    pub(super) slots: Slots,
    pub(super) pods: Vec<(u16, Tag)>,
}

/// Makes the host ready. Everything is recorded before it is made, and the firewall stands before any device does.
pub(super) fn prepare(config: &Config) -> Result<Host, Error> {
    checked_id(&config.id)?;
    netns::prepare_directory(&directory(&config.run_dir))?;
    let names = Names::new(&config.id);
    let mut host = netlink()?;
    let found = link::list(&mut host, &names).during(|| "list interfaces".to_owned())?;
    let mut state = State::load(&config.state_file)?;
    let subnet = decide_subnet(config, &state, &mut host, !found.is_empty())?;
    state.subnet = Some(subnet.to_string());
    state.enabled_forwarding |= get("ipv4/ip_forward")? != "1";
    state.save(&config.state_file)?;

    let mut slots = Slots::new(GATEWAY_SLOT + 1, subnet.last_slot());
    let mut pods = Vec::new();
    let mut ownerless = Vec::new();
    for link in found {
        match link.tag {
            Some(tag) if slots.take(&tag.uid, Some(link.slot)).is_ok() => pods.push((link.slot, tag)),
            _ => ownerless.push(link.index),
        }
    }
    link::delete(&mut host, ownerless).during(|| "delete an unfinished interface".to_owned())?;
    raise_firewall(config, &names, subnet, &pods)?;
    set("ipv4/ip_forward", "1")?;
    link::ensure_gateway(&mut host, &names, subnet.gateway())
        .during(|| format!("make {}", names.gateway()))?;
    if config.fix_forward {
        Ours { id: &config.id, prefix: &names.prefix() }.mend()?;
    }
    let mtu = link::uplink_mtu(&mut host).during(|| "find the uplink".to_owned())?;
    Ok(Host { subnet, mtu, slots, pods })
}

/// Removes everything of an instance.
pub(super) fn purge(config: &Config) -> Result<(), Error> {
    checked_id(&config.id)?;
    let names = Names::new(&config.id);
    let mut host = netlink()?;
    let links = link::list(&mut host, &names).during(|| "list interfaces".to_owned())?;
    let gateway = link::index_of(&mut host, &names.gateway()).ok();
    let all = links.iter().map(|l| l.index).chain(gateway);
    link::delete(&mut host, all).during(|| "delete interfaces".to_owned())?;
    for uid in super::pinned(&config.run_dir) {
        netns::remove(&directory(&config.run_dir).join(uid))?;
    }
    netns::remove_directory(&directory(&config.run_dir))?;
    Ours { id: &config.id, prefix: &names.prefix() }.unmend()?;
    nft::apply(&rules::remove(&config.id))?;
    absent(config.state_file.clone(), |path| fs::remove_file(path))
}

/// A socket in the namespace of the calling thread.
pub(super) fn netlink() -> Result<Netlink, Error> {
    Netlink::open().during(|| "open rtnetlink".to_owned())
}

/// Reads a kernel setting below `net/` of the calling thread's namespace.
pub(super) fn get(name: &str) -> Result<String, Error> {
    let text =
        fs::read_to_string(setting(name)).map_err(|source| Error::File { path: setting(name), source })?;
    Ok(text.trim().to_owned())
}

/// Writes one. A kernel without the feature (IPv6) has nothing to set.
pub(super) fn set(name: &str, value: &str) -> Result<(), Error> {
    match fs::write(setting(name), value) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written.map_err(|source| Error::File { path: setting(name), source }),
    }
}

fn setting(name: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(name)
}

fn raise_firewall(config: &Config, names: &Names, subnet: Subnet, pods: &[(u16, Tag)]) -> Result<(), Error> {
    let closed: Vec<Ipv4Addr> =
        pods.iter().filter(|(_, tag)| tag.closed).map(|(slot, _)| subnet.address(*slot)).collect();
    let (id, denied) = (&config.id, &config.denied);
    nft::apply(&rules::replace(&rules::Facts {
        id,
        prefix: &names.prefix(),
        subnet,
        denied,
        closed: &closed,
    }))
}

/// The configured subnet, the one of the last start, or a new one.
fn decide_subnet(config: &Config, state: &State, host: &mut Netlink, pods: bool) -> Result<Subnet, Error> {
    let remembered = state.subnet();
    if let Some(wanted) = config.subnet
        && !wanted.usable()
    {
        return Err(Error::Config(format!("{wanted} is not a private IPv4 subnet between /16 and /28")));
    }
    match (config.subnet.or(remembered), remembered) {
        (Some(now), before) if before == Some(now) || !pods => Ok(now),
        (None, _) if !pods => {
            let used = link::routes(host).during(|| "list routes".to_owned())?;
            let seed = u32::from_str_radix(&config.id, 16).unwrap_or_default();
            subnet::choose(&used, seed).ok_or_else(|| {
                Error::Config("every private subnet has a route on this host: configure one".to_owned())
            })
        }
        _ => Err(Error::Config(format!(
            "pods run in another subnet than configured or remembered in {}: remove them first",
            config.state_file.display()
        ))),
    }
}

fn checked_id(id: &str) -> Result<(), Error> {
    let fine = id.len() == 6 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if fine {
        Ok(())
    } else {
        Err(Error::Config(format!("{id:?} is not an instance id of six hexadecimal digits")))
    }
}

fn absent(path: PathBuf, remove: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    match remove(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::File { path, source: e }),
        _ => Ok(()),
    }
}
