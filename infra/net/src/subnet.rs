//! IPv4 subnets: parsing, overlap, and the choice of one that nobody uses.
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network, kept with its host bits cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

/// Prefix length of a subnet we choose ourselves: 16,382 pods.
const CHOSEN_PREFIX: u8 = 18;

/// The slot of the gateway; pods have the slots after it.
pub(crate) const GATEWAY_SLOT: u16 = 1;

// === impl Subnet ===

impl Subnet {
    /// A network; None if the prefix is over 32. Host bits of `base` are cleared.
    pub fn new(base: Ipv4Addr, prefix: u8) -> Option<Subnet> {
        (prefix <= 32).then(|| Subnet { base: u32::from(base) & mask(prefix), prefix })
    }

    /// The first address.
    pub fn base(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base)
    }

    /// The prefix length.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether the address lies inside.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    /// Whether any address lies in both.
    pub fn overlaps(&self, other: &Subnet) -> bool {
        let prefix = self.prefix.min(other.prefix);
        self.base & mask(prefix) == other.base & mask(prefix)
    }

    /// The address of a slot; the caller keeps slots within [`Subnet::last_slot`].
    pub fn address(&self, slot: u16) -> Ipv4Addr {
        Ipv4Addr::from(self.base + u32::from(slot))
    }

    /// The gateway's address: the first usable one.
    pub fn gateway(&self) -> Ipv4Addr {
        self.address(GATEWAY_SLOT)
    }

    /// The highest slot a pod may have: the broadcast address is left out.
    pub fn last_slot(&self) -> u16 {
        let hosts = (1_u64 << (32 - u32::from(self.prefix))) - 2;
        u16::try_from(hosts).unwrap_or(u16::MAX)
    }

    /// Whether pods can live in it: private, and between /16 and /28.
    pub(crate) fn usable(&self) -> bool {
        (16..=28).contains(&self.prefix) && self.base().is_private()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base(), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Subnet, String> {
        let bad = || format!("{text:?} is not an IPv4 subnet such as 10.201.0.0/18");
        let (base, prefix) = text.split_once('/').ok_or_else(bad)?;
        let base: Ipv4Addr = base.parse().map_err(|_| bad())?;
        let prefix = prefix.parse().map_err(|_| bad())?;
        Subnet::new(base, prefix).ok_or_else(bad)
    }
}

/// The first private subnet that overlaps none of `used`. `seed` (from the instance) makes two instances that start at the
/// same moment prefer different ones.
pub(crate) fn choose(used: &[Subnet], seed: u32) -> Option<Subnet> {
    candidates(seed).find(|c| !used.iter().any(|u| u.overlaps(c)))
}

/// 10.192-10.255 first: home networks, clouds, Docker and the usual cluster ranges live elsewhere.
fn candidates(seed: u32) -> impl Iterator<Item = Subnet> {
    let wide = (0..256_u32).map(move |i| (10 << 24) | (192 << 16) | (((i + seed) % 256) << 14));
    let rest = (0..768_u32).map(|i| (10 << 24) | (i << 14));
    let middle = (0..64_u32).map(|i| (172 << 24) | (16 << 16) | (i << 14));
    let small = (0..4_u32).map(|i| (192 << 24) | (168 << 16) | (i << 14));
    let bases = wide.chain(rest).chain(middle).chain(small);
    bases.map(|base| Subnet { base, prefix: CHOSEN_PREFIX })
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn parses_and_prints_and_clears_host_bits() {
        assert_eq!(net("10.1.2.3/16").to_string(), "10.1.0.0/16");
        assert_eq!(net("0.0.0.0/0").to_string(), "0.0.0.0/0");
        for bad in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/0", ""] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn overlap_is_symmetric_and_sees_containment() {
        let cases = [
            ("10.0.0.0/8", "10.201.0.0/18", true),
            ("10.201.0.0/18", "10.201.63.255/32", true),
            ("10.201.0.0/18", "10.201.64.0/18", false),
            ("0.0.0.0/0", "192.168.0.0/24", true),
        ];
        for (a, b, expected) in cases {
            assert_eq!(net(a).overlaps(&net(b)), expected, "{a} {b}");
            assert_eq!(net(b).overlaps(&net(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_chosen_subnet_avoids_every_route_of_the_host() {
        assert_eq!(choose(&[], 0), Some(net("10.192.0.0/18")));
        assert_eq!(choose(&[net("10.192.0.0/16")], 0), Some(net("10.193.0.0/18")));
        let vpn = [net("10.0.0.0/8")];
        assert_eq!(choose(&vpn, 7), Some(net("172.16.0.0/18")));
        let all = [net("10.0.0.0/8"), net("172.16.0.0/12"), net("192.168.0.0/16")];
        assert_eq!(choose(&all, 7), None);
    }

    #[test]
    fn two_instances_prefer_different_subnets() {
        assert_ne!(choose(&[], 1), choose(&[], 2));
    }

    #[test]
    fn slots_stay_inside_and_leave_out_the_broadcast_address() {
        let small = net("10.9.0.0/28");
        assert_eq!(small.gateway(), Ipv4Addr::new(10, 9, 0, 1));
        assert_eq!(small.address(small.last_slot()), Ipv4Addr::new(10, 9, 0, 14));
        assert_eq!(net("10.9.0.0/16").last_slot(), u16::MAX - 1);
        assert!(small.usable() && !net("10.0.0.0/8").usable() && !net("8.8.0.0/16").usable());
    }
}
