//! What a Pod asks for, reduced to what the plan needs.

use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::core::v1::Pod;

/// The projection of a Pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// `metadata.generation`, written as `observedGeneration`.
    pub generation: Option<i64>,
    /// `name_namespace(uid)`, for messages that name the Pod.
    pub title: String,
    /// What happens to a container that ends.
    pub restart: Restart,
    /// Init containers and sidecars in their order.
    pub init: Vec<Container>,
    /// The containers.
    pub containers: Vec<Container>,
    /// `terminationGracePeriodSeconds`.
    pub grace: Duration,
    /// `activeDeadlineSeconds`.
    pub deadline: Option<Duration>,
    /// Whether a volume shows objects (or the Pod itself) as files, which follow their changes.
    pub projects: bool,
    /// Condition types that must be true, too, for the Pod to be ready.
    pub gates: Vec<String>,
    /// The quality-of-service class.
    pub qos: String,
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image as written.
    pub image: String,
    /// When to ask the registry.
    pub pull: Pull,
    /// An init container that keeps running beside the others.
    pub sidecar: bool,
    /// The startup probe.
    pub startup: Option<Probe>,
    /// The readiness probe.
    pub readiness: Option<Probe>,
    /// The liveness probe.
    pub liveness: Option<Probe>,
    /// Whether it has a postStart hook.
    pub post_start: bool,
    /// Whether it has a preStop hook.
    pub pre_stop: bool,
    /// `resources`, repeated in the status of a container that exists.
    pub resources: Option<core::ResourceRequirements>,
    /// `volumeMounts` as the status repeats them.
    pub mounts: Vec<core::VolumeMountStatus>,
}

/// A probe's timing; what it does is the executor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Wait this long after the start.
    pub initial_delay: Duration,
    /// The time between two probes.
    pub period: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Successes in a row that make it true.
    pub success: u32,
    /// Failures in a row that make it false.
    pub failure: u32,
    /// Overrides the Pod's grace when this probe ends the container.
    pub grace: Option<Duration>,
}

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Gates the other two.
    Startup,
    /// Decides `ready`.
    Readiness,
    /// Its failure restarts the container.
    Liveness,
}

/// `restartPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    #[default]
    Always,
    /// Only after a non-zero exit code.
    OnFailure,
    /// Never.
    Never,
}

/// `imagePullPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// Ask the registry before every start.
    Always,
    /// Ask the registry only if the image is not here.
    #[default]
    IfNotPresent,
    /// Never ask.
    Never,
}

// === impl Spec ===

impl Spec {
    /// Reads the Pod; missing fields take Kubernetes' defaults.
    pub fn of(pod: &Pod) -> Self {
        let meta = &pod.metadata;
        let spec = pod.spec.as_ref();
        let title = [&meta.name, &meta.namespace].map(|part| part.clone().unwrap_or_default()).join("_");
        Self {
            generation: meta.generation,
            title: format!("{title}({})", meta.uid.as_deref().unwrap_or_default()),
            restart: Restart::parse(spec.and_then(|spec| spec.restart_policy.as_deref())),
            init: list(spec.and_then(|spec| spec.init_containers.as_deref())),
            containers: list(spec.map(|spec| spec.containers.as_slice())),
            grace: spec.and_then(|spec| spec.termination_grace_period_seconds).map_or(secs(30), seconds),
            deadline: spec.and_then(|spec| spec.active_deadline_seconds).map(seconds),
            projects: spec
                .and_then(|spec| spec.volumes.as_deref())
                .is_some_and(|all| all.iter().any(projects)),
            gates: gates(spec),
            qos: pod.status.as_ref().and_then(|status| status.qos_class.clone()).unwrap_or_else(|| qos(pod)),
        }
    }

    /// The container of this name, of either list.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.init.iter().chain(&self.containers).find(|container| container.name == name)
    }

    /// The restart policy that holds for this container.
    pub fn restart_of(&self, container: &Container) -> Restart {
        match self.restart {
            _ if container.sidecar => Restart::Always,
            Restart::Always if self.init.iter().any(|init| init.name == container.name) => Restart::OnFailure,
            policy => policy,
        }
    }
}

// === impl Container ===

impl Container {
    /// The timing of one probe.
    pub fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
        }
    }

    fn of(container: &core::Container) -> Self {
        let image = container.image.clone().unwrap_or_default();
        let hooks = container.lifecycle.as_ref();
        Self {
            name: container.name.clone(),
            pull: Pull::parse(container.image_pull_policy.as_deref(), &image),
            image,
            sidecar: container.restart_policy.as_deref() == Some("Always"),
            startup: container.startup_probe.as_ref().map(Probe::of),
            readiness: container.readiness_probe.as_ref().map(Probe::of),
            liveness: container.liveness_probe.as_ref().map(Probe::of),
            post_start: hooks.is_some_and(|hooks| hooks.post_start.is_some()),
            pre_stop: hooks.is_some_and(|hooks| hooks.pre_stop.is_some()),
            resources: container.resources.clone(),
            mounts: container.volume_mounts.iter().flatten().map(mount).collect(),
        }
    }
}

// === impl Probe ===

impl Probe {
    fn of(probe: &core::Probe) -> Self {
        let count =
            |value: Option<i32>, default: u32| value.and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
        Self {
            initial_delay: secs(u64::from(count(probe.initial_delay_seconds, 0))),
            period: secs(u64::from(count(probe.period_seconds, 10).max(1))),
            timeout: secs(u64::from(count(probe.timeout_seconds, 1).max(1))),
            success: count(probe.success_threshold, 1).max(1),
            failure: count(probe.failure_threshold, 3).max(1),
            grace: probe.termination_grace_period_seconds.map(seconds),
        }
    }
}

// === impl ProbeKind ===

impl ProbeKind {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// The word the kubelet's messages begin with.
    pub fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

// === impl Restart ===

impl Restart {
    /// Whether a container that ended with `code` runs again.
    pub fn again(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }

    fn parse(policy: Option<&str>) -> Self {
        match policy {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }
}

// === impl Pull ===

impl Pull {
    fn parse(policy: Option<&str>, image: &str) -> Self {
        match policy {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            Some(_) => Self::IfNotPresent,
            None => Self::of_tag(image),
        }
    }

    /// Kubernetes' default: an image without a tag or with `:latest` is asked for every time.
    fn of_tag(image: &str) -> Self {
        let name = image.rsplit('/').next().unwrap_or(image);
        let moving = !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
        if moving { Self::Always } else { Self::IfNotPresent }
    }
}

fn list(containers: Option<&[core::Container]>) -> Vec<Container> {
    containers.unwrap_or_default().iter().map(Container::of).collect()
}

fn gates(spec: Option<&core::PodSpec>) -> Vec<String> {
    let gates = spec.and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    gates.iter().map(|gate| gate.condition_type.clone()).collect()
}

fn projects(volume: &core::Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

fn mount(mount: &core::VolumeMount) -> core::VolumeMountStatus {
    let read_only = mount.read_only.unwrap_or_default();
    core::VolumeMountStatus {
        mount_path: mount.mount_path.clone(),
        name: mount.name.clone(),
        read_only: read_only.then_some(true),
        recursive_read_only: read_only.then(|| "Disabled".to_owned()),
        volume_status: None,
    }
}

/// The class by Kubernetes' rule: no cpu or memory at all, all limits equal to their requests, or in between.
fn qos(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let mut any = false;
    let mut guaranteed = true;
    for container in spec.map(|spec| spec.containers.as_slice()).unwrap_or_default().iter().chain(init) {
        let resources = container.resources.clone().unwrap_or_default();
        for name in ["cpu", "memory"] {
            let limit = resources.limits.as_ref().and_then(|limits| limits.get(name));
            let request = resources.requests.as_ref().and_then(|requests| requests.get(name));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    let class = if !any {
        "BestEffort"
    } else if guaranteed {
        "Guaranteed"
    } else {
        "Burstable"
    };
    class.to_owned()
}

fn seconds(value: i64) -> Duration {
    secs(u64::try_from(value).unwrap_or_default())
}

fn secs(value: u64) -> Duration {
    Duration::from_secs(value)
}
