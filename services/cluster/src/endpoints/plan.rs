//! Which pods stand behind a Service, and how that is written. Pure.
use crate::view::{Labels, PodView};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kubekit::{Key, Text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

/// Endpoints in one slice, as Kubernetes has it by default.
const PER_SLICE: usize = 100;
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SLICES_BY: (&str, &str) = ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");
const OBJECTS_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const HEADLESS: &str = "service.kubernetes.io/headless";

/// A Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServiceView {
    pub(super) uid: Text,
    pub(super) deleting: bool,
    pub(super) labels: Labels,
    pub(super) selector: Labels,
    pub(super) ports: Box<[Port]>,
    pub(super) headless: bool,
    /// ExternalName: nobody stands behind it.
    pub(super) external: bool,
    pub(super) publish_unready: bool,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Port {
    pub(super) name: Text,
    pub(super) port: i32,
    pub(super) target: Option<IntOrString>,
    pub(super) protocol: Text,
}

/// Name, number, protocol of each port of a Service on a pod.
type Ports = Vec<(Text, i32, Text)>;
/// Addresses that are ready, and those that are not.
type Addresses = (Vec<Value>, Vec<Value>);

/// A pod behind a Service, with the number of each port of the Service on it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    key: Key,
    pod: Arc<PodView>,
    ports: Ports,
    ready: bool,
}

// === impl ServiceView ===

impl ServiceView {
    pub(super) fn of(service: Service) -> ServiceView {
        let spec = service.spec.unwrap_or_default();
        let port = |port: k8s_openapi::api::core::v1::ServicePort| Port {
            name: port.name.unwrap_or_default().into(),
            port: port.port,
            target: port.target_port,
            protocol: port.protocol.as_deref().unwrap_or("TCP").into(),
        };
        ServiceView {
            uid: service.metadata.uid.unwrap_or_default().into(),
            deleting: service.metadata.deletion_timestamp.is_some(),
            labels: Labels::of(service.metadata.labels),
            selector: Labels::of(spec.selector),
            ports: spec.ports.unwrap_or_default().into_iter().map(port).collect(),
            headless: spec.cluster_ip.as_deref() == Some("None"),
            external: spec.type_.as_deref() == Some("ExternalName"),
            publish_unready: spec.publish_not_ready_addresses == Some(true),
        }
    }

    pub(super) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty() && self.selector.are_in(labels)
    }
}

/// Whether two states of a pod look the same to every Service.
pub(super) fn same(old: &PodView, new: &PodView) -> bool {
    let of = |pod: &PodView| {
        (
            pod.uid.clone(),
            pod.labels.clone(),
            pod.ip.clone(),
            pod.node.clone(),
            pod.ready,
            pod.over,
            pod.deleting,
        )
    };
    of(old) == of(new)
}

/// The pods behind a Service, ordered by name. Pods without an address or that are over are not.
pub(super) fn members(service: &ServiceView, pods: &[(Key, Arc<PodView>)]) -> Vec<Member> {
    let behind =
        pods.iter().filter(|(_, pod)| service.selects(&pod.labels) && !pod.ip.is_empty() && !pod.over);
    let member = |(key, pod): &(Key, Arc<PodView>)| {
        let ports = service
            .ports
            .iter()
            .filter_map(|port| Some((port.name.clone(), number(port, pod)?, port.protocol.clone())));
        let ready = service.publish_unready || (pod.ready && !pod.deleting);
        Member { key: key.clone(), pod: Arc::clone(pod), ports: ports.collect(), ready }
    };
    let mut members: Vec<_> = behind.map(member).collect();
    // A named port that the pod does not have leaves it out, unless there are no ports to have.
    members.retain(|member| service.ports.is_empty() || !member.ports.is_empty());
    members.sort_by(|a, b| a.key.cmp(&b.key));
    members
}

fn number(port: &Port, pod: &PodView) -> Option<i32> {
    match &port.target {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            pod.ports.iter().find(|p| p.name == *name && port.protocol == p.protocol).map(|p| p.port)
        }
    }
}

/// The Endpoints object. A pod that is going is not in it, unless unready ones are published.
pub(super) fn object(key: &Key, service: &ServiceView, members: &[Member]) -> Value {
    let mut labels = service.labels.to_map();
    labels.insert(OBJECTS_BY.0.to_owned(), OBJECTS_BY.1.to_owned());
    if service.headless {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    let mut groups: BTreeMap<Ports, Addresses> = BTreeMap::new();
    for member in members.iter().filter(|member| service.publish_unready || !member.pod.deleting) {
        let (ready, unready) = groups.entry(member.ports.clone()).or_default();
        let addresses = if member.ready { ready } else { unready };
        addresses.push(address(service, key, member));
    }
    let subset = |(ports, (ready, unready)): (Ports, Addresses)| {
        let mut subset = json!({});
        for (name, addresses) in [("addresses", ready), ("notReadyAddresses", unready)] {
            if !addresses.is_empty() {
                subset[name] = addresses.into();
            }
        }
        if !ports.is_empty() {
            subset["ports"] = ports.iter().map(port_value).collect();
        }
        subset
    };
    let subsets: Vec<Value> = groups.into_iter().map(subset).collect();
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": &*key.name, "namespace": &*key.namespace, "labels": labels},
        "subsets": subsets,
    })
}

fn address(service: &ServiceView, key: &Key, member: &Member) -> Value {
    let mut address = json!({"ip": member.pod.ip, "nodeName": member.pod.node, "targetRef": target(member)});
    if let Some(hostname) = hostname(service, key, member) {
        address["hostname"] = hostname.into();
    }
    address
}

fn hostname<'m>(service: &ServiceView, key: &Key, member: &'m Member) -> Option<&'m str> {
    let named = service.headless && member.pod.subdomain == *key.name && !member.pod.hostname.is_empty();
    named.then_some(&*member.pod.hostname)
}

fn target(member: &Member) -> Value {
    json!({"kind": "Pod", "namespace": &*member.key.namespace, "name": &*member.key.name, "uid": member.pod.uid})
}

/// An unnamed port has no name in Endpoints and an empty one in slices.
fn port_value((name, port, protocol): &(Text, i32, Text)) -> Value {
    let mut value = json!({"port": port, "protocol": protocol});
    if !name.is_empty() {
        value["name"] = json!(name);
    }
    value
}

/// The slices; at least one, as Kubernetes keeps an empty one.
pub(super) fn slices(key: &Key, service: &ServiceView, members: &[Member]) -> Vec<Value> {
    let mut groups: BTreeMap<Ports, Vec<&Member>> = BTreeMap::new();
    members.iter().for_each(|member| groups.entry(member.ports.clone()).or_default().push(member));
    let mut chunks: Vec<(Ports, Vec<&Member>)> = Vec::new();
    for (ports, members) in groups {
        chunks.extend(members.chunks(PER_SLICE).map(|chunk| (ports.clone(), chunk.to_vec())));
    }
    if chunks.is_empty() {
        chunks.push((Vec::new(), Vec::new()));
    }
    chunks.iter().enumerate().map(|(i, (ports, members))| slice(key, service, i, ports, members)).collect()
}

fn slice(
    key: &Key,
    service: &ServiceView,
    i: usize,
    ports: &[(Text, i32, Text)],
    members: &[&Member],
) -> Value {
    let mut labels = service.labels.to_map();
    labels.insert(SERVICE_NAME.to_owned(), key.name.to_string());
    labels.insert(SLICES_BY.0.to_owned(), SLICES_BY.1.to_owned());
    if service.headless {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let endpoint = |member: &&Member| {
        let mut endpoint = json!({
            "addresses": [member.pod.ip],
            "conditions": {
                "ready": member.ready,
                "serving": member.pod.ready || service.publish_unready,
                "terminating": member.pod.deleting,
            },
            "nodeName": member.pod.node,
            "targetRef": target(member),
        });
        if let Some(hostname) = hostname(service, key, member) {
            endpoint["hostname"] = hostname.into();
        }
        endpoint
    };
    let port = |(name, port, protocol): &(Text, i32, Text)| json!({"name": name, "port": port, "protocol": protocol});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(key, service, i), "namespace": &*key.namespace, "labels": labels,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": &*key.name, "uid": service.uid,
                "controller": true, "blockOwnerDeletion": true}],
        },
        "addressType": "IPv4",
        "endpoints": members.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": ports.iter().map(port).collect::<Vec<_>>(),
    })
}

/// `<service>-<five characters>`: the same after a crash, so that no slice is made twice.
fn slice_name(key: &Key, service: &ServiceView, i: usize) -> String {
    let mut hasher = DefaultHasher::new();
    (&*service.uid, i).hash(&mut hasher);
    let mut hash = hasher.finish();
    let letters: String = (0..5)
        .map(|_| {
            let letter = b"bcdfghjklmnpqrstvwxz2456789"[usize::try_from(hash % 27).unwrap_or_default()];
            hash /= 27;
            char::from(letter)
        })
        .collect();
    // A name has 253 characters at most.
    let service: String = key.name.chars().take(247).collect();
    format!("{service}-{letters}")
}

/// What matters of an Endpoints object, in a form that can be compared.
pub(super) fn subsets(object: &Value) -> Value {
    match &object["subsets"] {
        Value::Null => json!([]),
        subsets => subsets.clone(),
    }
}

/// What matters of a slice, in a form that can be compared.
pub(super) fn slice_content(slice: &Value) -> Value {
    let list = |name: &str| if slice[name].is_null() { json!([]) } else { slice[name].clone() };
    json!([list("endpoints"), list("ports"), slice["metadata"]["labels"]])
}

/// The selector of a Service's slices that are ours.
pub(super) fn slices_of(service: &str) -> String {
    format!("{SERVICE_NAME}={service},{}", managed_slices())
}

/// The selector of all slices that are ours.
pub(super) fn managed_slices() -> String {
    format!("{}={}", SLICES_BY.0, SLICES_BY.1)
}

/// Whether an Endpoints object is ours.
pub(super) fn is_managed(labels: &BTreeMap<String, String>) -> bool {
    labels.get(OBJECTS_BY.0).is_some_and(|by| by == OBJECTS_BY.1)
}

#[cfg(test)]
mod tests;
