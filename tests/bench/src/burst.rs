//! Many sandboxes created at once, beside the runtime started as many times in parallel.

use crate::{
    client::{Client, Until, sandbox},
    raw::{Container, Raw},
    report::{Report, Series, ms},
};
use anyhow::Result;
use futures::future::try_join_all;
use std::time::{Duration, Instant};
use system::Machine;

/// Times that each side's turn comes; the medians are compared.
const ROUNDS: usize = 3;
/// Time for the kernel to take apart what the last turn left: it frees network namespaces in the background.
const REST: Duration = Duration::from_secs(3);

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
    let (mut ours, mut theirs) = (Series::default(), Series::default());
    for _ in 0..ROUNDS {
        tokio::time::sleep(REST).await;
        theirs.push(raw.burst(count)?);
        tokio::time::sleep(REST).await;
        ours.push(burst(client, count).await?);
    }
    client.delete("model").await?;
    let (ours, theirs) = (ours.percentile(50), theirs.percentile(50));
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
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

/// From sending the first request until the last sandbox is Ready. They are deleted afterwards.
async fn burst(client: &Client, count: usize) -> Result<Duration> {
    let names: Vec<String> = (0..count).map(|number| format!("burst-{number}")).collect();
    let sandboxes = names.iter().map(|name| sandbox(name, "runc")).collect::<Result<Vec<_>>>()?;
    let sent = Instant::now();
    try_join_all(sandboxes.iter().map(|sandbox| client.create(sandbox))).await?;
    let took = client.wait_ready(&names).await?.duration_since(sent);
    try_join_all(names.iter().map(|name| client.delete(name))).await?;
    Ok(took)
}
