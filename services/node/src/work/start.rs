//! Starts one container: builds its spec, and hands it to the runtime.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crd::names::annotation;
use k8s_openapi::api::core::v1::{Container as Asked, Pod};
use lifecycle::pod::reason;
use net::{Attach, Attachment};
use podspec::{Bundle, Files, IdRange, Inputs, Isolation, Reason, Role, Volume};
use runtime::{Container, Driver, Log, RootFs, StartError, StartFailure, container_id, read_in_rootfs};

use super::{Pause, Trouble, cleanup, owner};
use crate::images::Local;
use crate::paths::Paths;
use crate::shared::Shared;

/// The name that the container of a gVisor sandbox with several containers goes by.
pub(crate) const PAUSE: &str = "pause";

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
    let _turn = shared.starts.acquire().await;
    let asked = super::find(&request.pod, &request.name)
        .ok_or_else(|| waiting(reason::CREATE, format!("container {} is not in the pod", request.name)))?;
    let namespace = request.pod.metadata.namespace.as_deref().unwrap_or_default();
    let environment = shared.sources.environment(namespace, asked).await;
    let environment = environment.map_err(|message| waiting(reason::CONFIG, message))?;
    let place = place(shared, request)
        .await
        .map_err(|error| waiting(reason::CREATE, format!("directories of the container: {error}")))?;
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
    let started = shared.runtimes.start(scene.request(shared, request, bundle)).await;
    started.map_err(runtime_failure)
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
    let asked = pod.metadata.annotations.as_ref().and_then(|all| all.get(annotation::KEEP_ROOT));
    match owner(pod).filter(|_| asked.is_some_and(|value| value == "true")) {
        Some(owner) if crate::paths::is_plain(&owner.uid) => paths.kept_layer(&owner.uid, container),
        _ => paths.layer(uid, container, run),
    }
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

/// Everything on disk that one run needs.
struct Place {
    dir: PathBuf,
    rootfs: RootFs,
    files: Files,
    log: PathBuf,
}

async fn place(shared: &Shared, request: &Request) -> io::Result<Place> {
    let uid = request.pod.metadata.uid.as_deref().unwrap_or_default();
    let (paths, name, run) = (&shared.paths, &request.name, request.run);
    let dir = paths.container(uid, name, run);
    let layer = layer(paths, &request.pod, name, run);
    let place = Place {
        rootfs: RootFs {
            lower: request.image.layers.clone(),
            upper: layer.join("upper"),
            work: layer.join("work"),
        },
        files: Files {
            resolv_conf: Some(paths.pod(uid).join("resolv.conf")),
            hosts: Some(paths.pod(uid).join("hosts")),
            hostname: Some(paths.pod(uid).join("hostname")),
            termination_log: Some(dir.join(TERMINATION_LOG)),
        },
        log: paths.log(uid, name, request.restarts),
        dir,
    };
    let files = pod_files(shared, request);
    let old = (run > 1).then(|| (paths.container(uid, name, run - 1), paths.layer(uid, name, run - 1)));
    let (dir, log, pod_dir) = (place.dir.clone(), place.log.clone(), paths.pod(uid));
    let stale = request.restarts.checked_sub(2).map(|old| paths.log(uid, name, old));
    let work = move || prepare(&dir, &log, &pod_dir, &files, old, stale);
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??;
    Ok(place)
}

fn prepare(
    dir: &Path,
    log: &Path,
    pod_dir: &Path,
    files: &[(&'static str, String)],
    old: Option<(PathBuf, PathBuf)>,
    stale_log: Option<PathBuf>,
) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    cleanup::remove(dir)?;
    if let Some((records, layer)) = old {
        cleanup::remove(&records)?;
        cleanup::remove(&layer)?;
    }
    if let Some(stale) = stale_log {
        let _ = std::fs::remove_file(stale);
    }
    std::fs::create_dir_all(dir)?;
    std::fs::create_dir_all(log.parent().unwrap_or(dir))?;
    let last_words = dir.join(TERMINATION_LOG);
    std::fs::write(&last_words, b"")?;
    std::fs::set_permissions(&last_words, std::fs::Permissions::from_mode(0o666))?;
    for (name, text) in files {
        std::fs::write(pod_dir.join(name), text)?;
    }
    Ok(())
}

/// `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname` as the kubelet writes them.
fn pod_files(shared: &Shared, request: &Request) -> [(&'static str, String); 3] {
    let namespace = request.pod.metadata.namespace.as_deref().unwrap_or_default();
    let host = hostname(&request.pod);
    let address = request.attachment.address;
    let spec = request.pod.spec.as_ref();
    let domain = spec.and_then(|spec| spec.subdomain.as_ref());
    let full = domain.map(|sub| format!("{host}.{sub}.{namespace}.svc.{}\t", shared.config.cluster_domain));
    let mut hosts = format!(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n\
         {address}\t{}{host}\n",
        full.unwrap_or_default(),
    );
    for alias in spec.and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default() {
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        hosts.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    let resolv = resolv_conf(&request.pod, shared.network.resolv_conf(namespace));
    [("resolv.conf", resolv), ("hosts", hosts), ("hostname", format!("{host}\n"))]
}

/// The Pod's own `dnsConfig` over what the network says.
fn resolv_conf(pod: &Pod, network: String) -> String {
    let spec = pod.spec.as_ref();
    let own = spec.and_then(|spec| spec.dns_config.clone()).unwrap_or_default();
    let none = spec.and_then(|spec| spec.dns_policy.as_deref()) == Some("None");
    let mut text = if none { String::new() } else { network };
    for server in own.nameservers.into_iter().flatten() {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if let Some(searches) = own.searches.filter(|searches| !searches.is_empty()) {
        text.push_str(&format!("search {}\n", searches.join(" ")));
    }
    for option in own.options.into_iter().flatten() {
        let value = option.value.map(|value| format!(":{value}")).unwrap_or_default();
        text.push_str(&format!("options {}{value}\n", option.name.unwrap_or_default()));
    }
    text
}

fn hostname(pod: &Pod) -> String {
    let asked = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
    let name =
        asked.filter(|name| !name.is_empty()).or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
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
        let read = |path: &str| {
            let bytes = read_in_rootfs(&place.rootfs, path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let image = podspec::Image {
            passwd: read("/etc/passwd"),
            group: read("/etc/group"),
            ..request.image.config.clone()
        };
        let uid = request.pod.metadata.uid.as_deref().unwrap_or_default();
        let role = role(request, uid);
        let asks_init = request.pod.metadata.annotations.as_ref().and_then(|all| all.get(annotation::INIT));
        let asks_init = asks_init.is_some_and(|value| value == "true") || role != Role::Alone;
        Ok(Self {
            image,
            ids: ids(request)?,
            hostname: hostname(&request.pod),
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
        let (paths, run) = (&shared.paths, request.pause_run);
        let layer = paths.layer(uid, PAUSE, run);
        runtime::Request {
            id: container_id(uid, PAUSE, run),
            dir: paths.container(uid, PAUSE, run),
            role: Role::Pause,
            rootfs: RootFs { lower: Vec::new(), upper: layer.join("upper"), work: layer.join("work") },
            log: Log { path: paths.log(uid, PAUSE, 0), max_bytes: 1 << 20, max_files: 1 },
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
    Role::Member { sandbox: container_id(uid, PAUSE, request.pause_run) }
}

/// The Pod's own range of ids, for runc. gVisor has a kernel of its own instead.
fn ids(request: &Request) -> Result<Option<IdRange>, Failed> {
    if request.driver != Driver::Runc {
        return Ok(None);
    }
    let base =
        u32::from(request.attachment.slot).checked_mul(IDS).and_then(|offset| FIRST_ID.checked_add(offset));
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
