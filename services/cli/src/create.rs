//! `create`: a sandbox that stays.

use crate::{
    connection::Connection,
    expire::Expiry,
    failure::{Doing as _, Failure, Result},
    manifest::{BUILT_IN_IMAGE, ShapeArgs},
    output::{Format, document, say},
    runtime,
    sandbox::sandboxes,
    verdict::ready,
    wait::until,
};
use clap::Args;
use crd::v1beta1::{Sandbox, ShutdownPolicy};
use kube::api::PostParams;
use std::time::Duration;

/// Shown under `create --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox create my-sandbox
  agent-sandbox create worker --runtime gvisor --memory 512Mi --volume data:/data:2Gi
  agent-sandbox create web --image python:3.12-slim --service -- python3 -m http.server 8080
  agent-sandbox create scratch --expires 2h";

/// How long `sleep infinity` stands in for a command where the built-in image has none.
const IDLE: [&str; 2] = ["sleep", "infinity"];

/// Arguments of `create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Name of the sandbox
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) shape: ShapeArgs,
    /// Give the sandbox a headless Service, so that clusters resolve its name too
    #[arg(long)]
    pub(crate) service: bool,
    /// Delete the sandbox after this long, or at this time (2h, 30m, 2026-12-01T12:00:00Z)
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<Expiry>,
    /// Return at once instead of waiting until it is ready
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Longest time to wait, in seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Print the object instead of a sentence
    #[arg(long, short)]
    pub(crate) output: Option<Format>,
    /// Check everything and create nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Command to run as the sandbox's main process [default: the image's own, or idle]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

pub(crate) async fn perform(args: CreateArgs, connection: &Connection) -> Result<()> {
    let wanted = sandbox(&args)?;
    let doing = || format!("create sandbox {:?}", args.name);
    let params = PostParams { dry_run: args.dry_run, ..PostParams::default() };
    let created = sandboxes(connection).create(&params, &wanted).await.doing(doing)?;
    if connection.verbose {
        let class = created.spec.pod_template.spec.runtime_class_name.as_deref();
        eprintln!("{}", runtime::isolation(class, runtime::default(connection).await.as_deref()));
    }
    let settled = if args.no_wait || args.dry_run { created } else { wait_ready(connection, &args).await? };
    match args.output {
        Some(Format::Name) => say!("sandbox.agents.x-k8s.io/{}", args.name),
        Some(format @ (Format::Json | Format::Yaml)) => document(&settled, format)?,
        _ if args.dry_run => say!("sandbox/{} created (dry run)", args.name),
        _ if args.no_wait => say!("sandbox/{} created", args.name),
        _ => say!("sandbox/{} ready", args.name),
    }
    Ok(())
}

fn sandbox(args: &CreateArgs) -> Result<Sandbox> {
    let idle = args.command.is_empty() && args.shape.image.starts_with(BUILT_IN_IMAGE);
    let command = if idle { IDLE.map(str::to_owned).to_vec() } else { args.command.clone() };
    let mut sandbox = args.shape.sandbox(&args.name, &command)?;
    sandbox.spec.service = args.service.then_some(true);
    sandbox.spec.shutdown_time = args.expires.as_ref().map(|expiry| expiry.time().into());
    // Said also where there is no time yet: 'expire' leaves the policy as it finds it.
    sandbox.spec.shutdown_policy = Some(ShutdownPolicy::Delete);
    Ok(sandbox)
}

async fn wait_ready(connection: &Connection, args: &CreateArgs) -> Result<Sandbox> {
    let timeout = Duration::from_secs(args.timeout);
    let settled = until(connection, &args.name, timeout, |scene| ready(&args.name, scene)).await?;
    settled.sandbox.ok_or_else(|| Failure::new(format!("sandbox {:?} is gone", args.name)))
}
