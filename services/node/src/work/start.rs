//! Starts one container: builds its spec, and hands it to the runtime.

mod files;
mod place;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crd::names::annotation;
use k8s_openapi::api::core::v1::{Container as Asked, Pod};
use lifecycle::pod::reason;
use net::{Attach, Attachment};
use podspec::{Bundle, IdRange, Inputs, Isolation, Reason, Role, Volume};
use runtime::{Container, Driver, Log, RootFs, StartError, StartFailure, container_id};

use super::{Pause, Trouble, owner};
use crate::images::Local;
use crate::paths::Paths;
use crate::record::Page;
use crate::registry::Claim;
use crate::shared::Shared;
use place::Place;

/// The name that the container of a gVisor sandbox with several containers goes by: none that a Pod could give.
pub(crate) const PAUSE: &str = ".pause";

/// What it was before: still the name of one that was started then.
pub(crate) const FORMER_PAUSE: &str = "pause";

/// How long a start waits for the container that had its writable layer before.
const LAYER_PATIENCE: Duration = Duration::from_secs(10);

/// The file in a container's directory that it may leave its last words in.
pub(crate) const TERMINATION_LOG: &str = "termination-log";

/// The longest time a runtime may take to start a container.
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);

/// Ids in each Pod's range.
const IDS: u32 = 65536;

/// The first host id that is handed out.
const FIRST_ID: u32 = 1 << 20;

/// What to start.
pub(crate) struct Request {
    /// The Pod's record with this run in it, to be on disk before anything is made.
    pub(crate) record: Page,
    pub(crate) pod: Arc<Pod>,
    pub(crate) name: String,
    /// Names the directory and the id.
    pub(crate) run: u32,
    /// Names the log.
    pub(crate) restarts: u32,
    pub(crate) image: Arc<Local>,
    pub(crate) attachment: Attachment,
    pub(crate) volumes: BTreeMap<String, Volume>,
    pub(crate) driver: Driver,
    pub(crate) pause: Arc<Pause>,
    pub(crate) pause_name: &'static str,
    pub(crate) pause_run: u32,
}

/// Why nothing runs.
pub(crate) enum Failed {
    /// It will never be allowed: the Pod fails.
    Refused(String),
    /// Something is missing; it is tried again.
    Waiting(Trouble),
    /// The runtime could not.
    Runtime(StartFailure),
}

/// Starts the container.
pub(crate) async fn start(shared: &Shared, request: &Request) -> Result<Container, Failed> {
    let claim = claim_layer(shared, request).await?;
    let _turn = shared.starts.acquire().await;
    let asked = super::find(&request.pod, &request.name)
        .ok_or_else(|| waiting(reason::CREATE, format!("container {} is not in the pod", request.name)))?;
    let namespace = request.pod.metadata.namespace.as_deref().unwrap_or_default();
    let environment = shared.sources.environment(namespace, asked).await;
    let mut environment = environment.map_err(|message| waiting(reason::CONFIG, message))?;
    environment.services = shared.links.of(&request.pod).await;
    let place = place::make(shared, request).await.map_err(|message| waiting(reason::CREATE, message))?;
    let scene = Scene::new(shared, request, place)?;
    if request.driver == Driver::Runsc && (request.run > 1 || scene.role != Role::Alone) {
        reattach(shared, request).await?;
    }
    if let Role::Member { .. } = scene.role {
        let bundle = podspec::build_pause(&scene.inputs(shared, request, asked, &environment))
            .map_err(|refusal| refused(&refusal))?;
        request.pause.ensure(shared, scene.pause(shared, request, bundle)).await?;
    }
    let bundle = podspec::build(&scene.inputs(shared, request, asked, &environment))
        .map_err(|refusal| refused(&refusal))?;
    if request.run == 1 && !bundle.warnings.is_empty() {
        let note = bundle.warnings.join("; ");
        shared.teller(&request.pod).of(&request.name, true, "FieldWithoutEffect", note);
    }
    let started = shared.runtimes.start(scene.request(shared, request, bundle)).await;
    let container = started.map_err(runtime_failure)?;
    if let Some(claim) = claim {
        claim.keep();
    }
    Ok(container)
}

/// Takes the kept writable layer for this Pod, once nobody else's container has it mounted.
async fn claim_layer<'a>(shared: &'a Shared, request: &'a Request) -> Result<Option<Claim<'a>>, Failed> {
    let Some(path) = kept_layer(&shared.paths, &request.pod, &request.name) else { return Ok(None) };
    let uid = request.pod.metadata.uid.as_deref().unwrap_or_default();
    let claimed = tokio::time::timeout(LAYER_PATIENCE, shared.registry.layers.claim(path, uid)).await;
    claimed.map(Some).map_err(|_| {
        let name = &request.name;
        let message = format!(
            "the kept root file system of container {name} is still in use by an earlier pod that is ending"
        );
        waiting(reason::CREATE, message)
    })
}

/// The isolation that a driver gives.
pub(crate) fn isolation(driver: Driver) -> Isolation {
    match driver {
        Driver::Runc => Isolation::SharedKernel,
        Driver::Runsc => Isolation::UserKernel,
    }
}

/// The directory of a container's writable layer: with its Pod, or with its owner if the Pod asks for that.
pub(crate) fn layer(paths: &Paths, pod: &Pod, container: &str, run: u32) -> PathBuf {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    kept_layer(paths, pod, container).unwrap_or_else(|| paths.layer(uid, container, run))
}

/// The directory of a container's writable layer, if it outlives its Pod.
pub(crate) fn kept_layer(paths: &Paths, pod: &Pod, container: &str) -> Option<PathBuf> {
    let asked = pod.metadata.annotations.as_ref()?.get(annotation::KEEP_ROOT)?;
    let owner = owner(pod).filter(|owner| asked == "true" && crate::paths::is_plain(&owner.uid))?;
    Some(paths.kept_layer(&owner.uid, container))
}

/// gVisor takes the addresses out of the namespace; they have to be there again for every new sandbox.
async fn reattach(shared: &Shared, request: &Request) -> Result<(), Failed> {
    if request.pause.is_alive().await {
        return Ok(());
    }
    let meta = &request.pod.metadata;
    let again = Attach {
        uid: meta.uid.clone().unwrap_or_default(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        slot: Some(request.attachment.slot),
        closed: false,
    };
    super::network::attach(shared, again).await.map(drop).map_err(Failed::Waiting)
}

/// What podspec needs, owned for as long as it is borrowed.
struct Scene {
    place: Place,
    image: podspec::Image,
    role: Role,
    ids: Option<IdRange>,
    hostname: String,
    ips: Vec<String>,
    init: Option<PathBuf>,
}

// === impl Scene ===

impl Scene {
    fn new(shared: &Shared, request: &Request, place: Place) -> Result<Self, Failed> {
        let image = podspec::Image {
            passwd: place.passwd.clone(),
            group: place.group.clone(),
            ..request.image.config.clone()
        };
        let uid = request.pod.metadata.uid.as_deref().unwrap_or_default();
        let role = role(request, uid);
        let asks_init = request.pod.metadata.annotations.as_ref().and_then(|all| all.get(annotation::INIT));
        let asks_init = asks_init.is_some_and(|value| value == "true") || role != Role::Alone;
        let hostname = files::hostname(&request.pod, &shared.config.cluster_domain)
            .map_err(|message| waiting(reason::CREATE, message))?;
        Ok(Self {
            image,
            ids: ids(request.driver, request.attachment.slot)?,
            hostname,
            ips: vec![request.attachment.address.to_string()],
            init: asks_init.then(|| shared.runtimes.init_program().to_owned()),
            role,
            place,
        })
    }

    fn inputs<'a>(
        &'a self,
        shared: &'a Shared,
        request: &'a Request,
        asked: &'a Asked,
        sources: &'a podspec::Sources,
    ) -> Inputs<'a> {
        let keeps_init = request.pod.metadata.annotations.as_ref().and_then(|all| all.get(annotation::INIT));
        debug_assert!(
            self.role != Role::Alone || keeps_init.is_some() == self.init.is_some() || self.init.is_none()
        );
        Inputs {
            pod: &request.pod,
            container: asked,
            image: &self.image,
            host: &shared.host,
            policy: &shared.policy,
            sources,
            volumes: &request.volumes,
            files: &self.place.files,
            isolation: isolation(request.driver),
            role: &self.role,
            ids: self.ids,
            netns: &request.attachment.netns,
            hostname: &self.hostname,
            pod_ips: &self.ips,
            root_binds: &request.image.binds,
            init: self.init.as_deref(),
        }
    }

    fn request(&self, shared: &Shared, request: &Request, bundle: Bundle) -> runtime::Request {
        let uid = request.pod.metadata.uid.as_deref().unwrap_or_default();
        runtime::Request {
            id: container_id(uid, &request.name, request.run),
            dir: self.place.dir.clone(),
            driver: request.driver,
            role: self.role.clone(),
            spec: bundle.spec,
            rootfs: self.place.rootfs.clone(),
            mounts: bundle.mounts,
            netns: Some(request.attachment.netns.clone()),
            net_sysctls: bundle.net_sysctls,
            ids: self.ids,
            log: Log {
                path: self.place.log.clone(),
                max_bytes: shared.config.log_bytes,
                max_files: shared.config.log_files.max(1),
            },
            tty: bundle.tty,
            stdin: bundle.stdin,
            stdin_once: bundle.stdin_once,
            create_timeout: CREATE_TIMEOUT,
        }
    }

    /// The container that holds a gVisor sandbox together.
    fn pause(&self, shared: &Shared, request: &Request, bundle: Bundle) -> runtime::Request {
        let uid = request.pod.metadata.uid.as_deref().unwrap_or_default();
        let (paths, name, run) = (&shared.paths, request.pause_name, request.pause_run);
        let layer = paths.layer(uid, name, run);
        runtime::Request {
            id: container_id(uid, name, run),
            dir: paths.container(uid, name, run),
            role: Role::Pause,
            rootfs: RootFs { lower: Vec::new(), upper: layer.join("upper"), work: layer.join("work") },
            log: Log { path: paths.log(uid, name, 0), max_bytes: 1 << 20, max_files: 1 },
            ..self.request(shared, request, bundle)
        }
    }
}

/// runc containers stand alone. gVisor's do if they are the only one of their Pod, else they share a sandbox.
fn role(request: &Request, uid: &str) -> Role {
    let spec = request.pod.spec.as_ref();
    let count =
        spec.map_or(0, |spec| spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len));
    if request.driver == Driver::Runc || count <= 1 {
        return Role::Alone;
    }
    Role::Member { sandbox: container_id(uid, request.pause_name, request.pause_run) }
}

/// The host's id of the sandbox's root.
pub(crate) fn first_id(driver: Driver, slot: u16) -> u32 {
    ids(driver, slot).ok().flatten().map_or(0, |ids| ids.base)
}

/// The Pod's own range of ids, for runc. gVisor has a kernel of its own instead.
fn ids(driver: Driver, slot: u16) -> Result<Option<IdRange>, Failed> {
    if driver != Driver::Runc {
        return Ok(None);
    }
    let base = u32::from(slot).checked_mul(IDS).and_then(|offset| FIRST_ID.checked_add(offset));
    let base = base.filter(|base| base.checked_add(IDS).is_some());
    let base =
        base.ok_or_else(|| waiting(reason::CREATE, "no range of user ids is left for this pod".to_owned()))?;
    Ok(Some(IdRange { base, size: IDS }))
}

fn waiting(reason: &'static str, message: String) -> Failed {
    Failed::Waiting(Trouble { reason, message })
}

fn refused(refusal: &podspec::Refusal) -> Failed {
    match refusal.reason {
        Reason::Forbidden => Failed::Refused(refusal.to_string()),
        Reason::Config => waiting(reason::CONFIG, refusal.to_string()),
    }
}

pub(super) fn runtime_failure(error: StartError) -> Failed {
    match error {
        StartError::Failed(failure) => Failed::Runtime(failure),
        other => waiting(reason::CREATE, other.to_string()),
    }
}
