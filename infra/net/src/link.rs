//! Interfaces, addresses and routes, and the names that make them ours.
use crate::Subnet;
use crate::netlink::{Mode, Netlink};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage as Rtnl;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage,
    State,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope, RouteType};
use rtnetlink::{AddressMessageBuilder, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::{Duration, Instant};

/// How long the kernel may take to activate an interface.
const CARRIER: Duration = Duration::from_secs(5);

/// The name of the interface inside a pod.
pub(crate) const INSIDE: &str = "eth0";

/// Names and link addresses of one instance. Interface names have at most 15 characters.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    id: String,
}

/// One of our interfaces as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) index: u32,
    pub(crate) slot: u16,
    /// What the alias says; None if a crash came before it was set.
    pub(crate) tag: Option<Tag>,
}

/// What a pod's interface remembers about the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) uid: String,
    /// The Kubernetes namespace, for names.
    pub(crate) namespace: String,
    /// Nothing outside is reachable.
    pub(crate) closed: bool,
}

/// What a pod's two ends need to know.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) names: Names,
    pub(crate) slot: u16,
    pub(crate) address: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) mtu: u32,
}

// === impl Names ===

impl Names {
    pub(crate) fn new(id: &str) -> Names {
        Names { id: id.to_owned() }
    }

    /// The device that has the gateway's address.
    pub(crate) fn gateway(&self) -> String {
        format!("as{}", self.id)
    }

    /// The prefix of the host sides of all pods.
    pub(crate) fn prefix(&self) -> String {
        format!("as{}-", self.id)
    }

    pub(crate) fn pod(&self, slot: u16) -> String {
        format!("as{}-{slot:04x}", self.id)
    }

    fn slot(&self, name: &str) -> Option<u16> {
        let digits = name.strip_prefix(&self.prefix())?;
        if digits.len() != 4 {
            return None;
        }
        u16::from_str_radix(digits, 16).ok()
    }

    /// Locally administered; the same for the host side of every pod, so that a pod's fixed neighbour entry stays true.
    fn host_mac(&self) -> Vec<u8> {
        self.mac(0)
    }

    fn mac(&self, slot: u16) -> Vec<u8> {
        let id = u32::from_str_radix(&self.id, 16).unwrap_or_default().to_be_bytes();
        let [high, low] = slot.to_be_bytes();
        vec![0x02, id[1], id[2], id[3], high, low]
    }
}

// === impl Tag ===

impl Tag {
    fn to_alias(&self) -> String {
        format!("{} {} {}", self.uid, self.namespace, if self.closed { "closed" } else { "open" })
    }

    fn parse(alias: &str) -> Option<Tag> {
        let mut words = alias.split(' ');
        let (uid, namespace, closed) = (words.next()?, words.next()?, words.next()?);
        Some(Tag { uid: uid.to_owned(), namespace: namespace.to_owned(), closed: closed == "closed" })
    }
}

/// Makes the device with the gateway's address, or finds it as it should be.
pub(crate) fn ensure_gateway(host: &mut Netlink, names: &Names, gateway: Ipv4Addr) -> io::Result<()> {
    let name = names.gateway();
    if index_of(host, &name).is_err() {
        let bridge = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Bridge);
        host.request(Mode::Create, Rtnl::NewLink(bridge.name(name.clone()).build()))?;
    }
    let index = index_of(host, &name)?;
    let address = AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(gateway, 32).build();
    host.batch(vec![
        (Mode::Change, Rtnl::SetLink(up_without_ipv6(index, None))),
        (Mode::Ensure, Rtnl::NewAddress(address)),
    ])
}

/// Makes a pod's pair: one end on the host, down, the other in the namespace.
pub(crate) fn create_pair(host: &mut Netlink, ends: &Ends, namespace: &File) -> io::Result<()> {
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(INSIDE)
        .mtu(ends.mtu)
        .address(ends.names.mac(ends.slot))
        .setns_by_fd(namespace.as_raw_fd())
        .build();
    let pair = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
        .name(ends.names.pod(ends.slot))
        .mtu(ends.mtu)
        .address(ends.names.host_mac())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    host.request(Mode::Create, Rtnl::NewLink(pair))
}

/// Brings up the pod's end. Repeating it restores what gVisor takes away: it moves the addresses into itself.
pub(crate) fn configure_inside(inside: &mut Netlink, ends: &Ends) -> io::Result<()> {
    let index = index_of(inside, INSIDE)?;
    let lo = LinkMessageBuilder::<LinkUnspec>::new().name("lo").up().build();
    let eth = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
    let address = AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(ends.address, 32).build();
    let to_gateway = route(ends.gateway, 32, index).scope(RouteScope::Link).build();
    let default = route(Ipv4Addr::UNSPECIFIED, 0, index).gateway(ends.gateway).build();
    inside.batch(vec![
        (Mode::Change, Rtnl::SetLink(lo)),
        (Mode::Ensure, Rtnl::NewAddress(address)),
        (Mode::Change, Rtnl::SetLink(eth)),
        (Mode::Ensure, Rtnl::NewNeighbour(neighbour(index, ends.gateway, ends.names.host_mac()))),
        (Mode::Ensure, Rtnl::NewRoute(to_gateway)),
        (Mode::Ensure, Rtnl::NewRoute(default)),
    ])
}

/// Brings up the host's end. Writes the tag, so that the pair has an owner.
pub(crate) fn configure_outside(host: &mut Netlink, ends: &Ends, tag: &Tag) -> io::Result<()> {
    let index = index_of(host, &ends.names.pod(ends.slot))?;
    let to_pod = route(ends.address, 32, index).scope(RouteScope::Link).pref_source(ends.gateway).build();
    host.batch(vec![
        (Mode::Change, Rtnl::SetLink(up_without_ipv6(index, Some(tag.to_alias())))),
        (Mode::Ensure, Rtnl::NewNeighbour(neighbour(index, ends.address, ends.names.mac(ends.slot)))),
        (Mode::Ensure, Rtnl::NewRoute(to_pod)),
    ])
}

/// Waits until the host's end really sends. The end that comes up first is activated by the kernel in its own time, and
/// drops packets until then: the first DNS answer would be lost and the pod wait five seconds for the next.
pub(crate) fn wait_until_up(host: &mut Netlink, name: &str) -> io::Result<()> {
    let deadline = Instant::now() + CARRIER;
    loop {
        // On newer kernels asking is enough: it makes the kernel catch up.
        let link = host.get(Rtnl::GetLink(LinkMessageBuilder::<LinkUnspec>::new().name(name).build()))?;
        let Rtnl::NewLink(link) = link else { return Err(io::ErrorKind::InvalidData.into()) };
        if link.attributes.iter().any(|a| matches!(a, LinkAttribute::OperState(State::Up))) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_micros(500));
    }
}

/// Deletes interfaces by index. One that is already gone is no error.
pub(crate) fn delete(host: &mut Netlink, indexes: impl IntoIterator<Item = u32>) -> io::Result<()> {
    for index in indexes {
        let link = LinkMessageBuilder::<LinkUnspec>::new().index(index).build();
        match host.request(Mode::Change, Rtnl::DelLink(link)) {
            Err(e) if e.raw_os_error() != Some(rustix::io::Errno::NODEV.raw_os_error()) => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// The host sides of all pods of the instance.
pub(crate) fn list(host: &mut Netlink, names: &Names) -> io::Result<Vec<Found>> {
    let all = host.dump(Rtnl::GetLink(LinkMessage::default()))?;
    Ok(all.iter().filter_map(|message| found(message, names)).collect())
}

/// The index of an interface by name.
pub(crate) fn index_of(socket: &mut Netlink, name: &str) -> io::Result<u32> {
    match socket.get(Rtnl::GetLink(LinkMessageBuilder::<LinkUnspec>::new().name(name).build()))? {
        Rtnl::NewLink(link) => Ok(link.header.index),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

/// The subnets that routes of the host lead to, the default route left out.
pub(crate) fn routes(host: &mut Netlink) -> io::Result<Vec<Subnet>> {
    Ok(host.dump(all_routes())?.iter().filter_map(destination).collect())
}

/// The MTU of the interface of the default route; 1500 without one.
pub(crate) fn uplink_mtu(host: &mut Netlink) -> io::Result<u32> {
    let uplink = host.dump(all_routes())?.into_iter().find_map(|message| match message {
        Rtnl::NewRoute(route) if is_default(&route) => route.attributes.iter().find_map(|a| match a {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        }),
        _ => None,
    });
    let Some(index) = uplink else { return Ok(1500) };
    let Rtnl::NewLink(link) =
        host.get(Rtnl::GetLink(LinkMessageBuilder::<LinkUnspec>::new().index(index).build()))?
    else {
        return Ok(1500);
    };
    Ok(link
        .attributes
        .iter()
        .find_map(|a| if let LinkAttribute::Mtu(m) = a { Some(*m) } else { None })
        .unwrap_or(1500))
}

fn all_routes() -> Rtnl {
    Rtnl::GetRoute(RouteMessageBuilder::<Ipv4Addr>::new().build())
}

fn is_default(route: &RouteMessage) -> bool {
    route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast
}

fn destination(message: &Rtnl) -> Option<Subnet> {
    let Rtnl::NewRoute(route) = message else { return None };
    let to = route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(RouteAddress::Inet(to)) => Some(*to),
        _ => None,
    })?;
    Subnet::new(to, route.header.destination_prefix_length)
}

fn found(message: &Rtnl, names: &Names) -> Option<Found> {
    let Rtnl::NewLink(link) = message else { return None };
    let attributes = || link.attributes.iter();
    let name = attributes().find_map(|a| if let LinkAttribute::IfName(n) = a { Some(n) } else { None })?;
    let alias = attributes().find_map(|a| if let LinkAttribute::IfAlias(n) = a { Some(n) } else { None });
    let tag = alias.and_then(|alias| Tag::parse(alias));
    Some(Found { index: link.header.index, slot: names.slot(name)?, tag })
}

fn route(to: Ipv4Addr, prefix: u8, index: u32) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, prefix).output_interface(index)
}

/// A fixed entry: neither side needs ARP, and a pod cannot answer for another.
fn neighbour(index: u32, address: Ipv4Addr, mac: Vec<u8>) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)),
        NeighbourAttribute::LinkLayerAddress(mac),
    ];
    message
}

/// Up, and without the IPv6 address that the kernel would give it.
fn up_without_ipv6(index: u32, alias: Option<String>) -> LinkMessage {
    let none = vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)])];
    let link = LinkMessageBuilder::<LinkUnspec>::new()
        .index(index)
        .up()
        .append_extra_attribute(LinkAttribute::AfSpecUnspec(none));
    match alias {
        Some(alias) => link.alias(alias).build(),
        None => link.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernels_limit_and_round_trip() {
        let names = Names::new("0a1b2c");
        assert_eq!(names.pod(0x1f), "as0a1b2c-001f");
        assert!(names.pod(u16::MAX).len() <= 15);
        assert_eq!(names.slot("as0a1b2c-001f"), Some(0x1f));
        for other in ["as0a1b2c", "as0a1b2d-001f", "as0a1b2c-1f", "as0a1b2c-001g", "eth0"] {
            assert_eq!(names.slot(other), None, "{other}");
        }
    }

    #[test]
    fn a_tag_survives_the_alias() {
        let tag = Tag { uid: "u-1".to_owned(), namespace: "default".to_owned(), closed: true };
        assert_eq!(Tag::parse(&tag.to_alias()), Some(tag));
        assert_eq!(
            Tag::parse("somebody else's words"),
            Some(Tag { uid: "somebody".to_owned(), namespace: "else's".to_owned(), closed: false })
        );
        assert_eq!(Tag::parse("two words"), None);
    }

    #[test]
    fn link_addresses_are_local_and_differ() {
        let names = Names::new("0a1b2c");
        assert_eq!(names.mac(0x0102), [0x02, 0x0a, 0x1b, 0x2c, 1, 2]);
        assert_ne!(names.mac(2), names.host_mac());
    }
}
