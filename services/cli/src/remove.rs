//! `rm`: deletes sandboxes with everything they own.

use crate::{
    connection::Connection,
    failure::{Doing as _, Failure, Result},
    sandbox::{name, not_found, sandboxes},
    wait::{Verdict, until},
};
use clap::Args;
use kube::api::{DeleteParams, ListParams};
use std::time::Duration;

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
}

pub(crate) async fn perform(args: RemoveArgs, connection: &Connection) -> Result<()> {
    let names = if args.names.is_empty() { matching(&args, connection).await? } else { args.names.clone() };
    let params = if args.wait { DeleteParams::foreground() } else { DeleteParams::default() };
    let mut missing = None;
    for name in &names {
        match sandboxes(connection).delete(name, &params).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 && args.force => continue,
            Err(kube::Error::Api(status)) if status.code == 404 => {
                missing = Some(not_found(connection, name));
                continue;
            }
            Err(error) => return Err(Failure::from_kube(&format!("delete sandbox {name:?}"), error)),
        }
        if args.wait {
            let gone = |seen: Option<&_>| if seen.is_none() { Verdict::Done } else { Verdict::Wait };
            until(connection, name, Duration::from_secs(120), gone).await?;
        }
        println!("sandbox/{name} deleted");
    }
    missing.map_or(Ok(()), Err)
}

async fn matching(args: &RemoveArgs, connection: &Connection) -> Result<Vec<String>> {
    let params = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    let list = sandboxes(connection).list(&params).await.doing(|| "list sandboxes".to_owned())?;
    Ok(list.items.iter().map(|sandbox| name(sandbox).to_owned()).collect())
}
