//! Suspend of a process that ends on TERM, and resume.

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
    let mut own = Series::default();
    let (mut create, mut suspend, mut resume) = (Series::default(), Series::default(), Series::default());
    for round in 0..rounds {
        let name = format!("mode-{round}");
        let sent = client.create(&sandbox(&name, class)?).await?;
        create.push(client.wait(&name, Until::Ready).await?.duration_since(sent));
        let sent = client.set_mode(&name, "Suspended").await?;
        suspend.push(client.wait(&name, Until::Suspended).await?.duration_since(sent));
        let sent = client.set_mode(&name, "Running").await?;
        resume.push(client.wait(&name, Until::Ready).await?.duration_since(sent));
        client.delete(&name).await?;
        tokio::time::sleep(Duration::from_millis(150)).await;
        own.push(raw.stop()?);
    }
    drop(raw);
    client.delete("model").await?;
    let limit = own.percentile(50) + Duration::from_millis(50);
    report.compare(&format!("suspend, {class}"), &suspend, &own, limit, "the process's own exit + 50 ms");
    let limit = create.percentile(50);
    report.compare(&format!("resume, {class}"), &resume, &create, limit, "create in the same rounds");
    Ok(())
}
