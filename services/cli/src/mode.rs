//! `suspend` and `resume`.

use crate::{
    connection::Connection,
    create::judge,
    failure::{Doing as _, Failure, Result},
    sandbox::{is_suspended, not_found, sandboxes, state},
    wait::{Verdict, until},
};
use clap::Args;
use crd::v1beta1::Sandbox;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

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
    change(args, connection, "Running", "resumed", judge).await
}

async fn change(
    args: ModeArgs,
    connection: &Connection,
    mode: &str,
    done: &str,
    judge: fn(&str, Option<&Sandbox>) -> Verdict,
) -> Result<()> {
    for name in &args.names {
        set_mode(connection, name, mode).await?;
        if !args.no_wait {
            until(connection, name, Duration::from_secs(args.timeout), |seen| judge(name, seen)).await?;
        }
        println!("sandbox/{name} {done}");
    }
    Ok(())
}

async fn set_mode(connection: &Connection, name: &str, mode: &str) -> Result<()> {
    let body = json!({"spec": {"operatingMode": mode}});
    match sandboxes(connection).patch(name, &PatchParams::default(), &Patch::Merge(&body)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Err(not_found(connection, name)),
        answer => answer.map(drop).doing(|| format!("set sandbox {name:?} to {mode}")),
    }
}

fn suspended(name: &str, seen: Option<&Sandbox>) -> Verdict {
    let Some(sandbox) = seen else {
        return Verdict::Hopeless(Failure::new(format!("sandbox {name:?} is gone")));
    };
    match state(sandbox).word {
        _ if is_suspended(sandbox) => Verdict::Done,
        "Deleting" | "Expired" => {
            Verdict::Hopeless(Failure::new(format!("sandbox {name:?} is being deleted or has expired")))
        }
        _ => Verdict::Wait,
    }
}
