//! What is wrong or noteworthy about the host's network, in words for the operator.
use super::{Inner, Ours, State, host};
use crate::{Finding, link};

impl Inner {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let prefix = self.names.prefix();
        let ours = Ours { id: &self.config.id, prefix: &prefix };
        let mut findings = ours.findings().unwrap_or_else(|e| vec![Finding::problem(e.to_string(), "")]);
        findings.extend(self.forwarding());
        findings.extend(self.overlap());
        findings.extend(self.resolvers());
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

    /// A VPN or a new network may have come after the subnet was chosen.
    fn overlap(&self) -> Option<Finding> {
        let mut netlink = host::netlink().ok()?;
        let routes = link::routes(&mut netlink).ok()?;
        let inside = |route: &crate::Subnet| self.subnet.contains(route.base()) && route.prefix() == 32;
        let other = routes
            .into_iter()
            .find(|route| route.prefix() > 0 && route.overlaps(&self.subnet) && !inside(route))?;
        Some(Finding::problem(
            format!("the sandboxes' subnet {} overlaps a route of this host to {other}", self.subnet),
            "choose another subnet when no sandbox runs",
        ))
    }

    fn resolvers(&self) -> Option<Finding> {
        let none =
            self.config.upstreams.is_empty() && crate::dns::upstreams(self.subnet.gateway()).is_empty();
        none.then(|| {
            Finding::problem(
                "this host has no DNS resolver: sandboxes cannot look up names outside",
                "put a nameserver line into /etc/resolv.conf",
            )
        })
    }
}
