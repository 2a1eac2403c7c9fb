//! The work behind the steps: functions that know nothing of plans and change no facts.

pub(crate) mod api;
pub(crate) mod cleanup;
pub(crate) mod disk;
mod grpc;
pub(crate) mod hook;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod network;
mod pause;
pub(crate) mod probe;
pub(crate) mod start;
pub(crate) mod tls;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container as Asked, Pod};
use lifecycle::pod::reason;
use podspec::Volume;
use runtime::Container;

use crate::shared::{Shared, Teller};
use crate::volumes::Maker;

pub(crate) use pause::Pause;

/// How a container's id begins in its status.
const SCHEME: &str = "agent-sandbox://";

/// After its preStop hook a container gets at least this long.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// The longest termination message kept, in bytes.
const MESSAGE_LIMIT: u64 = 4096;

/// Why something could not be made.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// The waiting reason.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

pub(crate) fn container_id(container: &Container) -> String {
    id_text(container.id())
}

pub(crate) fn id_text(id: &str) -> String {
    format!("{SCHEME}{id}")
}

/// The container of this name, of either list.
pub(crate) fn find<'p>(pod: &'p Pod, name: &str) -> Option<&'p Asked> {
    let spec = pod.spec.as_ref()?;
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .find(|container| container.name == name)
}

/// The Sandbox that controls the Pod, as namespace and name.
pub(crate) fn sandbox_name(pod: &Pod) -> Option<(String, String)> {
    let owner = owner(pod).filter(|owner| owner.kind == "Sandbox")?;
    Some((pod.metadata.namespace.clone()?, owner.name.clone()))
}

/// The object that controls the Pod.
pub(crate) fn owner(pod: &Pod) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether a volume of the Pod shows the Pod's address.
pub(crate) fn needs_address(pod: &Pod) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    volumes.iter().any(|volume| volume.downward_api.is_some() || volume.projected.is_some())
}

/// Whether the Pod has a volume in memory.
pub(crate) fn has_memory(pod: &Pod) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let empty = volumes.iter().filter_map(|volume| volume.empty_dir.as_ref());
    empty.into_iter().any(|empty| empty.medium.as_deref() == Some("Memory"))
}

/// Makes the Pod's volumes.
pub(crate) async fn volumes(
    shared: &Shared,
    pod: &Pod,
    ips: &[String],
    first_id: u32,
) -> Result<BTreeMap<String, Volume>, Trouble> {
    let made = maker(shared, pod, ips, first_id).make().await;
    made.map_err(|failure| Trouble { reason: reason::CREATING, message: failure.to_string() })
}

/// Makes the files that show objects anew, where they have changed. Containers that mount a single one of them with
/// `subPath` keep what they have, as in Kubernetes.
pub(crate) async fn refresh_volumes(shared: &Shared, pod: &Pod, ips: &[String]) -> Result<(), Trouble> {
    let made = maker(shared, pod, ips, 0).refresh().await;
    made.map_err(|failure| Trouble { reason: reason::CREATING, message: failure.to_string() })
}

fn maker<'a>(shared: &'a Shared, pod: &'a Pod, ips: &'a [String], first_id: u32) -> Maker<'a> {
    Maker {
        client: &shared.client,
        sources: &shared.sources,
        paths: &shared.paths,
        host: &shared.host,
        pod,
        pod_ips: ips,
        first_id,
        now: shared.now(),
        host_paths: &shared.policy.host_paths,
    }
}

/// Removes what the containers of a Pod that was evicted wrote. Kept layers and persistent volumes stay.
pub(crate) async fn free(shared: &Shared, uid: &str) -> Result<(), String> {
    let (paths, uid) = (shared.paths.clone(), uid.to_owned());
    let removed = tokio::task::spawn_blocking(move || {
        crate::volumes::release_memory(&paths, &uid)?;
        cleanup::remove(&paths.pod_volumes(&uid))?;
        cleanup::remove(&paths.layers(&uid))
    });
    let removed = removed.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    removed.map_err(|error| format!("directory of the pod: {error}"))
}

/// The bytes of disk that a container asks for.
pub(crate) fn requested_disk(container: &Asked) -> Option<u64> {
    let asked = container.resources.as_ref()?.requests.as_ref()?.get("ephemeral-storage")?;
    u64::try_from(podspec::quantity::millis(&asked.0)? / 1000).ok()
}

/// The directories of the persistent volumes among these.
pub(crate) fn claims(shared: &Shared, volumes: &BTreeMap<String, Volume>) -> Vec<std::path::PathBuf> {
    let all = shared.paths.persistent_volumes();
    let dirs = volumes.values().filter_map(|volume| match volume {
        Volume::Dir { path, .. } => Some(path.clone()),
        Volume::Memory { .. } | Volume::Host { .. } => None,
    });
    dirs.filter(|path| path.starts_with(&all)).collect()
}

/// Stops a container: its preStop hook, its stop signal, and the kill when the time is up.
pub(crate) async fn stop(
    container: &Container,
    name: &str,
    hook: Option<(Arc<Pod>, Option<Ipv4Addr>)>,
    signal: Option<&str>,
    left: Duration,
    teller: &Teller,
) -> bool {
    let begun = Instant::now();
    let mut least = Duration::ZERO;
    if let Some((pod, address)) = hook.filter(|_| !left.is_zero()) {
        let ran = tokio::time::timeout(left, hook::pre_stop(container, &pod, name, address)).await;
        let message = match ran {
            Ok(Ok(())) => None,
            Ok(Err(message)) => Some(message),
            Err(_) => Some("PreStopHook did not complete in its grace period".to_owned()),
        };
        if let Some(message) = message {
            teller.of(name, true, "FailedPreStopHook", message);
        }
        least = LEAST_GRACE;
    }
    let left = left.saturating_sub(begun.elapsed()).max(least);
    signal_and_wait(container, signal, left).await
}

/// Sends the stop signal, waits, and kills.
/// False if it could not be told.
pub(crate) async fn signal_and_wait(container: &Container, signal: Option<&str>, left: Duration) -> bool {
    let signal = signal.and_then(signal_number).unwrap_or(15);
    let stopped = container.stop(signal, left).await;
    if let Err(error) = &stopped {
        tracing::warn!(id = container.id(), %error, "container could not be stopped");
    }
    stopped.is_ok()
}

/// Waits for the end. A record that cannot be read is an end that nobody saw.
pub(crate) async fn wait(container: &Container) -> runtime::Exit {
    match container.wait().await {
        Ok(exit) => exit,
        Err(error) => {
            tracing::warn!(id = container.id(), %error, "the end of a container was not recorded");
            let started_at = container.started_at().to_owned();
            runtime::Exit {
                exit_code: 137,
                signal: None,
                started_at,
                finished_at: String::new(),
                oom_killed: false,
                lost: true,
            }
        }
    }
}

/// The number of a signal as images write it: `SIGTERM`, `TERM` or `15`.
fn signal_number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = name.strip_prefix("RTMIN+") {
        return offset.parse::<i32>().ok().map(|offset| 34 + offset).filter(|number| *number <= 64);
    }
    const NAMES: [(&str, i32); 12] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("WINCH", 28),
        ("PWR", 30),
    ];
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The termination message of a run: the file the container wrote, or the end of its log if it asks for that.
pub(crate) async fn message(
    shared: &Shared,
    pod: &Pod,
    name: &str,
    dir: &Path,
    exit: &runtime::Exit,
) -> String {
    let file = dir.join(start::TERMINATION_LOG);
    if let Some(text) = end_of(&file).await.filter(|text| !text.is_empty()) {
        return text;
    }
    let asked = find(pod, name).and_then(|container| container.termination_message_policy.as_deref());
    if asked != Some("FallbackToLogsOnError") || exit.exit_code == 0 {
        return String::new();
    }
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    last_words(shared, uid, name).await
}

async fn end_of(path: &Path) -> Option<String> {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await.ok()?;
    file.take(MESSAGE_LIMIT).read_to_end(&mut bytes).await.ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines of the newest log, at most 2048 bytes.
async fn last_words(shared: &Shared, uid: &str, name: &str) -> String {
    let dir = shared.paths.logs(uid, name);
    let newest = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = newest
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .max_by_key(|path| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok()));
    let Some(path) = newest else { return String::new() };
    let (to, mut from) = tokio::sync::mpsc::channel(128);
    let (_alive, running) = tokio::sync::watch::channel(false);
    let options = crate::logs::Options { tail: Some(80), ..Default::default() };
    let read = async move { crate::logs::send(&path, &options, running, &to).await };
    let collect = async {
        let mut text = Vec::new();
        while let Some(piece) = from.recv().await {
            text.extend_from_slice(&piece);
        }
        text
    };
    let (_, text) = tokio::join!(read, collect);
    let from = text.len().saturating_sub(2048);
    String::from_utf8_lossy(&text[from..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_images_write_them() {
        for (text, number) in [("SIGTERM", 15), ("int", 2), ("9", 9), ("SIGRTMIN+3", 37), ("PWR", 30)] {
            assert_eq!(signal_number(text), Some(number), "{text}");
        }
        for bad in ["", "SIGNOTHING", "0", "99", "-1"] {
            assert_eq!(signal_number(bad), None, "{bad}");
        }
    }
}
