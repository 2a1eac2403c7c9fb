//! Defaults of built-in kinds, as Kubernetes 1.36 fills them in when it decodes an object (`pkg/apis/*/v1/defaults.go`).
//!
//! Idempotent, and applied on create and on update. What only admission adds, and only on create, is in `prepare`.
//! Custom kinds have defaults in their schema, not here.

use serde_json::Value;

use crate::table::{Body, Kind};
use crate::value::{drop_nulls, set_default};

mod config;
mod container;
mod network;
mod pod;
mod quantity;
mod rbac;
mod storage;
mod volume;
mod workload;

#[cfg(test)]
mod tests;

/// Fills in what Kubernetes fills in. Removes nulls, which Kubernetes decodes as unset.
pub fn default(kind: &Kind, object: &mut Value) {
    if !object.is_object() || matches!(kind.body, Body::Custom(_)) {
        return;
    }
    drop_nulls(object);
    match kind.body {
        Body::Pod => pod::pod(object),
        Body::Service => network::service(object),
        Body::Endpoints => network::endpoints(object),
        Body::EndpointSlice => network::endpoint_slice(object),
        Body::NetworkPolicy => network::network_policy(object),
        Body::PersistentVolume => storage::volume(object),
        Body::PersistentVolumeClaim => storage::claim(object),
        Body::StorageClass => storage::class(object),
        Body::Secret => config::secret(object),
        Body::Namespace => config::namespace(object),
        Body::Node => config::node(object),
        Body::LimitRange => config::limit_range(object),
        Body::ResourceQuota => config::quota(object),
        Body::PriorityClass => set_default(object, "preemptionPolicy", "PreemptLowerPriority"),
        Body::Deployment => workload::deployment(object),
        Body::ReplicaSet => workload::replica_set(object),
        Body::Job => workload::job(object),
        Body::ClusterRoleBinding | Body::RoleBinding => rbac::binding(object),
        Body::CustomResourceDefinition => rbac::crd(object),
        Body::RuntimeClass => quantity::canonical_map(object, "/overhead/podFixed"),
        Body::ClusterRole
        | Body::ConfigMap
        | Body::Custom(_)
        | Body::Event
        | Body::Lease
        | Body::Review
        | Body::Role
        | Body::ServiceAccount => {}
    }
}
