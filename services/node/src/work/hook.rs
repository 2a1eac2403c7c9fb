//! Lifecycle hooks, and commands run in a container on our own account.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{LifecycleHandler, Pod};
use runtime::{Container, ExecRequest};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most of a command's output that is kept.
const OUTPUT_LIMIT: usize = 10 << 10;

/// A hook by HTTP answers within this time.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// The beginning of its output and errors, or why it was not run.
    pub(crate) output: String,
}

/// Runs the postStart hook.
///
/// # Errors
/// In the kubelet's words.
pub(crate) async fn post_start(
    container: &Container,
    pod: &Pod,
    name: &str,
    address: Option<Ipv4Addr>,
) -> Result<(), String> {
    let hooks = super::find(pod, name).and_then(|asked| asked.lifecycle.clone()).unwrap_or_default();
    run(container, pod, name, hooks.post_start, address)
        .await
        .map_err(|error| format!("PostStartHook failed: {error}"))
}

/// Runs the preStop hook.
///
/// # Errors
/// In the kubelet's words.
pub(crate) async fn pre_stop(
    container: &Container,
    pod: &Pod,
    name: &str,
    address: Option<Ipv4Addr>,
) -> Result<(), String> {
    let hooks = super::find(pod, name).and_then(|asked| asked.lifecycle.clone()).unwrap_or_default();
    run(container, pod, name, hooks.pre_stop, address)
        .await
        .map_err(|error| format!("PreStopHook failed: {error}"))
}

async fn run(
    container: &Container,
    pod: &Pod,
    name: &str,
    hook: Option<LifecycleHandler>,
    address: Option<Ipv4Addr>,
) -> Result<(), String> {
    let Some(hook) = hook else { return Ok(()) };
    if let Some(exec) = hook.exec {
        let command = exec.command.unwrap_or_default();
        let ended = command_in(container, command.clone()).await?;
        let said = format!(
            "Exec lifecycle hook ({command:?}) for Container {name:?} failed - error: command exited with {}: {}",
            ended.code, ended.output
        );
        return if ended.code == 0 { Ok(()) } else { Err(said) };
    }
    if let Some(sleep) = hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or_default())).await;
        return Ok(());
    }
    if let Some(get) = hook.http_get {
        let asked = super::find(pod, name).ok_or("the container is not in the pod")?;
        let address = address.ok_or("the pod has no address")?;
        let answer = super::http::get(&get, asked, address, HTTP_TIMEOUT).await?;
        return if answer.status < 400 { Ok(()) } else { Err(format!("HTTP status {}", answer.status)) };
    }
    Err("this kind of hook is not supported; use exec, httpGet or sleep".to_owned())
}

/// Runs a command to its end. Dropping the future kills it.
///
/// # Errors
/// The command could not be tried.
pub(crate) async fn command_in(container: &Container, command: Vec<String>) -> Result<Ended, String> {
    let request = ExecRequest { command, env: Vec::new(), cwd: None, stdin: false, tty: false, size: None };
    let exec = container.exec(&request).map_err(|error| error.to_string())?;
    let mut exec = Killed(exec);
    let (stdout, stderr) = (exec.0.stdout.take(), exec.0.stderr.take());
    let (out, err, exit) = tokio::join!(beginning(stdout), beginning(stderr), exec.0.wait());
    let exit = exit.map_err(|error| error.to_string())?;
    let output = exit.error.unwrap_or_else(|| String::from_utf8_lossy(&[out, err].concat()).into_owned());
    Ok(Ended { code: exit.code, output })
}

/// A command that ends with whoever waits for it.
struct Killed(runtime::Exec);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill();
    }
}

async fn beginning(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(size @ 1..) = stream.read(&mut piece).await {
        let room = OUTPUT_LIMIT.saturating_sub(kept.len()).min(size);
        kept.extend_from_slice(&piece[..room]);
    }
    kept
}
