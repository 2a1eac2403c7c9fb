//! Which port of which pod a proxy request means: `name`, `name:port` or `scheme:name:port`.

use serde_json::Value;
use wire::{Qualified, Status};

use crate::{core::Core, random, registry::KindRef, stored, verb::Call};

/// A port of a pod on a node.
pub(in crate::stream) struct Destination {
    pub(super) node: String,
    pub(in crate::stream) pod: String,
    pub(super) scheme: &'static str,
    pub(in crate::stream) port: u16,
    /// Host and port as the pod may call itself. Only compared with, never dialled.
    pub(super) authority: String,
}

/// The parts of a name in the URL.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: &'static str,
    name: &'a str,
    port: &'a str,
}

/// The pod of the request; without a port, the first that one of its containers names, else the scheme's own.
pub(super) fn of_pod(call: &Call<'_>) -> Result<Destination, Status> {
    let id = &call.target.name;
    let named = Named::parse(id).ok_or_else(|| Status::bad_request(format!("invalid pod request {id:?}")))?;
    let pod = pod(call.core, &call.target.namespace, named.name)
        .ok_or_else(|| Status::not_found(call.target.resource(), named.name))??;
    let containers = pod["spec"]["containers"].as_array();
    let declared = containers.into_iter().flatten().find_map(|container| container["ports"].get(0));
    let declared = declared.and_then(|port| port["containerPort"].as_u64());
    let default = if named.scheme == "https" { 443 } else { 80 };
    let port = match named.port {
        "" => u16::try_from(declared.unwrap_or(default)).ok(),
        port => port.parse().ok(),
    };
    let port = port.filter(|port| *port > 0).ok_or_else(|| {
        Status::bad_request(format!("invalid pod request {id:?}: {:?} is no port number", named.port))
    })?;
    destination(&pod, named.scheme, port).ok_or_else(|| Status::bad_request("address not allowed"))
}

/// A pod behind the service, picked at random among those that are ready.
pub(super) fn of_service(call: &Call<'_>) -> Result<Destination, Status> {
    behind(call.core, &call.target.namespace, &call.target.name)
}

/// The same for a service of a namespace, by `name`, `name:port` or `scheme:name:port`.
pub(in crate::stream) fn behind(core: &Core, namespace: &str, id: &str) -> Result<Destination, Status> {
    let named =
        Named::parse(id).ok_or_else(|| Status::bad_request(format!("invalid service request {id:?}")))?;
    let none = |what: &str| Status::unavailable(format!("no endpoints available for service {what:?}"));
    let service = object(core, namespace, "services", named.name)
        .ok_or_else(|| Status::not_found(Qualified::new("", "services"), named.name))??;
    let port = port_name(&service, &named)?;
    let endpoints = object(core, namespace, "endpoints", named.name).ok_or_else(|| none(named.name))??;
    let subsets = endpoints["subsets"].as_array().map(Vec::as_slice).unwrap_or_default();
    if subsets.is_empty() {
        return Err(none(named.name));
    }
    let candidates =
        subsets.iter().flat_map(|subset| reachable(core, namespace, subset, &port, named.scheme));
    let mut candidates: Vec<Destination> = candidates.collect();
    if candidates.is_empty() {
        return Err(none(id));
    }
    let dice = usize::from(u16::from_le_bytes(random::bytes::<2>()));
    Ok(candidates.swap_remove(dice % candidates.len()))
}

/// The name of the service's port: ports are asked for by number or by name.
fn port_name(service: &Value, named: &Named<'_>) -> Result<String, Status> {
    let Ok(number) = named.port.parse::<i64>() else { return Ok(named.port.to_owned()) };
    let ports = service["spec"]["ports"].as_array();
    let port = ports.into_iter().flatten().find(|port| port["port"].as_i64() == Some(number));
    let missing = || {
        let why = format!("no service port {number} found for service {:?}", named.name);
        Status::unavailable(why)
    };
    Ok(port.ok_or_else(missing)?["name"].as_str().unwrap_or_default().to_owned())
}

/// The pods of a subset that has the port. As in Kubernetes, an address counts only if it is that of a pod of the same
/// namespace: endpoints may be written by hand.
fn reachable(
    core: &Core,
    namespace: &str,
    subset: &Value,
    port: &str,
    scheme: &'static str,
) -> Vec<Destination> {
    let ports = subset["ports"].as_array();
    let found = ports.into_iter().flatten().find(|found| found["name"].as_str().unwrap_or_default() == port);
    let number = found.and_then(|found| found["port"].as_u64()).and_then(|port| u16::try_from(port).ok());
    let Some(number) = number.filter(|number| *number > 0) else { return Vec::new() };
    let addresses = subset["addresses"].as_array();
    let addresses = addresses.into_iter().flatten().filter_map(|address| {
        let target = &address["targetRef"];
        let here = target["kind"] == "Pod" && target["namespace"].as_str() == Some(namespace);
        let pod = pod(core, namespace, target["name"].as_str().filter(|_| here)?)?.ok()?;
        let is_its_own = pod["status"]["podIP"] == address["ip"];
        destination(&pod, scheme, number).filter(|_| is_its_own)
    });
    addresses.collect()
}

fn destination(pod: &Value, scheme: &'static str, port: u16) -> Option<Destination> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let address = text(&pod["status"]["podIP"])?;
    Some(Destination {
        node: text(&pod["spec"]["nodeName"])?,
        pod: text(&pod["metadata"]["name"])?,
        scheme,
        port,
        authority: format!("{address}:{port}"),
    })
}

fn pod(core: &Core, namespace: &str, name: &str) -> Option<Result<Value, Status>> {
    object(core, namespace, "pods", name)
}

/// An object of the namespace.
fn object(core: &Core, namespace: &str, plural: &str, name: &str) -> Option<Result<Value, Status>> {
    let kind = KindRef::BuiltIn(kinds::lookup("", "v1", plural)?);
    let entry = core.store.get(&stored::key(&kind, namespace, name))?;
    Some(stored::decode_entry(&kind, &entry))
}

// === impl Named ===

impl<'a> Named<'a> {
    fn parse(id: &'a str) -> Option<Self> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let scheme = match scheme {
            "" | "http" => "http",
            "https" => "https",
            _ => return None,
        };
        (!name.is_empty()).then_some(Self { scheme, name, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facts: the forms of Kubernetes' `SplitSchemeNamePort`.
    #[test]
    fn names_may_have_a_port_and_a_scheme() {
        let named = |scheme, name, port| Some(Named { scheme, name, port });
        assert_eq!(Named::parse("web"), named("http", "web", ""));
        assert_eq!(Named::parse("web:8080"), named("http", "web", "8080"));
        assert_eq!(Named::parse("https:web:admin"), named("https", "web", "admin"));
        assert_eq!(Named::parse(":web:80"), named("http", "web", "80"));
        for wrong in ["", ":80", "ftp:web:80", "http:web:80:90", "http::80"] {
            assert_eq!(Named::parse(wrong), None, "{wrong}");
        }
    }
}
