//! From flags to a Sandbox object: what `create` and `run` have in common.

use crate::failure::{Failure, Result};
use clap::Args;
use crd::{
    names::annotation,
    v1beta1::{PodMetadata, PodTemplate, Sandbox, SandboxSpec, VolumeClaimMetadata, VolumeClaimTemplate},
};
use k8s_openapi::{
    api::core::v1::{
        Container, EnvVar, PersistentVolumeClaimSpec, PodSpec, ResourceRequirements, VolumeMount,
        VolumeResourceRequirements,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use std::collections::BTreeMap;

/// The image that needs no registry: the machine's own `/usr`, read-only.
pub(crate) const BUILT_IN_IMAGE: &str = "agent-sandbox/host";
/// Name of the one container that the command line makes.
pub(crate) const CONTAINER: &str = "sandbox";

/// What a new sandbox consists of.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShapeArgs {
    /// Image; the default is the machine's own /usr, read-only, and needs no registry
    #[arg(long, default_value = BUILT_IN_IMAGE, value_name = "REFERENCE")]
    pub(crate) image: String,
    /// Isolation: the name of a RuntimeClass, such as gvisor or runc [default: the server's]
    #[arg(long, short, value_name = "CLASS")]
    pub(crate) runtime: Option<String>,
    /// Environment variable, repeatable; NAME alone takes the value from this shell
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Volume that outlives the sandbox's process, repeatable
    #[arg(long, value_name = "NAME:PATH[:SIZE]")]
    pub(crate) volume: Vec<String>,
    /// CPU limit, such as 500m or 2
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) cpu: Option<String>,
    /// Memory limit, such as 512Mi
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) memory: Option<String>,
    /// Working directory
    #[arg(long, short, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
    /// Label on the sandbox, repeatable
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
}

// === impl ShapeArgs ===

impl ShapeArgs {
    /// The Sandbox that these flags describe, running `command` (empty: the image's own).
    ///
    /// # Errors
    /// A flag that does not have its form.
    pub(crate) fn sandbox(&self, name: &str, command: &[String]) -> Result<Sandbox> {
        let volumes = self.volume.iter().map(|text| Volume::parse(text)).collect::<Result<Vec<_>>>()?;
        let mut sandbox = Sandbox::default();
        sandbox.metadata.name = Some(name.to_owned());
        sandbox.metadata.labels = some(pairs("--label", &self.label)?);
        sandbox.spec = SandboxSpec {
            pod_template: PodTemplate {
                metadata: Some(PodMetadata {
                    annotations: Some(kept_and_reaped()),
                    ..PodMetadata::default()
                }),
                spec: self.pod(command, &volumes)?,
            },
            volume_claim_templates: (!volumes.is_empty())
                .then(|| volumes.iter().map(Volume::claim).collect()),
            ..SandboxSpec::default()
        };
        Ok(sandbox)
    }

    fn pod(&self, command: &[String], volumes: &[Volume]) -> Result<PodSpec> {
        let container = Container {
            name: CONTAINER.to_owned(),
            image: Some(self.image.clone()),
            command: (!command.is_empty()).then(|| command.to_vec()),
            env: Some(self.environment()?).filter(|env| !env.is_empty()),
            working_dir: self.workdir.clone(),
            resources: self.resources(),
            volume_mounts: Some(volumes.iter().map(Volume::mount).collect::<Vec<_>>())
                .filter(|all| !all.is_empty()),
            ..Container::default()
        };
        Ok(PodSpec {
            containers: vec![container],
            runtime_class_name: self.runtime.clone(),
            automount_service_account_token: Some(false),
            ..PodSpec::default()
        })
    }

    fn environment(&self) -> Result<Vec<EnvVar>> {
        self.env.iter().map(|text| variable(text)).collect()
    }

    /// A limit is a cap, not a reservation: without small requests Kubernetes would reserve the whole limit, and two
    /// sandboxes with `--cpu 1` would fill a machine of two processors.
    fn resources(&self) -> Option<ResourceRequirements> {
        let named = [("cpu", &self.cpu, "10m"), ("memory", &self.memory, "16Mi")];
        let given =
            || named.iter().filter_map(|(name, limit, request)| Some((*name, limit.as_ref()?, *request)));
        let limits: BTreeMap<_, _> =
            given().map(|(name, limit, _)| (name.to_owned(), Quantity(limit.clone()))).collect();
        let requests =
            given().map(|(name, _, request)| (name.to_owned(), Quantity(request.to_owned()))).collect();
        (!limits.is_empty()).then(|| ResourceRequirements {
            limits: Some(limits),
            requests: Some(requests),
            ..ResourceRequirements::default()
        })
    }
}

/// People expect files to survive a suspend, and Ctrl-C and `suspend` to work with any main process.
fn kept_and_reaped() -> BTreeMap<String, String> {
    [annotation::KEEP_ROOT, annotation::INIT].map(|key| (key.to_owned(), "true".to_owned())).into()
}

fn variable(text: &str) -> Result<EnvVar> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => (
            text,
            std::env::var(text).map_err(|_| Failure::new(format!("--env {text}: not set in this shell")))?,
        ),
    };
    Ok(EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() })
}

/// Reads `KEY=VALUE` flags.
pub(crate) fn pairs(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (key, value) =
            text.split_once('=').ok_or_else(|| Failure::new(format!("{flag} {text}: not KEY=VALUE")))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}

fn some<T>(map: BTreeMap<String, T>) -> Option<BTreeMap<String, T>> {
    (!map.is_empty()).then_some(map)
}

/// `NAME:PATH[:SIZE]`.
struct Volume {
    name: String,
    path: String,
    size: String,
}

// === impl Volume ===

impl Volume {
    fn parse(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(path), size) if !name.is_empty() && path.starts_with('/') => Ok(Self {
                name: name.to_owned(),
                path: path.to_owned(),
                size: size.unwrap_or("1Gi").to_owned(),
            }),
            _ => Err(Failure::new(format!("--volume {text}: not NAME:PATH[:SIZE] with an absolute path"))
                .remedy("for example --volume data:/data:2Gi")),
        }
    }

    fn claim(&self) -> VolumeClaimTemplate {
        let requests = BTreeMap::from([("storage".to_owned(), Quantity(self.size.clone()))]);
        VolumeClaimTemplate {
            metadata: Some(VolumeClaimMetadata {
                name: Some(self.name.clone()),
                ..VolumeClaimMetadata::default()
            }),
            spec: PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
                ..PersistentVolumeClaimSpec::default()
            },
        }
    }

    fn mount(&self) -> VolumeMount {
        VolumeMount { name: self.name.clone(), mount_path: self.path.clone(), ..VolumeMount::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> ShapeArgs {
        ShapeArgs {
            image: BUILT_IN_IMAGE.to_owned(),
            runtime: Some("gvisor".to_owned()),
            env: vec!["A=1=2".to_owned()],
            volume: vec!["data:/data:2Gi".to_owned(), "cache:/cache".to_owned()],
            cpu: None,
            memory: Some("64Mi".to_owned()),
            workdir: None,
            label: vec!["team=rl".to_owned()],
        }
    }

    #[test]
    fn flags_become_a_sandbox() {
        let sandbox = shape().sandbox("s", &["true".to_owned()]).expect("sandbox");
        let pod = &sandbox.spec.pod_template.spec;
        let env = pod.containers[0].env.as_ref().expect("env");
        assert_eq!(env[0].value.as_deref(), Some("1=2"));
        assert_eq!(pod.runtime_class_name.as_deref(), Some("gvisor"));
        let claims = sandbox.spec.volume_claim_templates.as_ref().expect("claims");
        let size = |at: usize| {
            &claims[at].spec.resources.as_ref().expect("r").requests.as_ref().expect("q")["storage"].0
        };
        assert_eq!((size(0).as_str(), size(1).as_str()), ("2Gi", "1Gi"));
        assert_eq!(pod.automount_service_account_token, Some(false));
        let resources = pod.containers[0].resources.as_ref().expect("resources");
        assert_eq!(resources.requests.as_ref().expect("requests")["memory"].0, "16Mi");
    }

    #[test]
    fn a_volume_with_a_relative_path_is_refused() {
        let refused = Volume::parse("data:here").err().expect("refused").to_string();
        assert!(refused.contains("--volume data:here"), "{refused}");
    }
}
