//! `status`: whether this machine's agent-sandbox runs, where, and what it holds.

use crate::place::{DEFAULT_DATA_DIR, Place, Running};
use clap::Args;
use cli::{Failure, Result};
use crd::{conditions, v1beta1::Sandbox};
use kube::{
    Api,
    api::ListParams,
    config::{Config, KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use std::path::PathBuf;

/// The exit code for "does not run", as service managers use it.
const NOT_RUNNING: u8 = 3;

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
            Some(_) => println!("{}", json!({"running": false, "dataDir": args.data_dir})),
            None => println!(
                "agent-sandbox does not run on {}; start it with 'agent-sandbox up --detach'",
                args.data_dir.display()
            ),
        }
        return Ok(NOT_RUNNING);
    };
    let census = count(&place).await?;
    let memory = resident_mebibytes(running.pid);
    match args.output {
        Some(_) => println!("{}", document(&place, &running, &census, memory)),
        None => print(&place, &running, &census, memory),
    }
    Ok(0)
}

fn document(place: &Place, running: &Running, census: &Census, memory: Option<u64>) -> serde_json::Value {
    json!({
        "running": true, "pid": running.pid, "server": running.server, "version": running.version,
        "dataDir": place.data, "residentMiB": memory,
        "sandboxes": {"total": census.total, "ready": census.ready, "suspended": census.suspended},
    })
}

fn print(place: &Place, running: &Running, census: &Census, memory: Option<u64>) {
    println!("agent-sandbox {} runs", running.version);
    println!("  server     {}", running.server);
    println!("  data       {}", place.data.display());
    println!(
        "  process    {}{}",
        running.pid,
        memory.map_or_else(String::new, |mib| format!(", {mib} MiB resident"))
    );
    println!("  sandboxes  {census}");
}

// === impl Census ===

impl Census {
    /// Counts Sandboxes by what their conditions say.
    pub(crate) fn of(sandboxes: &[Sandbox]) -> Self {
        let is = |sandbox: &&Sandbox, kind: &str| {
            let condition = sandbox.status.as_ref().and_then(|status| status.condition(kind));
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

async fn count(place: &Place) -> Result<Census> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("ask the server: {error}"));
    let kubeconfig = Kubeconfig::read_from(own_kubeconfig(place))
        .map_err(|error| failed(&error).remedy("run this as the user who started it, or with sudo"))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client =
        kube::Client::try_from(config.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    let list =
        Api::<Sandbox>::all(client).list(&ListParams::default()).await.map_err(|error| failed(&error))?;
    Ok(Census::of(&list.items))
}

/// Resident memory of a process in MiB.
pub(crate) fn resident_mebibytes(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kib| kib / 1024)
}
