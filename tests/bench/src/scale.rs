//! Start on a full data directory, and memory per suspended Sandbox.

use crate::{
    client::{Client, Until, sandbox},
    report::{Report, ms},
};
use anyhow::{Context as _, Result, ensure};
use crd::v1beta1::{OperatingMode, VolumeClaimTemplate};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use std::{process::Command, time::Duration};
use system::{Machine, Output};

/// How many of the Sandboxes run.
const RUNNING: usize = 50;
/// Requests under way at once while filling.
const WIDTH: usize = 16;

pub(crate) async fn measure(
    machine: &Machine,
    client: Client,
    sandboxes: usize,
    report: &mut Report,
) -> Result<()> {
    let idle = idle(machine, "idle resident memory, after all that", report).await?;
    let suspended = sandboxes.saturating_sub(RUNNING);
    fill(&client, 0..suspended, true).await?;
    settle().await;
    let full = resident_kib(machine.pid())?;
    let each = full.saturating_sub(idle) as f64 / suspended as f64;
    report.add(
        "memory per suspended Sandbox with PVC and Service",
        format!("{each:.1} KiB"),
        "-".to_owned(),
        "12 KiB".to_owned(),
        each < 12.0,
    );
    fill(&client, suspended..sandboxes, false).await?;
    drop(client);
    let took = restart(machine)?;
    let kept = took < Duration::from_secs(1);
    report.add(
        &format!("up to serving, {sandboxes} Sandboxes, {RUNNING} running"),
        ms(took),
        "-".to_owned(),
        "1 s".to_owned(),
        kept,
    );
    Ok(())
}

/// Resident memory while nothing is asked of it, in KiB.
pub(crate) async fn idle(machine: &Machine, what: &str, report: &mut Report) -> Result<u64> {
    settle().await;
    let idle = resident_kib(machine.pid())?;
    let text = format!("{:.1} MiB", idle as f64 / 1024.0);
    report.add(what, text, "-".to_owned(), "60 MiB".to_owned(), idle < 60 * 1024);
    Ok(idle)
}

async fn fill(client: &Client, numbers: std::ops::Range<usize>, suspended: bool) -> Result<()> {
    let one = |number: usize| async move {
        let name = format!("full-{number}");
        let mut wanted = sandbox(&name, "runc")?;
        if suspended {
            wanted.spec.operating_mode = Some(OperatingMode::Suspended);
            wanted.spec.service = Some(true);
            wanted.spec.volume_claim_templates = Some(vec![volume()?]);
        }
        client.create(&wanted).await?;
        client.wait(&name, if suspended { Until::Suspended } else { Until::Ready }).await?;
        anyhow::Ok(())
    };
    futures::stream::iter(numbers).map(one).buffer_unordered(WIDTH).try_collect().await
}

fn volume() -> Result<VolumeClaimTemplate> {
    let value = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    Ok(serde_json::from_value(value)?)
}

/// Stops the agent only, and starts it again on the same directory; what `up` itself says it took.
fn restart(machine: &Machine) -> Result<Duration> {
    let data = machine.data().display().to_string();
    machine.cli(&["down", "--keep-running", "--data-dir", &data]).ok();
    let said = machine.start().ok();
    let took = said
        .split("is up after ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .context("no time in the banner")?;
    let seconds: f64 = took.parse()?;
    let pids = Output::of(Command::new("pgrep").args(["-fc", "^agent-sandbox-supervisor run"])).out;
    ensure!(pids.trim().parse::<usize>()? >= RUNNING, "sandboxes were lost: {pids}");
    Ok(Duration::from_secs_f64(seconds))
}

/// Memory is read when the work of the last change is over.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

fn resident_kib(pid: i32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
