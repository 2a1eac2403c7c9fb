//! Requests and limits as cgroup numbers.

use crate::{Refusal, inputs::Inputs, quantity};
use k8s_openapi::{
    api::core::v1::{Container, Pod},
    apimachinery::pkg::api::resource::Quantity,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Period of processor quotas: 100 ms.
const PERIOD: i64 = 100_000;

/// Limits in the kernel's units; `None` is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Relative weight of processor time (2..=262144).
    pub cpu_shares: u64,
    /// Microseconds of processor time in each 100 ms.
    pub cpu_quota: Option<i64>,
    /// Bytes of memory.
    pub memory: Option<i64>,
    /// Processes and threads.
    pub pids: i64,
}

/// Kubernetes' class of service: `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else { return "BestEffort" };
    let (mut any, mut all) = (false, true);
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        for name in ["cpu", "memory"] {
            let limit = amount(container, true, name).filter(|v| *v > 0);
            let request = amount(container, false, name).filter(|v| *v > 0);
            any |= limit.is_some() || request.is_some();
            all &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Limits of one container; for a gVisor pause container see [`of_pod`].
pub(crate) fn of_container(inputs: &Inputs<'_>) -> Result<Limits, Refusal> {
    one(inputs.container, inputs.policy.pids_limit)
}

/// Limits of all of a pod's containers together: gVisor runs them in one host process.
pub(crate) fn of_pod(pod: &Pod, pids: i64) -> Result<Limits, Refusal> {
    let Some(spec) = &pod.spec else { return Ok(Limits::default()) };
    let mut sum = Limits { cpu_shares: 0, cpu_quota: Some(0), memory: Some(0), pids: 0 };
    let sidecars =
        spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    for container in spec.containers.iter().chain(sidecars) {
        let limits = one(container, pids)?;
        sum.cpu_shares += limits.cpu_shares;
        sum.cpu_quota = sum.cpu_quota.zip(limits.cpu_quota).map(|(a, b)| a + b);
        sum.memory = sum.memory.zip(limits.memory).map(|(a, b)| a.saturating_add(b));
        sum.pids += limits.pids;
    }
    for container in spec.init_containers.iter().flatten() {
        let limits = one(container, pids)?;
        sum.cpu_shares = sum.cpu_shares.max(limits.cpu_shares);
        sum.cpu_quota = sum.cpu_quota.zip(limits.cpu_quota).map(|(a, b)| a.max(b));
        sum.memory = sum.memory.zip(limits.memory).map(|(a, b)| a.max(b));
    }
    Ok(sum)
}

fn one(container: &Container, pids: i64) -> Result<Limits, Refusal> {
    refuse_unknown(container)?;
    let shares_of = |millis: i128| u64::try_from((millis * 1024 / 1000).clamp(2, 262_144)).unwrap_or(2);
    // Kubernetes: a limit without a request is the request too.
    let request = amount(container, false, "cpu").or_else(|| amount(container, true, "cpu"));
    let quota = amount(container, true, "cpu")
        .filter(|millis| *millis > 0)
        .map(|millis| i64::try_from((millis * i128::from(PERIOD) / 1000).max(1000)).unwrap_or(i64::MAX));
    let memory = amount(container, true, "memory")
        .map(|millis| (millis + 999) / 1000)
        .filter(|bytes| *bytes > 0)
        .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    Ok(Limits { cpu_shares: shares_of(request.unwrap_or(0)), cpu_quota: quota, memory, pids })
}

/// Resources that need hardware or kernel support which sandboxes do not get.
fn refuse_unknown(container: &Container) -> Result<(), Refusal> {
    let resources = container.resources.as_ref();
    let lists = [resources.and_then(|r| r.limits.as_ref()), resources.and_then(|r| r.requests.as_ref())];
    for (name, value) in lists.into_iter().flatten().flatten() {
        let known = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        if !known && quantity::millis(&value.0) != Some(0) {
            return Err(Refusal::forbidden(
                format!("spec.containers[{}].resources.limits[{name}]", container.name),
                format!("resource {name} does not exist on this node"),
                "remove it: devices and huge pages are not given to sandboxes",
            ));
        }
    }
    Ok(())
}

/// `linux.resources`.
pub(crate) fn section(limits: &Limits, swap_accounting: bool) -> Value {
    let mut cpu = json!({ "shares": limits.cpu_shares });
    if let Some(quota) = limits.cpu_quota {
        cpu["quota"] = quota.into();
        cpu["period"] = PERIOD.into();
    }
    let mut section = json!({
        "devices": [{ "allow": false, "access": "rwm" }],
        "cpu": cpu,
        "pids": { "limit": limits.pids },
    });
    if let Some(memory) = limits.memory {
        section["memory"] = json!({ "limit": memory });
        if swap_accounting {
            section["memory"]["swap"] = memory.into();
        }
    }
    section
}

/// kubelet's formula, never below 0: the agent may not be allowed to protect a container from the OOM killer.
pub(crate) fn oom_score(inputs: &Inputs<'_>) -> i64 {
    match qos_class(inputs.pod) {
        "Guaranteed" => 0,
        "BestEffort" => 1000,
        _ => {
            let request = amount(inputs.container, false, "memory")
                .or_else(|| amount(inputs.container, true, "memory"))
                .unwrap_or(0);
            let capacity = i128::from(inputs.host.memory_bytes.max(1));
            i64::try_from(1000 - request / capacity).unwrap_or(999).clamp(2, 999)
        }
    }
}

/// Thousandths of a limit or request.
fn amount(container: &Container, limit: bool, name: &str) -> Option<i128> {
    let resources = container.resources.as_ref()?;
    let list: &BTreeMap<String, Quantity> =
        if limit { resources.limits.as_ref()? } else { resources.requests.as_ref()? };
    quantity::millis(&list.get(name)?.0)
}
