//! A Sandbox that is read whatever it holds.
//!
//! A schema is never as narrow as a type: the API server accepts a port of 3000000000 in an int-or-string field, no
//! program that reads Pods does. One such object must neither be lost nor keep a list from being read.

use super::{PodTemplate, Sandbox, SandboxSpec, SandboxStatus};
use k8s_openapi::NamespaceResourceScope;
use kube_core::{ObjectMeta, Resource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;

/// A Sandbox as the API server sent it, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct LenientSandbox {
    /// The Sandbox. Where it is unreadable, fields of the spec that cannot be read have their defaults.
    pub sandbox: Sandbox,
    /// Set where the spec cannot be read.
    pub unreadable: Option<Box<Unreadable>>,
}

/// Why a Sandbox cannot be read, and what it is.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// What cannot be read, with the path of the field.
    pub why: String,
    /// The whole object.
    pub document: Value,
}

// === impl LenientSandbox ===

impl<'de> Deserialize<'de> for LenientSandbox {
    /// Fails only for something that is no object with metadata.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        if let Ok(sandbox) = Sandbox::deserialize(&document) {
            return Ok(Self { sandbox, unreadable: None });
        }
        let metadata = ObjectMeta::deserialize(&document["metadata"]).map_err(serde::de::Error::custom)?;
        // A status is written anew where it cannot be read.
        let status: Option<SandboxStatus> = part(&document["status"]);
        let spec = serde_path_to_error::deserialize(&document["spec"]);
        let (spec, why) = match spec {
            Ok(spec) => (spec, None),
            Err(error) => {
                (readable(&document["spec"]), Some(format!("spec.{}: {}", error.path(), error.inner())))
            }
        };
        let unreadable = why.map(|why| Box::new(Unreadable { why, document }));
        Ok(Self { sandbox: Sandbox { metadata, spec, status }, unreadable })
    }
}

impl Serialize for LenientSandbox {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.unreadable {
            Some(unreadable) => unreadable.document.serialize(serializer),
            None => self.sandbox.serialize(serializer),
        }
    }
}

impl Resource for LenientSandbox {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        Sandbox::kind(&())
    }
    fn group(_: &()) -> Cow<'_, str> {
        Sandbox::group(&())
    }
    fn version(_: &()) -> Cow<'_, str> {
        Sandbox::version(&())
    }
    fn plural(_: &()) -> Cow<'_, str> {
        Sandbox::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.sandbox.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.sandbox.metadata
    }
}

/// The fields of a spec that can be read.
fn readable(spec: &Value) -> SandboxSpec {
    SandboxSpec {
        pod_template: part::<PodTemplate>(&spec["podTemplate"]).unwrap_or_default(),
        volume_claim_templates: part(&spec["volumeClaimTemplates"]),
        service: part(&spec["service"]),
        operating_mode: part(&spec["operatingMode"]),
        shutdown_time: part(&spec["shutdownTime"]),
        shutdown_policy: part(&spec["shutdownPolicy"]),
    }
}

fn part<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with_port(port: &Value) -> Value {
        let probe = json!({"httpGet": {"port": port}});
        json!({
            "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
            "metadata": {"name": "s", "namespace": "ns", "uid": "u", "resourceVersion": "7"},
            "spec": {
                "podTemplate": {"spec": {"containers": [{"name": "c", "readinessProbe": probe}]}},
                "shutdownTime": "2026-01-02T03:04:05Z", "shutdownPolicy": "Delete", "operatingMode": "Suspended"
            },
            "status": {"podIPs": ["10.0.0.1"]}
        })
    }

    #[test]
    fn a_sandbox_that_can_be_read_is_read_whole() {
        let read: LenientSandbox = serde_json::from_value(with_port(&json!(80))).unwrap();
        assert!(read.unreadable.is_none());
        assert_eq!(read.sandbox, serde_json::from_value(with_port(&json!(80))).unwrap());
        assert_eq!(serde_json::to_value(&read).unwrap(), with_port(&json!(80)));
    }

    /// `x-kubernetes-int-or-string` sets no bounds, so a server takes this port.
    #[test]
    fn one_bad_field_is_named_and_the_rest_is_read() {
        let document = with_port(&json!(3_000_000_000_u64));
        let read: LenientSandbox = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), document, "it is passed on as it came");
        let why = read.unreadable.unwrap().why;
        assert!(why.starts_with("spec.podTemplate.spec.containers[0].readinessProbe"), "{why}");
        assert!(why.contains("3000000000"), "{why}");
        let Sandbox { metadata, spec, status } = read.sandbox;
        assert_eq!(metadata.uid.as_deref(), Some("u"));
        assert_eq!(spec.pod_template, PodTemplate::default());
        assert!(spec.is_suspended() && spec.shutdown_time.is_some() && spec.shutdown_policy.is_some());
        assert_eq!(status.unwrap().pod_ips, ["10.0.0.1"]);
    }

    #[test]
    fn a_status_that_cannot_be_read_is_none() {
        let mut document = with_port(&json!(80));
        document["status"] = json!({"conditions": [{"lastTransitionTime": "9999-12-31T23:59:59Z"}]});
        let read: LenientSandbox = serde_json::from_value(document).unwrap();
        assert!(read.unreadable.is_none());
        assert_eq!(read.sandbox.status, None);
    }
}
