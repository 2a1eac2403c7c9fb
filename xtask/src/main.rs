//! The project's own chores, reachable as `cargo xtask <chore>`; CI runs `cargo xtask ci`.

#![allow(clippy::print_stdout, reason = "a command-line tool prints")]

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

mod bench;
mod child;
mod ci;
mod crds;
mod differential;
mod fuzz;
mod layers;
mod metadata;
mod openapi;
mod tidy;

/// Chores of the Agent Sandbox workspace.
#[derive(Parser)]
#[command(name = "xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// The gate: formatting, lints, layers, sizes, generated files, licences. What CI runs.
    Ci,
    /// Measurements beside what users would pick instead; see SPECIFICATION.md.
    #[command(subcommand)]
    Bench(bench::What),
    /// File sizes and house rules that clippy does not know.
    Tidy,
    /// Which crate may import which (ARCHITECTURE.md, "Layers").
    Layers,
    /// Writes the CustomResourceDefinitions, or checks that they are up to date.
    Crds(crds::Options),
    /// Compares the embedded API server with a real one; see tests/differential/README.md.
    Differential(differential::Options),
    /// Runs the fuzz targets for long; see tests/fuzz.
    Fuzz(fuzz::Options),
    /// Writes the bundled part of Kubernetes' OpenAPI documents, or checks it.
    Openapi(openapi::Options),
}

fn main() -> ExitCode {
    match run(Args::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<()> {
    match chore {
        Chore::Ci => ci::run(),
        Chore::Bench(what) => bench::run(&what),
        Chore::Tidy => tidy::run(),
        Chore::Layers => layers::run(),
        Chore::Crds(options) => crds::run(&options),
        Chore::Differential(options) => differential::run(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Openapi(options) => openapi::run(&options),
    }
}
