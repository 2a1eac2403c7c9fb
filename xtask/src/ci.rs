//! The gate: every check that needs no root and no network, in the order of its cost.

use anyhow::{Context, Result, ensure};
use std::time::Instant;

/// Runs all checks; the first failure ends the run and names the command that repeats it.
pub(crate) fn run() -> Result<()> {
    step("fmt", &["fmt", "--all", "--check"])?;
    timed("tidy", crate::tidy::run)?;
    timed("layers", crate::layers::run)?;
    timed("openapi data", crate::openapi::check)?;
    timed("CRDs", crate::crds::check)?;
    step(
        "clippy",
        &["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    )?;
    step("deny", &["deny", "--log-level", "error", "check", "bans", "licenses", "sources"])?;
    Ok(())
}

fn step(name: &str, args: &[&str]) -> Result<()> {
    timed(name, || {
        let status =
            crate::child::cargo().args(args).status().with_context(|| format!("start cargo {}", args[0]))?;
        ensure!(status.success(), "{name} failed; repeat it with: cargo {}", args.join(" "));
        Ok(())
    })
}

fn timed(name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    check()?;
    println!("gate: {name} passed in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
