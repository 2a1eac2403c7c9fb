//! `status`: whether this machine's agent-sandbox runs, where, and what it holds.

use crate::{
    certificates,
    place::{DEFAULT_DATA_DIR, Place, Running},
};
use clap::Args;
use cli::{Failure, Result, say};
use crd::{conditions, v1beta1::LenientSandbox};
use kube::{
    Api,
    api::ListParams,
    config::{Config, KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use std::path::PathBuf;

/// The exit code for "does not run", as service managers use it.
const NOT_RUNNING: u8 = 3;

/// Shown under `status --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox status
  agent-sandbox status -o json --data-dir /srv/sandboxes
The exit code is 3 where it does not run.";

/// Arguments of `status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Data directory
    #[arg(long, default_value = DEFAULT_DATA_DIR, env = "AGENT_SANDBOX_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long, short, value_parser = ["json"])]
    output: Option<String>,
}

/// How many sandboxes there are, and how many of them are ready or suspended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) total: usize,
    pub(crate) ready: usize,
    pub(crate) suspended: usize,
}

/// The number is the exit code: 0 runs, 3 does not.
pub(crate) async fn perform(args: StatusArgs) -> Result<u8> {
    let place = Place::existing(&args.data_dir).ok();
    let running = place.as_ref().and_then(Place::running);
    let (Some(place), Some(running)) = (place, running) else {
        match args.output {
            Some(_) => say!("{}", json!({"running": false, "dataDir": args.data_dir})),
            None => say!(
                "agent-sandbox does not run on {}; start it with 'agent-sandbox up --detach'",
                args.data_dir.display()
            ),
        }
        return Ok(NOT_RUNNING);
    };
    let census = count(&place, &running).await;
    let memory = resident_mebibytes(running.pid);
    match args.output {
        Some(_) => say!("{}", document(&place, &running, census.as_ref().ok(), memory)),
        None => print(&place, &running, &census, memory),
    }
    Ok(0)
}

fn document(
    place: &Place,
    running: &Running,
    census: Option<&Census>,
    memory: Option<u64>,
) -> serde_json::Value {
    let sandboxes = census
        .map(|census| json!({"total": census.total, "ready": census.ready, "suspended": census.suspended}));
    json!({
        "running": true, "pid": running.pid, "server": running.server, "version": running.version,
        "dataDir": place.data, "residentMiB": memory, "defaultRuntime": running.default_runtime,
        "sandboxes": sandboxes,
        // Readable by root only.
        "certificatesUntil": certificates::report(place).map(|report| report.document),
    })
}

fn print(place: &Place, running: &Running, census: &Result<Census>, memory: Option<u64>) {
    say!("agent-sandbox {} runs", running.version);
    say!("  server     {}", running.server);
    say!("  data       {}", place.data.display());
    say!(
        "  process    {}{}",
        running.pid,
        memory.map_or_else(String::new, |mib| format!(", {mib} MiB resident"))
    );
    if let Some(class) = &running.default_runtime {
        let shared = if class == "runc" { ", a shared kernel: not for code you do not trust" } else { "" };
        say!("  isolation  {class} by default{shared}");
    }
    if let Some(report) = certificates::report(place) {
        say!("  certs      {}", report.line);
        if let Some((what, fix)) = report.problem {
            say!("  warning    {what} -> {fix}");
        }
    }
    match census {
        Ok(census) => say!("  sandboxes  {census}"),
        Err(failure) => say!("  sandboxes  unknown: {}", failure.to_string().trim_start_matches("error: ")),
    }
}

// === impl Census ===

impl Census {
    /// Counts Sandboxes by what their conditions say.
    pub(crate) fn of(sandboxes: &[LenientSandbox]) -> Self {
        let is = |read: &&LenientSandbox, kind: &str| {
            let condition = read.sandbox.status.as_ref().and_then(|status| status.condition(kind));
            condition.is_some_and(|condition| condition.status == "True")
        };
        Self {
            total: sandboxes.len(),
            ready: sandboxes.iter().filter(|sandbox| is(sandbox, conditions::READY)).count(),
            suspended: sandboxes.iter().filter(|sandbox| is(sandbox, conditions::SUSPENDED)).count(),
        }
    }
}

impl std::fmt::Display for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ready, {} suspended", self.total, self.ready, self.suspended)
    }
}

/// The kubeconfig that `up` keeps in its data directory, readable by root only.
pub(crate) fn own_kubeconfig(place: &Place) -> PathBuf {
    place.data.join("kubeconfig")
}

/// Asks with the data directory's own kubeconfig, which is root's; whoever started `up` with sudo has the context too.
async fn count(place: &Place, running: &Running) -> Result<Census> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("ask the server: {error}"));
    let own = Kubeconfig::read_from(own_kubeconfig(place)).map(|own| (own, None));
    let theirs = || {
        let found = Kubeconfig::read_from(running.kubeconfig.as_ref()?).ok()?;
        Some((found, Some(running.context.clone()?)))
    };
    let (kubeconfig, context) = own
        .or_else(|error| theirs().ok_or(error))
        .map_err(|error| failed(&error).remedy("run this as the user who started it, or with sudo"))?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let client =
        kube::Client::try_from(config.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    let list = Api::<LenientSandbox>::all(client)
        .list(&ListParams::default())
        .await
        .map_err(|error| failed(&error))?;
    Ok(Census::of(&list.items))
}

/// Resident memory of a process in MiB.
pub(crate) fn resident_mebibytes(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kib| kib / 1024)
}
