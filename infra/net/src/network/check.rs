//! What is wrong or noteworthy about the host's network, in words for the operator.
use super::{Inner, Ours, State, host};
use crate::link::{self, Names};
use crate::{Config, Error, Finding, Subnet};

/// What would stand in the way on this machine, found without changing anything.
pub(super) fn survey(config: &Config) -> Vec<Finding> {
    let names = Names::new(&config.id);
    let prefix = names.prefix();
    let mut findings =
        Ours { id: &config.id, prefix: &prefix }.findings().unwrap_or_else(|error| match error {
            Error::Missing { program, fix } => {
                vec![Finding::problem(format!("{program} is not installed"), fix)]
            }
            other => vec![Finding::problem(format!("the firewall cannot be read: {other}"), "run as root")],
        });
    if host::get("ipv4/ip_forward").is_ok_and(|on| on != "1") {
        findings.push(Finding::note(
            "IPv4 forwarding is off: it is switched on when sandboxes get a network",
            "",
        ));
    }
    let remembered = State::load(&config.state_file).ok().and_then(|state| state.subnet());
    match (config.subnet.or(remembered), host::netlink()) {
        (Some(subnet), _) => findings.extend(overlap(subnet)),
        (None, Ok(mut netlink)) => {
            let none = link::routes(&mut netlink).is_ok_and(|used| crate::subnet::choose(&used, 0).is_none());
            let what = "every private subnet has a route on this host: none is free for the sandboxes";
            findings.extend(none.then(|| Finding::problem(what, "configure a subnet")));
        }
        (None, Err(_)) => {}
    }
    let gateway =
        config.subnet.or(remembered).map_or(std::net::Ipv4Addr::UNSPECIFIED, |subnet| subnet.gateway());
    findings.extend(resolvers(config, gateway));
    findings
}

/// A VPN or a new network may have come after the subnet was chosen.
fn overlap(subnet: Subnet) -> Option<Finding> {
    let mut netlink = host::netlink().ok()?;
    let routes = link::routes(&mut netlink).ok()?;
    let inside = |route: &Subnet| subnet.contains(route.base()) && route.prefix() == 32;
    let mut foreign = routes.into_iter().filter(|route| route.prefix() > 0 && !inside(route));
    let other = foreign.find(|route| route.overlaps(&subnet))?;
    Some(Finding::problem(
        format!("the sandboxes' subnet {subnet} overlaps a route of this host to {other}"),
        "choose another subnet when no sandbox runs",
    ))
}

fn resolvers(config: &Config, gateway: std::net::Ipv4Addr) -> Option<Finding> {
    let none = config.upstreams.is_empty() && crate::dns::upstreams(gateway).is_empty();
    let what = "this host has no DNS resolver: sandboxes cannot look up names outside";
    none.then(|| Finding::problem(what, "put a nameserver line into /etc/resolv.conf"))
}

impl Inner {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let prefix = self.names.prefix();
        let ours = Ours { id: &self.config.id, prefix: &prefix };
        let mut findings = ours.findings().unwrap_or_else(|e| vec![Finding::problem(e.to_string(), "")]);
        findings.extend(self.forwarding());
        findings.extend(overlap(self.subnet));
        findings.extend(resolvers(&self.config, self.subnet.gateway()));
        findings
    }

    fn forwarding(&self) -> Option<Finding> {
        match host::get("ipv4/ip_forward") {
            Ok(on) if on == "1" => {
                let by_us = State::load(&self.config.state_file).is_ok_and(|state| state.enabled_forwarding);
                by_us.then(|| {
                    Finding::note(
                        "IPv4 forwarding was switched on for the sandboxes (net.ipv4.ip_forward)",
                        "",
                    )
                })
            }
            _ => Some(Finding::problem(
                "IPv4 forwarding is off: sandboxes reach neither the outside nor each other",
                "sysctl -w net.ipv4.ip_forward=1",
            )),
        }
    }
}
