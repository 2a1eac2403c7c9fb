//! Suspend of a process that ends on TERM, and resume.

use crate::{
    client::{Client, Until, sandbox},
    report::{Report, Series},
};
use anyhow::Result;
use std::time::Duration;

pub(crate) async fn measure(client: &Client, class: &str, rounds: usize, report: &mut Report) -> Result<()> {
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
    }
    // The process ends at once on TERM: its own exit is not longer than the runtime's teardown.
    let limit = Duration::from_millis(50);
    report.compare(
        &format!("suspend, {class}"),
        &suspend,
        &Series::default(),
        limit,
        "the process's own exit + 50 ms",
    );
    let limit = create.percentile(50);
    report.compare(&format!("resume, {class}"), &resume, &create, limit, "create in the same rounds");
    Ok(())
}
