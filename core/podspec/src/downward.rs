//! The downward API: fields of the Pod as text.

use crate::{Refusal, inputs::Host, quantity};
use k8s_openapi::{
    api::core::v1::{Container, Pod, ResourceFieldSelector},
    apimachinery::pkg::api::resource::Quantity,
};
use std::{collections::BTreeMap, fmt::Write as _};

/// The value of a `fieldRef`, for environment variables and downwardAPI volumes.
///
/// # Errors
/// A path that the downward API does not know.
pub fn field_ref(
    pod: &Pod,
    path: &str,
    pod_ips: &[String],
    node_name: &str,
    node_ips: &[String],
) -> Result<String, Refusal> {
    let meta = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let values = match map {
            "metadata.annotations" => meta.annotations.as_ref(),
            "metadata.labels" => meta.labels.as_ref(),
            _ => return Err(unknown(path)),
        };
        return Ok(values.and_then(|values| values.get(key)).cloned().unwrap_or_default());
    }
    let spec = pod.spec.as_ref();
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => {
            spec.and_then(|spec| spec.node_name.clone()).unwrap_or_else(|| node_name.to_owned())
        }
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "status.hostIP" => node_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => node_ips.join(","),
        "status.podIP" => pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => pod_ips.join(","),
        _ => return Err(unknown(path)),
    })
}

/// The value of a `resourceFieldRef` about `container`. A limit that is not set is the node's capacity.
///
/// # Errors
/// A resource or divisor that does not exist.
pub fn resource_field_ref(
    pod: &Pod,
    container: &Container,
    reference: &ResourceFieldSelector,
    host: &Host,
) -> Result<String, Refusal> {
    let named = reference.container_name.as_deref().filter(|name| !name.is_empty());
    let container = match named {
        Some(name) => find(pod, name)
            .ok_or_else(|| Refusal::config("resourceFieldRef", format!("container {name} not found")))?,
        None => container,
    };
    let empty = BTreeMap::new();
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|r| r.limits.as_ref()).unwrap_or(&empty);
    let requests = resources.and_then(|r| r.requests.as_ref()).unwrap_or(&empty);
    let (kind, name) = reference.resource.split_once('.').ok_or_else(|| unknown(&reference.resource))?;
    let capacity = match name {
        "cpu" => Some(i128::from(host.cpu_millis)),
        "memory" => Some(i128::from(host.memory_bytes) * 1000),
        _ => None,
    };
    let value = match kind {
        "limits" => millis(limits.get(name)).or(capacity),
        "requests" => millis(requests.get(name)),
        _ => return Err(unknown(&reference.resource)),
    };
    let divisor = reference.divisor.as_ref().map(|divisor| divisor.0.as_str()).unwrap_or("1");
    let divisor = quantity::millis(if divisor.is_empty() || divisor == "0" { "1" } else { divisor })
        .filter(|divisor| *divisor > 0)
        .ok_or_else(|| {
            Refusal::config("resourceFieldRef.divisor", format!("divisor {divisor} is invalid"))
        })?;
    let value = value.unwrap_or(0);
    Ok(((value + divisor - 1) / divisor).to_string())
}

/// Looks a container up by name, init containers included.
pub(crate) fn find<'p>(pod: &'p Pod, name: &str) -> Option<&'p Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .find(|container| container.name == name)
}

fn millis(quantity: Option<&Quantity>) -> Option<i128> {
    quantity::millis(&quantity?.0)
}

/// `metadata.labels['x']` as (`metadata.labels`, `x`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// Kubernetes writes maps as `key="value"` lines, sorted.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let mut out = String::new();
    for (key, value) in map.into_iter().flatten() {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = write!(out, "{key}={value:?}");
    }
    out
}

fn unknown(path: &str) -> Refusal {
    Refusal::config("fieldRef", format!("unsupported fieldPath: {path}"))
}
