//! The ports of the Service: every container port of the Pod, once, each with a name.

use k8s_openapi::api::core::v1::{ContainerPort, PodSpec, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::{BTreeMap, BTreeSet};

/// The ports that a Service for a Pod of this spec has, sorted by port and protocol.
pub(super) fn of(spec: &PodSpec) -> Vec<ServicePort> {
    let mut names: BTreeMap<(i32, String), Option<String>> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for port in container_ports(spec).filter(|port| port.container_port != 0) {
        let name = names.entry((port.container_port, protocol(port))).or_default();
        let wanted = port.name.as_ref().filter(|name| !name.is_empty());
        // A name goes to the first that asks for it.
        if let Some(wanted) = wanted.filter(|wanted| name.is_none() && !taken.contains(*wanted)) {
            taken.insert(wanted.clone());
            *name = Some(wanted.clone());
        }
    }
    let ports = names.into_iter().map(|((port, protocol), name)| ServicePort {
        name: Some(name.unwrap_or_else(|| invent(port, &protocol, &mut taken))),
        port,
        target_port: Some(IntOrString::Int(port)),
        protocol: Some(protocol),
        ..ServicePort::default()
    });
    ports.collect()
}

/// Whether two lists of ports mean the same, whatever the server filled in.
pub(super) fn same(one: &[ServicePort], other: &[ServicePort]) -> bool {
    let key =
        |port: &ServicePort| (port.name.clone(), port.protocol.clone(), port.port, port.target_port.clone());
    one.len() == other.len() && one.iter().map(key).eq(other.iter().map(key))
}

/// Ports of the containers, then those of init containers that keep running beside them.
fn container_ports(spec: &PodSpec) -> impl Iterator<Item = &ContainerPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten())
}

fn protocol(port: &ContainerPort) -> String {
    port.protocol.clone().filter(|protocol| !protocol.is_empty()).unwrap_or_else(|| "TCP".to_owned())
}

fn invent(port: i32, protocol: &str, taken: &mut BTreeSet<String>) -> String {
    let base = format!("p-{port}-{}", protocol.to_lowercase());
    let name = std::iter::once(base.clone())
        .chain((2_u32..).map(|n| format!("{base}-{n}")))
        .find(|name| !taken.contains(name))
        .unwrap_or(base);
    taken.insert(name.clone());
    name
}
