//! `ls`: the sandboxes of a namespace, or of all.

use crate::{
    connection::Connection,
    failure::{Doing as _, Result},
    output::{Format, document, say, table},
    runtime,
    sandbox::{get, name, rfc3339, state},
};
use clap::Args;
use crd::v1beta1::{LenientSandbox, Sandbox};
use jiff::Timestamp;
use kube::{Api, api::ListParams};
use serde_json::json;

/// Shown under `ls --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox ls
  agent-sandbox ls -A -o wide
  agent-sandbox ls -l team=rl -o name";

/// Arguments of `ls`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only this sandbox
    pub(crate) name: Option<String>,
    /// In all namespaces
    #[arg(long, short = 'A')]
    pub(crate) all_namespaces: bool,
    /// Only those with these labels
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Output format
    #[arg(long, short)]
    pub(crate) output: Option<Format>,
}

pub(crate) async fn perform(args: ListArgs, connection: &Connection) -> Result<()> {
    if let Some(name) = &args.name {
        let sandbox = get(connection, name).await?;
        return match args.output {
            Some(format @ (Format::Json | Format::Yaml)) => document(&sandbox, format),
            _ => print(&[sandbox], &args, connection).await,
        };
    }
    let found = list(&args, connection).await?;
    match args.output {
        Some(format @ (Format::Json | Format::Yaml)) => {
            document(&json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": found}), format)
        }
        _ if found.is_empty() => {
            eprintln!("No sandboxes found{}.", scope(&args, connection));
            Ok(())
        }
        _ => {
            let found: Vec<Sandbox> = found.into_iter().map(|read| read.sandbox).collect();
            print(&found, &args, connection).await
        }
    }
}

fn scope(args: &ListArgs, connection: &Connection) -> String {
    if args.all_namespaces { String::new() } else { format!(" in {} namespace", connection.namespace) }
}

async fn list(args: &ListArgs, connection: &Connection) -> Result<Vec<LenientSandbox>> {
    let api: Api<LenientSandbox> = if args.all_namespaces {
        Api::all(connection.client.clone())
    } else {
        Api::namespaced(connection.client.clone(), &connection.namespace)
    };
    let mut params =
        ListParams { label_selector: args.selector.clone(), limit: Some(500), ..ListParams::default() };
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await.doing(|| "list sandboxes".to_owned())?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}

async fn print(sandboxes: &[Sandbox], args: &ListArgs, connection: &Connection) -> Result<()> {
    if args.output == Some(Format::Name) {
        sandboxes.iter().for_each(|sandbox| say!("sandbox.agents.x-k8s.io/{}", name(sandbox)));
        return Ok(());
    }
    let wide = args.output == Some(Format::Wide);
    let mut headers = vec!["NAME", "STATUS", "RUNTIME", "AGE"];
    if args.all_namespaces {
        headers.insert(0, "NAMESPACE");
    }
    if wide {
        headers.extend(["IP", "NODE", "IMAGE", "EXPIRES", "MESSAGE"]);
    }
    let now = Timestamp::now();
    let default = if wide { runtime::default(connection).await } else { None };
    let default = default.map_or_else(|| "<default>".to_owned(), |class| format!("{class} (default)"));
    let rows: Vec<Vec<String>> =
        sandboxes.iter().map(|sandbox| row(sandbox, now, args.all_namespaces, wide, &default)).collect();
    table(&headers, &rows);
    Ok(())
}

fn row(sandbox: &Sandbox, now: Timestamp, with_namespace: bool, wide: bool, default: &str) -> Vec<String> {
    let state = state(sandbox);
    let pod = &sandbox.spec.pod_template.spec;
    let none = || "<none>".to_owned();
    let created = sandbox.metadata.creation_timestamp.as_ref().map(rfc3339);
    let mut cells = vec![
        name(sandbox).to_owned(),
        state.word.to_owned(),
        pod.runtime_class_name.clone().unwrap_or_else(|| default.to_owned()),
        wire::human_age(created.as_deref(), now),
    ];
    if with_namespace {
        cells.insert(0, sandbox.metadata.namespace.clone().unwrap_or_default());
    }
    if wide {
        let status = sandbox.status.clone().unwrap_or_default();
        cells.push(status.pod_ips.first().cloned().unwrap_or_else(none));
        cells.push(status.node_name.unwrap_or_else(none));
        cells.push(pod.containers.first().and_then(|container| container.image.clone()).unwrap_or_else(none));
        cells.push(sandbox.spec.shutdown_time.map_or_else(none, |time| time.to_string()));
        cells.push(state.message);
    }
    cells
}
