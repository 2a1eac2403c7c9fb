//! The node's own objects: the Node, its Lease, and the runtime classes it serves.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use kubekit::Failure;
use lifecycle::pod::whole_seconds;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::machine::Machine;
use crate::shared::Shared;

/// How often the Lease says that the node lives; it is believed for three times as long.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How long the Lease is believed.
pub(crate) const BELIEVED: Duration = Duration::from_secs(3 * HEARTBEAT.as_secs());

/// How often the Node's status is written although nothing changed.
const REFRESH: u32 = 30;

/// How long a failed registration is left alone.
const RETRY: Duration = Duration::from_millis(200);

const LEASES: &str = "kube-node-lease";

/// Registers the node and keeps it alive until shutdown.
pub(crate) async fn run(shared: Arc<Shared>, machine: Machine, shutdown: CancellationToken) {
    let keep = async {
        while let Err(error) = register(&shared, &machine).await {
            tracing::warn!(%error, "the node is not registered yet");
            tokio::time::sleep(RETRY).await;
        }
        let mut beats = 0_u32;
        let mut pressure = shared.disk.follow();
        loop {
            match heartbeat(&shared).await {
                Ok(()) => shared.vitals.beat(),
                Err(error) => tracing::warn!(%error, "no heartbeat"),
            }
            let changed = tokio::select! {
                () = tokio::time::sleep(HEARTBEAT) => false,
                changed = pressure.changed() => changed.is_ok(),
            };
            beats = beats.wrapping_add(1);
            if (changed || beats.is_multiple_of(REFRESH)) && register(&shared, &machine).await.is_err() {
                tracing::warn!("the node's status was not refreshed");
            }
        }
    };
    shutdown.run_until_cancelled(keep).await;
}

async fn register(shared: &Shared, machine: &Machine) -> Result<(), kube::Error> {
    let name = &shared.config.name;
    let nodes: Api<Node> = Api::all(shared.client.clone());
    let labels = json!({
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch(),
    });
    ensure(&nodes, json!({"metadata": {"name": name, "labels": labels}, "spec": {}})).await?;
    let now = whole_seconds(shared.now()).to_string();
    let old = nodes.get(name).await?;
    let status = json!({"status": status(shared, machine, &old, &now)});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    let classes: Api<RuntimeClass> = Api::all(shared.client.clone());
    for name in ["runc", "gvisor"] {
        ensure(&classes, json!({"metadata": {"name": name}, "handler": name})).await?;
    }
    Ok(())
}

/// Creates the object unless one of that name exists.
async fn ensure<K>(api: &Api<K>, object: Value) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let mut object = object;
    object["apiVersion"] = K::api_version(&()).into();
    object["kind"] = K::kind(&()).into();
    let object = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &object).await {
        Err(error) if Failure::of(&error) != Failure::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn status(shared: &Shared, machine: &Machine, old: &Node, now: &str) -> Value {
    let resources = |memory: u64| {
        json!({
            "cpu": machine.cpus.to_string(),
            "memory": format!("{}Ki", memory / 1024),
            "pods": shared.config.max_pods.to_string(),
            "ephemeral-storage": disk_bytes(shared).to_string(),
        })
    };
    let capped = shared.config.memory_cap.unwrap_or(machine.memory_bytes - machine.memory_bytes / 10);
    let mut addresses: Vec<Value> =
        machine.addresses.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
    addresses.push(json!({"type": "Hostname", "address": shared.config.name}));
    json!({
        "capacity": resources(machine.memory_bytes),
        "allocatable": resources(capped.min(machine.memory_bytes)),
        "addresses": addresses,
        "conditions": conditions(old, shared.disk.is_pressed(), now),
        "runtimeHandlers": runtime_handlers(shared),
        "nodeInfo": {
            "architecture": arch(),
            "bootID": machine.boot_id,
            "containerRuntimeVersion": format!("agent-sandbox://{}", env!("CARGO_PKG_VERSION")),
            "kernelVersion": machine.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": concat!("v", env!("CARGO_PKG_VERSION"), "-agent-sandbox"),
            "machineID": machine.machine_id,
            "operatingSystem": "linux",
            "osImage": machine.os,
            "systemUUID": machine.machine_id,
        },
    })
}

fn runtime_handlers(shared: &Shared) -> Vec<Value> {
    shared
        .runtimes
        .found()
        .filter(|found| found.broken.is_none())
        .map(|found| {
            let name = match found.driver {
                runtime::Driver::Runc => "runc",
                runtime::Driver::Runsc => "gvisor",
            };
            json!({"name": name})
        })
        .collect()
}

/// The kubelet's conditions; a node that can write them has none of the troubles but a full disk.
fn conditions(old: &Node, disk_pressure: bool, now: &str) -> Vec<Value> {
    let disk = if disk_pressure {
        ("DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure")
    } else {
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
    };
    let rows = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        disk,
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    let known = old.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    rows.iter()
        .map(|(kind, status, reason, message)| {
            let before =
                known.iter().find(|condition| condition.type_ == *kind && condition.status == *status);
            let since = before.and_then(|condition| condition.last_transition_time.as_ref());
            let since = since.map_or_else(|| now.to_owned(), |time| time.0.to_string());
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": now, "lastTransitionTime": since,
            })
        })
        .collect()
}

/// Bytes of the file system that holds the data directory.
fn disk_bytes(shared: &Shared) -> u64 {
    rustix::fs::statvfs(shared.paths.data()).map_or(0, |stat| stat.f_blocks * stat.f_frsize)
}

async fn heartbeat(shared: &Shared) -> Result<(), kube::Error> {
    let name = &shared.config.name;
    let leases: Api<Lease> = Api::namespaced(shared.client.clone(), LEASES);
    let renew = serde_json::to_value(MicroTime(shared.now())).unwrap_or_default();
    let spec =
        json!({"holderIdentity": name, "leaseDurationSeconds": BELIEVED.as_secs(), "renewTime": renew});
    let patch = Patch::Merge(json!({"spec": spec}));
    match leases.patch(name, &PatchParams::default(), &patch).await {
        Err(error) if Failure::of(&error) == Failure::NotFound => {
            ensure(&leases, json!({"metadata": {"name": name, "namespace": LEASES}, "spec": spec})).await
        }
        patched => patched.map(drop),
    }
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
