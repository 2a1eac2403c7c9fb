//! Many sandboxes created at once, beside the runtime started as many times in parallel.

use crate::{
    client::{Client, Until, sandbox},
    raw::{Container, Raw},
    report::{Report, ms},
};
use anyhow::Result;
use futures::future::try_join_all;
use std::time::Instant;
use system::Machine;

pub(crate) async fn measure(
    machine: &Machine,
    client: &Client,
    count: usize,
    report: &mut Report,
) -> Result<()> {
    client.create(&sandbox("model", "runc")?).await?;
    client.wait("model", Until::Ready).await?;
    let container = Container::find(&machine.data(), &client.pod_uid("model").await?)?;
    let mut raw = Raw::beside(&container, machine.scratch())?;
    raw.start()?;
    let theirs = raw.burst(count)?;
    drop(raw);
    let names: Vec<String> = (0..count).map(|number| format!("burst-{number}")).collect();
    let sandboxes = names.iter().map(|name| sandbox(name, "runc")).collect::<Result<Vec<_>>>()?;
    let sent = Instant::now();
    try_join_all(sandboxes.iter().map(|sandbox| client.create(sandbox))).await?;
    let ours = client.wait_ready(&names).await?.duration_since(sent);
    try_join_all(names.iter().map(|name| client.delete(name))).await?;
    client.delete("model").await?;
    let rate = |took: std::time::Duration| count as f64 / took.as_secs_f64();
    let kept = rate(ours) >= 0.7 * rate(theirs);
    let text = |took| format!("{} ({:.0}/s)", ms(took), rate(took));
    report.add(
        &format!("{count} sandboxes at once, runc"),
        text(ours),
        text(theirs),
        "0.7 x the raw rate".to_owned(),
        kept,
    );
    Ok(())
}
