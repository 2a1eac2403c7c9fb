//! A command in a running sandbox through the API, beside the runtime's own exec in the same container.

use crate::{
    client::{Client, Until, sandbox},
    raw::Container,
    report::{Report, Series},
};
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};
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
    let (mut ours, mut theirs) = (Series::default(), Series::default());
    for _ in 0..rounds {
        ours.push(through_api(client).await?);
        theirs.push(raw(&container)?);
    }
    client.delete("model").await?;
    let limit = theirs.percentile(50) + Duration::from_millis(5);
    report.compare(&format!("exec of true, {class}"), &ours, &theirs, limit, "raw exec + 5 ms");
    Ok(())
}

/// From opening the connection to having the exit status.
async fn through_api(client: &Client) -> Result<Duration> {
    let pods: Api<Pod> = Api::default_namespaced(client.kube.clone());
    let params = AttachParams::default().stdin(false).stdout(true).stderr(true);
    let started = Instant::now();
    let mut process = pods.exec("model", ["true"], &params).await?;
    let status = process.take_status().context("no status")?.await.context("no status")?;
    let took = started.elapsed();
    ensure!(status.status.as_deref() == Some("Success"), "exec: {status:?}");
    Ok(took)
}

/// From the start of the runtime to having the exit status and both outputs, which gVisor closes some milliseconds after its exit.
fn raw(container: &Container) -> Result<Duration> {
    let text = |key: &str| container.config[key].as_str().with_context(|| format!("no {key}"));
    let mut command = Command::new(text("program")?);
    command.args(["--root", text("root")?]);
    let options = container.config["options"].as_array().cloned().unwrap_or_default();
    command.args(options.iter().filter_map(|option| option.as_str()));
    command.args(["exec", text("id")?, "true"]).stdin(Stdio::null());
    let started = Instant::now();
    let output = command.output()?;
    let took = started.elapsed();
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(took)
}
