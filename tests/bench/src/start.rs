//! From the create request to Ready, beside the runtime's own start of the same bundle.

use crate::{
    client::{Client, Until, sandbox},
    raw::{Container, Raw},
    report::{Report, Series},
};
use anyhow::Result;
use std::time::Duration;
use system::Machine;

pub(crate) async fn measure(
    machine: &Machine,
    client: &Client,
    class: &str,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    client.create(&sandbox("model", class)?).await?;
    client.wait("model", Until::Ready).await?;
    let container = Container::find(&machine.data(), &client.pod_uid("model").await?)?;
    let mut raw = Raw::beside(&container, machine.scratch())?;
    raw.start()?;
    println!("raw bundle ({class}): {}", raw.bundle()?);
    let (mut ours, mut theirs) = (Series::default(), Series::default());
    for round in 0..rounds {
        let name = format!("start-{round}");
        let sent = client.create(&sandbox(&name, class)?).await?;
        ours.push(client.wait(&name, Until::Ready).await?.duration_since(sent));
        client.delete(&name).await?;
        // The deletion's own work is not the raw side's to carry.
        tokio::time::sleep(Duration::from_millis(150)).await;
        theirs.push(raw.start()?);
    }
    drop(raw);
    client.delete("model").await?;
    let median = theirs.percentile(50);
    let (limit, rule) = match class {
        "runc" => (median + Duration::from_millis(25), "raw run -d + 25 ms"),
        _ => (median.mul_f64(1.25) + Duration::from_millis(25), "1.25 x raw + 25 ms"),
    };
    report.compare(&format!("create -> Ready, {class}"), &ours, &theirs, limit, rule);
    Ok(())
}
