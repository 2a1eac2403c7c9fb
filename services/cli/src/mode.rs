//! `suspend` and `resume`.

use crate::{
    connection::Connection,
    failure::{Doing as _, Result},
    output::say,
    sandbox::{not_found, sandboxes},
    several::each,
    verdict::{Verdict, ready, suspended},
    wait::{Scene, until},
};
use clap::Args;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

/// Shown under `suspend --help`.
pub(crate) const SUSPEND_EXAMPLES: &str = "Examples:
  agent-sandbox suspend my-sandbox
  agent-sandbox suspend one two three --no-wait";

/// Shown under `resume --help`.
pub(crate) const RESUME_EXAMPLES: &str = "Examples:
  agent-sandbox resume my-sandbox
  agent-sandbox resume one two three --timeout 300";

/// Arguments of `suspend` and `resume`.
#[derive(Args, Debug)]
pub struct ModeArgs {
    /// Names of the sandboxes
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// Return at once instead of waiting until it is done
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Longest time to wait for each, in seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

pub(crate) async fn suspend(args: ModeArgs, connection: &Connection) -> Result<()> {
    change(args, connection, "Suspended", "suspended", suspended).await
}

pub(crate) async fn resume(args: ModeArgs, connection: &Connection) -> Result<()> {
    change(args, connection, "Running", "resumed", ready).await
}

async fn change(
    args: ModeArgs,
    connection: &Connection,
    mode: &str,
    done: &str,
    judge: fn(&str, &Scene) -> Verdict,
) -> Result<()> {
    let timeout = Duration::from_secs(args.timeout);
    each(&args.names, |name| async move {
        set_mode(connection, name, mode).await?;
        if !args.no_wait {
            until(connection, name, timeout, |scene| judge(name, scene)).await?;
        }
        say!("sandbox/{name} {done}");
        Ok(())
    })
    .await
}

async fn set_mode(connection: &Connection, name: &str, mode: &str) -> Result<()> {
    let body = json!({"spec": {"operatingMode": mode}});
    match sandboxes(connection).patch(name, &PatchParams::default(), &Patch::Merge(&body)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Err(not_found(connection, name)),
        answer => answer.map(drop).doing(|| format!("set sandbox {name:?} to {mode}")),
    }
}
