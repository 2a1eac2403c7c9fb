//! `rm`: deletes sandboxes with everything they own.

use crate::{
    connection::Connection,
    failure::{Doing as _, Failure, Result},
    output::say,
    sandbox::{name, not_found},
    several::each,
    verdict::gone,
    wait::until,
};
use clap::Args;
use crd::v1beta1::LenientSandbox;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use std::time::Duration;

/// Shown under `rm --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox rm my-sandbox
  agent-sandbox rm -l team=rl --wait
  agent-sandbox rm --all";

/// Arguments of `rm`.
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// Names of the sandboxes
    #[arg(required_unless_present_any = ["all", "selector"])]
    pub(crate) names: Vec<String>,
    /// All sandboxes of the namespace
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
    /// All sandboxes with these labels
    #[arg(long, short = 'l', conflicts_with_all = ["names", "all"], value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Do not mind a sandbox that does not exist
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Wait until what they own is gone too
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest time to wait for each, in seconds
    #[arg(long, default_value_t = 120, requires = "wait", value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

pub(crate) async fn perform(args: RemoveArgs, connection: &Connection) -> Result<()> {
    let names = if args.names.is_empty() { matching(&args, connection).await? } else { args.names.clone() };
    each(&names, |name| remove(name, &args, connection)).await
}

async fn remove(name: &str, args: &RemoveArgs, connection: &Connection) -> Result<()> {
    let params = if args.wait { DeleteParams::foreground() } else { DeleteParams::default() };
    match lenient(connection).delete(name, &params).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 && args.force => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => return Err(not_found(connection, name)),
        Err(error) => return Err(Failure::from_kube(&format!("delete sandbox {name:?}"), error)),
    }
    if args.wait {
        until(connection, name, Duration::from_secs(args.timeout), |scene| gone(name, scene)).await?;
    }
    say!("sandbox/{name} deleted");
    Ok(())
}

async fn matching(args: &RemoveArgs, connection: &Connection) -> Result<Vec<String>> {
    let params = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    let list = lenient(connection).list(&params).await.doing(|| "list sandboxes".to_owned())?;
    Ok(list.items.iter().map(|read| name(&read.sandbox).to_owned()).collect())
}

/// A sandbox that cannot be read can be removed all the same.
fn lenient(connection: &Connection) -> Api<LenientSandbox> {
    Api::namespaced(connection.client.clone(), &connection.namespace)
}
