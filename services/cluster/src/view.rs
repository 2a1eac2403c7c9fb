//! What is kept in memory of pods and nodes: no more than the controllers decide on.
use k8s_openapi::api::core::v1::{Container, Node, NodeSelector, Pod, PodSpec, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use kubekit::{Precondition, Text};
use std::collections::BTreeMap;
use wire::Quantity;

/// Amounts of resources by name.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// Labels at rest: a map of one label takes half a KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels(Box<[(Text, Text)]>);

/// A pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PodView {
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) node: String,
    pub(crate) ip: String,
    pub(crate) hostname: String,
    pub(crate) subdomain: String,
    pub(crate) deleting: bool,
    /// Succeeded or Failed.
    pub(crate) over: bool,
    pub(crate) ready: bool,
    /// What it needs, overhead included.
    pub(crate) requests: Amounts,
    /// Names of the claims it mounts.
    pub(crate) claims: Vec<String>,
    /// Ports that have a name.
    pub(crate) ports: Vec<NamedPort>,
    /// Only until it has a node.
    pub(crate) pending: Option<Box<Pending>>,
    /// Only of pods that a ReplicaSet or a Job has or may take.
    pub(crate) work: Option<Box<workloads::Pod>>,
}

/// What only the scheduler asks of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pending {
    pub(crate) at: Option<Precondition>,
    pub(crate) scheduler: String,
    pub(crate) gated: bool,
    pub(crate) selector: BTreeMap<String, String>,
    pub(crate) affinity: Option<NodeSelector>,
    pub(crate) tolerations: Vec<Toleration>,
    /// Reason and message of PodScheduled False.
    pub(crate) said: Option<(String, String)>,
    pub(crate) runtime_class: Option<String>,
    /// Whether the pod itself names its overhead.
    pub(crate) has_overhead: bool,
}

/// A named port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPort {
    pub(crate) name: String,
    pub(crate) port: i32,
    pub(crate) protocol: String,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NodeView {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) unschedulable: bool,
    pub(crate) taints: Vec<Taint>,
    pub(crate) allocatable: Amounts,
}

// === impl Labels ===

impl Labels {
    pub(crate) fn of(labels: Option<BTreeMap<String, String>>) -> Labels {
        let labels = labels.into_iter().flatten();
        Labels(labels.map(|(name, value)| (name.into(), value.into())).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `others` has all of these.
    pub(crate) fn are_in(&self, others: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(name, value)| others.get(&**name).is_some_and(|other| *other == **value))
    }

    pub(crate) fn to_map(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }
}

// === impl PodView ===

impl PodView {
    pub(crate) fn of(pod: Pod) -> PodView {
        let work = is_work(&pod).then(|| Box::new(workloads::Pod::of(&pod)));
        let spec = pod.spec.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let condition = |kind: &str| conditions.iter().find(|c| c.type_ == kind);
        let phase = status.phase.unwrap_or_default();
        let node = spec.node_name.clone().unwrap_or_default();
        let said = condition("PodScheduled").filter(|c| c.status == "False");
        let said =
            said.map(|c| (c.reason.clone().unwrap_or_default(), c.message.clone().unwrap_or_default()));
        PodView {
            work,
            requests: requests(&spec),
            claims: claims(&spec),
            ports: ports(&spec),
            pending: node.is_empty().then(|| Box::new(pending(&spec, Precondition::of(&pod.metadata), said))),
            hostname: spec.hostname.unwrap_or_default(),
            subdomain: spec.subdomain.unwrap_or_default(),
            uid: pod.metadata.uid.unwrap_or_default(),
            labels: pod.metadata.labels.unwrap_or_default(),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            ip: status.pod_ip.unwrap_or_default(),
            over: matches!(&*phase, "Succeeded" | "Failed"),
            ready: condition("Ready").is_some_and(|c| c.status == "True"),
            node,
        }
    }
}

/// Not that of a Sandbox, or of anything else that looks after its own pods.
fn is_work(pod: &Pod) -> bool {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    workloads::ownership::controller(owners)
        .is_none_or(|owner| matches!(owner.kind.as_str(), "ReplicaSet" | "Job"))
}

// === impl NodeView ===

impl NodeView {
    pub(crate) fn of(node: Node) -> NodeView {
        let spec = node.spec.unwrap_or_default();
        NodeView {
            labels: node.metadata.labels.unwrap_or_default(),
            unschedulable: spec.unschedulable == Some(true),
            taints: spec.taints.unwrap_or_default(),
            allocatable: amounts(node.status.and_then(|status| status.allocatable).as_ref()),
        }
    }
}

/// Parses amounts; one that cannot be parsed counts as none (the API server refuses such).
pub(crate) fn amounts(texts: Option<&BTreeMap<String, Amount>>) -> Amounts {
    let parsed = |(name, amount): (&String, &Amount)| Some((name.clone(), Quantity::parse(&amount.0).ok()?));
    texts.into_iter().flatten().filter_map(parsed).collect()
}

/// Adds amounts up.
pub(crate) fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let entry = sum.entry(name.clone()).or_insert_with(|| Quantity::units(0));
        *entry = entry.plus(*amount);
    }
}

/// What a pod needs: its containers together with its sidecars, or its largest init container with the sidecars started
/// before it, whichever is more; and its overhead.
fn requests(spec: &PodSpec) -> Amounts {
    let of = |container: &Container| amounts(container.resources.as_ref().and_then(|r| r.requests.as_ref()));
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for init in spec.init_containers.iter().flatten() {
        let mut now = sidecars.clone();
        add(&mut now, &of(init));
        if init.restart_policy.as_deref() == Some("Always") {
            sidecars = now.clone();
        }
        raise(&mut most, now);
    }
    let mut sum = sidecars;
    spec.containers.iter().for_each(|container| add(&mut sum, &of(container)));
    raise(&mut most, sum);
    add(&mut most, &amounts(spec.overhead.as_ref()));
    most
}

fn raise(most: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        match most.get(&name) {
            Some(before) if *before >= amount => {}
            _ => drop(most.insert(name, amount)),
        }
    }
}

fn claims(spec: &PodSpec) -> Vec<String> {
    let volumes = spec.volumes.iter().flatten();
    volumes
        .filter_map(|v| v.persistent_volume_claim.as_ref())
        .map(|source| source.claim_name.clone())
        .collect()
}

fn ports(spec: &PodSpec) -> Vec<NamedPort> {
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(NamedPort {
                name: port.name.clone()?,
                port: port.container_port,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            })
        })
        .collect()
}

fn pending(spec: &PodSpec, at: Option<Precondition>, said: Option<(String, String)>) -> Pending {
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    Pending {
        at,
        said,
        scheduler: spec.scheduler_name.clone().unwrap_or_default(),
        gated: spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()),
        selector: spec.node_selector.clone().unwrap_or_default(),
        affinity: affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.clone()),
        tolerations: spec.tolerations.clone().unwrap_or_default(),
        runtime_class: spec.runtime_class_name.clone(),
        has_overhead: spec.overhead.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_needs_its_containers_or_its_largest_init_container_and_its_overhead() {
        let container = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = container("100m");
        sidecar["restartPolicy"] = json!("Always");
        let check = |inits: serde_json::Value, expected: &str| {
            let spec = json!({"initContainers": inits, "containers": [container("200m"), container("300m")],
                "overhead": {"cpu": "50m"}});
            let needs = requests(&serde_json::from_value(spec).unwrap());
            assert_eq!(needs["cpu"], Quantity::parse(expected).unwrap());
        };
        check(json!([]), "550m");
        check(json!([container("2")]), "2050m");
        check(json!([sidecar]), "650m");
        check(json!([sidecar, container("1")]), "1150m");
    }
}
