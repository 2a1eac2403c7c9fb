//! `run`: a command in a sandbox of its own, which is gone afterwards whatever happens to this process.
//!
//! **Invariant:** the sandbox carries a shutdown time less than a minute ahead, which this process keeps pushing on: if
//! it dies, even by SIGKILL, the sandbox expires and is deleted by the controller.

use crate::{
    connection::Connection,
    failure::{Doing as _, Failure, Result},
    manifest::{BUILT_IN_IMAGE, ShapeArgs},
    sandbox::sandboxes,
    terminal,
};
use clap::Args;
use crd::v1beta1::ShutdownPolicy;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use std::time::Duration;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

mod follow;

/// Shown under `run --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox run -- python3 -c 'print(6*7)'
  agent-sandbox run --runtime gvisor --memory 256Mi -- ./untrusted.sh
  agent-sandbox run --image alpine:3 -it -- sh
  cat data.csv | agent-sandbox run -i -- wc -l
The exit code is the command's; 125 means that it could not be run here. The sandbox is deleted at the end, also if this
command is killed.";

/// How far ahead the shutdown time is kept, and how often it is pushed on. A killed client's sandbox is gone within a minute.
const LEASE: SignedDuration = SignedDuration::from_secs(45);
const RENEWAL: Duration = Duration::from_secs(12);

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub(crate) shape: ShapeArgs,
    /// Name of the sandbox [default: run- and a random suffix]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Pass standard input on
    #[arg(long, short = 'i')]
    pub(crate) stdin: bool,
    /// Give the command a terminal
    #[arg(long, short = 't')]
    pub(crate) tty: bool,
    /// Longest time to wait until it has started, in seconds; it may then run as long as it likes
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Command and its arguments [default: the image's own]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

pub(crate) async fn perform(args: RunArgs, connection: &Connection) -> Result<u8> {
    if args.command.is_empty() && args.shape.image.starts_with(BUILT_IN_IMAGE) {
        return Err(Failure::new("run: the built-in image has no command of its own")
            .remedy("add one: agent-sandbox run -- COMMAND"));
    }
    let tty = terminal::wanted(args.tty);
    let name = create(&args, tty, connection).await?;
    let mut background = JoinSet::new();
    background.spawn(renew(connection.clone(), name.clone()));
    let code = tokio::select! {
        code = follow::to_the_end(&name, &args, tty, connection) => code,
        signal = interrupted() => Ok(128 + signal),
    };
    background.abort_all();
    remove(&name, connection).await;
    code
}

/// Deletes the sandbox. What the command said and how it ended stands, also where this fails.
async fn remove(name: &str, connection: &Connection) {
    match sandboxes(connection).delete(name, &DeleteParams::default()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => {
            let failure = Failure::from_kube(&format!("delete sandbox {name:?}"), error);
            eprintln!("{failure}\n  it expires by itself within a minute");
        }
    }
}

async fn create(args: &RunArgs, tty: bool, connection: &Connection) -> Result<String> {
    let mut sandbox = args.shape.sandbox(args.name.as_deref().unwrap_or_default(), &args.command)?;
    if args.name.is_none() {
        sandbox.metadata.name = None;
        sandbox.metadata.generate_name = Some("run-".to_owned());
    }
    sandbox.spec.shutdown_time = Some(lease().into());
    sandbox.spec.shutdown_policy = Some(ShutdownPolicy::Delete);
    let pod = &mut sandbox.spec.pod_template.spec;
    pod.restart_policy = Some("Never".to_owned());
    // Nobody waits for the files of a finished run.
    pod.termination_grace_period_seconds = Some(2);
    pod.containers[0].stdin = args.stdin.then_some(true);
    pod.containers[0].stdin_once = args.stdin.then_some(true);
    pod.containers[0].tty = tty.then_some(true);
    let created = sandboxes(connection).create(&PostParams::default(), &sandbox).await;
    let created = created.doing(|| "create a sandbox".to_owned())?;
    created.metadata.name.ok_or_else(|| Failure::new("the server gave the sandbox no name"))
}

fn lease() -> Time {
    let end = Timestamp::now().checked_add(LEASE).unwrap_or(Timestamp::MAX);
    Time(Timestamp::from_second(end.as_second()).unwrap_or(end))
}

async fn renew(connection: Connection, name: String) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let body = json!({"spec": {"shutdownTime": lease()}});
        // A missed renewal is made up for by the next one: three fit into a lease.
        let _ = sandboxes(&connection).patch(&name, &PatchParams::default(), &Patch::Merge(&body)).await;
    }
}

async fn interrupted() -> u8 {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
    }
}
