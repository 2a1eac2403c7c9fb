//! Measures a standalone installation beside the runtimes it uses, in one run: `cargo xtask bench standalone`.
//!
//! The raw side starts the same bundle (same spec, limits, root file system, a network of the same shape) by the runtime
//! directly, timed by the same harness, one raw start after each of ours. What is measured of ours is what a client sees: from the
//! request to the watch event that says Ready, over loopback HTTPS.

#![allow(clippy::print_stdout, reason = "a report is printed")]

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, process::ExitCode};

mod burst;
mod client;
mod exec;
mod mode;
mod raw;
mod report;
mod scale;
mod start;

/// The benchmark's command line.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Everything, on an installation of its own that is purged afterwards.
    Standalone {
        /// Timed rounds of each measurement.
        #[arg(long, default_value_t = 30)]
        rounds: usize,
        /// Sandboxes in the restart and memory measurement.
        #[arg(long, default_value_t = 1000)]
        sandboxes: usize,
        /// Only these measurements.
        #[arg(long, value_delimiter = ',', default_value = "start,exec,mode,burst,scale")]
        only: Vec<Part>,
    },
    /// Started by the harness inside a supervisor's namespaces: runs the runtime when told to.
    #[command(hide = true)]
    RawRunner {
        /// What to run, as JSON.
        plan: PathBuf,
    },
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// create -> Ready
    Start,
    /// A command in a running sandbox.
    Exec,
    /// Suspend and resume.
    Mode,
    /// Many at once.
    Burst,
    /// A restart with many, and what each costs in memory.
    Scale,
}

fn main() -> ExitCode {
    match run(Args::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What) -> Result<()> {
    match what {
        What::RawRunner { plan } => raw::runner::serve(&plan),
        What::Standalone { rounds, sandboxes, only } => {
            rustls::crypto::ring::default_provider()
                .install_default()
                .map_err(|_| anyhow::anyhow!("TLS provider"))?;
            tokio::runtime::Runtime::new()?.block_on(standalone(rounds, sandboxes, &only))
        }
    }
}

async fn standalone(rounds: usize, sandboxes: usize, only: &[Part]) -> Result<()> {
    let machine = system::Machine::up();
    let client = client::Client::connect(&machine.kubeconfig()).await?;
    let mut report = report::Report::new();
    scale::idle(&machine, "idle resident memory, nothing made yet", &mut report).await?;
    for class in ["runc", "gvisor"] {
        if only.contains(&Part::Start) {
            start::measure(&machine, &client, class, rounds, &mut report).await?;
        }
        if only.contains(&Part::Exec) {
            exec::measure(&machine, &client, class, rounds, &mut report).await?;
        }
        if only.contains(&Part::Mode) {
            mode::measure(&machine, &client, class, rounds.min(15), &mut report).await?;
        }
    }
    if only.contains(&Part::Burst) {
        burst::measure(&machine, &client, 100, &mut report).await?;
    }
    if only.contains(&Part::Scale) {
        scale::measure(&machine, client, sandboxes, &mut report).await?;
    }
    report.print();
    machine.purge();
    report.verdict()
}
