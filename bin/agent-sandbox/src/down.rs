//! `down`: stops what `up` started on this machine; with `--purge` it also deletes everything that was kept.

use crate::{
    contents::{self, is_ours},
    lock::Holder,
    place::{DEFAULT_DATA_DIR, Place, Running},
    standalone,
};
use clap::Args;
use cli::{Failure, Result, say};
use rustix::process::Signal;
use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

/// Shown under `down --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox down                                      with its sandboxes; the next 'up' starts them again
  agent-sandbox down --keep-running                       the agent only, for an upgrade
  agent-sandbox down --purge --yes                        and delete everything that it kept";

/// Arguments of `down`.
#[derive(Args, Debug)]
pub(crate) struct DownArgs {
    /// Data directory
    #[arg(long, default_value = DEFAULT_DATA_DIR, env = "AGENT_SANDBOX_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Stop the agent only: sandboxes go on running and the next 'up' finds them
    #[arg(long, conflicts_with = "purge")]
    keep_running: bool,
    /// Delete all sandboxes, volumes and images, and the context in the kubeconfig
    #[arg(long)]
    purge: bool,
    /// Do not ask before deleting
    #[arg(long, short)]
    yes: bool,
    /// Longest time to wait for sandboxes to stop, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
}

pub(crate) async fn perform(args: DownArgs) -> Result<()> {
    let place = Place::existing(&args.data_dir)?;
    if args.purge {
        confirm(&args, &place)?;
    }
    let record = place.last_record();
    match place.holder() {
        Some(holder) => stop(&holder, &place, &args).await?,
        None => say!("agent-sandbox does not run on {}", place.data.display()),
    }
    if args.keep_running {
        return Ok(());
    }
    // The lock is held while cleaning, so that no new 'up' starts in the middle.
    let _lock = place.lock()?;
    standalone::remove_from_host(&place).await?;
    if args.purge {
        purge(&place, record.as_ref())?;
    }
    Ok(())
}

fn confirm(args: &DownArgs, place: &Place) -> Result<()> {
    if !is_ours(&place.data) {
        return Err(Failure::new(format!(
            "{} is not a data directory of agent-sandbox: nothing was deleted",
            place.data.display()
        )));
    }
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("--purge deletes data and asks first, but standard input is no terminal")
            .remedy("add --yes"));
    }
    cli::print(format_args!("Delete all sandboxes, volumes and images in {}? [y/N] ", place.data.display()));
    let mut answer = String::new();
    let read = std::io::stdout().flush().and_then(|()| std::io::stdin().read_line(&mut answer));
    read.map_err(|error| Failure::new(format!("read the answer: {error}")))?;
    if answer.trim().eq_ignore_ascii_case("y") { Ok(()) } else { Err(Failure::new("nothing was deleted")) }
}

/// SIGINT means "with the sandboxes", SIGTERM "without": see [`crate::up`].
async fn stop(holder: &Holder, place: &Place, args: &DownArgs) -> Result<()> {
    holder.signal(if args.keep_running { Signal::TERM } else { Signal::INT })?;
    let started = Instant::now();
    while place.holder() == Some(*holder) {
        if started.elapsed() > Duration::from_secs(args.timeout) {
            return Err(Failure::new(format!("pid {} has not stopped after {} s", holder.pid, args.timeout))
                .remedy(format!(
                    "look at {}; --timeout waits longer",
                    place.data.join("agent.log").display()
                )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let what = if args.keep_running { "stopped; its sandboxes go on" } else { "stopped" };
    say!("agent-sandbox {what} (after {:.1} s)", started.elapsed().as_secs_f64());
    Ok(())
}

fn purge(place: &Place, record: Option<&Running>) -> Result<()> {
    if let Some(kubeconfig) = record.and_then(|record| record.kubeconfig.as_ref()) {
        standalone::forget_context(kubeconfig, place)?;
    }
    match std::fs::remove_dir_all(&place.run) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::new(format!("delete {}: {error}", place.run.display())));
        }
        _ => {}
    }
    let left = contents::purge(&place.data)?;
    if left.is_empty() {
        say!("{} deleted", place.data.display());
        return Ok(());
    }
    say!("everything of agent-sandbox in {} deleted; not ours, and left there:", place.data.display());
    left.iter().for_each(|path| say!("  {}", path.display()));
    Ok(())
}
