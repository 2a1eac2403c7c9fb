//! `apply`: manifests as they are, by server-side apply, for machines without kubectl.

use crate::{
    connection::Connection,
    failure::{Doing as _, Failure, Result},
    output::say,
    several::each,
    verdict::ready,
    wait::until,
};
use clap::Args;
use kube::{
    Api,
    api::{DynamicObject, GroupVersionKind, Patch, PatchParams},
    discovery::{self, Scope},
};
use std::{path::PathBuf, time::Duration};

/// Shown under `apply --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox apply -f examples/minimal.yaml
  agent-sandbox apply -f - --wait < sandbox.yaml";

/// The field manager of what this command applies.
const MANAGER: &str = "agent-sandbox-cli";

/// Arguments of `apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// Files with one or more YAML or JSON documents; - is standard input
    #[arg(long, short, required = true, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Take over fields that another manager set
    #[arg(long)]
    pub(crate) force: bool,
    /// Wait until every Sandbox among them is ready
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest time to wait for each, in seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

pub(crate) async fn perform(args: ApplyArgs, connection: &Connection) -> Result<()> {
    let mut objects = Vec::new();
    for file in &args.file {
        objects.extend(read(file)?);
    }
    // All are read before the first is sent, so that a typing error leaves nothing half-made; and all are sent before
    // the first is waited for, which may need one of the others.
    let mut waited: Vec<(Connection, String)> = Vec::new();
    for object in objects {
        let applied = apply(object, &args, connection).await?;
        let kind = applied.types.as_ref().map(|types| types.kind.as_str()).unwrap_or_default();
        let name = applied.metadata.name.clone().unwrap_or_default();
        say!("{}/{name} applied", kind.to_lowercase());
        if args.wait && kind == "Sandbox" {
            let space = applied.metadata.namespace.clone().unwrap_or_else(|| connection.namespace.clone());
            waited.push((Connection { namespace: space, ..connection.clone() }, name));
        }
    }
    let timeout = Duration::from_secs(args.timeout);
    each(&waited, |(there, name)| async move {
        until(there, name, timeout, |scene| ready(name, scene)).await?;
        say!("sandbox/{name} ready");
        Ok(())
    })
    .await
}

async fn apply(object: DynamicObject, args: &ApplyArgs, connection: &Connection) -> Result<DynamicObject> {
    let types = object.types.clone().ok_or_else(|| Failure::new("a document has no apiVersion and kind"))?;
    let name = object
        .metadata
        .name
        .clone()
        .ok_or_else(|| Failure::new(format!("a {} has no metadata.name", types.kind)))?;
    let doing = || format!("apply {} {name:?}", types.kind);
    let kind = GroupVersionKind::try_from(&types)
        .map_err(|error| Failure::new(format!("{}: {error}", types.api_version)))?;
    let (resource, capabilities) = discovery::pinned_kind(&connection.client, &kind).await.doing(doing)?;
    let namespace = object.metadata.namespace.as_deref().unwrap_or(&connection.namespace);
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(connection.client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(connection.client.clone(), namespace, &resource),
    };
    let mut params = PatchParams::apply(MANAGER).validation_strict();
    params.force = args.force;
    api.patch(&name, &params, &Patch::Apply(&object)).await.doing(doing)
}

fn read(file: &PathBuf) -> Result<Vec<DynamicObject>> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("read {}: {error}", file.display()));
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).map_err(|error| failed(&error))?
    } else {
        std::fs::read_to_string(file).map_err(|error| failed(&error))?
    };
    serde_saphyr::from_multiple(&text).map_err(|error| failed(&error))
}
