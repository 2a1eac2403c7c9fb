//! Plays cells on a server and gathers what it answers.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    normal,
    sample::Sample,
    step::{Pick, Scene, Sending},
    table::{Cell, Table},
};

/// Cells at the same time.
const AT_ONCE: usize = 64;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Both servers take the field manager's name from it.
const AGENT: &str = "differential/1";

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The step, as the table writes it.
    pub step: String,
    /// The HTTP status.
    pub code: u16,
    /// The media type.
    pub media: String,
    /// The texts of `Warning` headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// JSON (also of YAML), a list of events, or text.
    pub body: Value,
}

/// The answers of all cells by their names.
pub type Answers = BTreeMap<String, Vec<Answer>>;

/// Plays the cells that `wanted` picks; what is compared is normalised.
///
/// # Errors
/// A request that gets no answer, a preparation that fails.
pub async fn all(client: &kube::Client, table: &Table, wanted: impl Fn(&str) -> bool) -> Result<Answers> {
    let cells: Vec<Cell<'_>> = table.cells().filter(|cell| wanted(&cell.name())).collect();
    let played = stream::iter(cells).map(async |cell| {
        let answers = cell_answers(client, cell).await.with_context(|| cell.name())?;
        anyhow::Ok((cell.name(), answers))
    });
    played.buffer_unordered(AT_ONCE).try_collect().await
}

async fn cell_answers(client: &kube::Client, cell: Cell<'_>) -> Result<Vec<Answer>> {
    let slug = cell.slug();
    if cell.sample.namespaced {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": slug}});
        let sending = Sending {
            method: "POST".to_owned(),
            path: "/api/v1/namespaces".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: namespace.to_string(),
        };
        let answer = ask(client, &sending, "", false).await?;
        ensure!(answer.code == 201, "namespace: {} {}", answer.code, answer.body);
    }
    let mut scene = Scene { sample: cell.sample, slug: &slug, last: Value::Null, token: String::new() };
    let (mut answers, mut prepared) = (Vec::new(), Vec::new());
    for step in &cell.row.steps {
        let sending = step.fill(&scene)?;
        let mut answer = ask(client, &sending, &step.text, step.is_watch()).await?;
        if let Some(pick) = step.pick() {
            answer.body = picked(pick, &answer.body, cell.sample);
        }
        if answer.body["metadata"].is_object() && answer.body["kind"] != "Status" {
            scene.last = answer.body.clone();
        }
        if let Some(token) = answer.body["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
            token.clone_into(&mut scene.token);
        }
        if step.compared {
            answers.push(answer);
        } else {
            let done = (200..300).contains(&answer.code);
            ensure!(done, "{}: {} {}", step.text, answer.code, answer.body);
            prepared.push(answer);
        }
    }
    normal::normalise(&mut answers, &prepared, &scene.object_name());
    Ok(answers)
}

async fn ask(client: &kube::Client, sending: &Sending, step: &str, watch: bool) -> Result<Answer> {
    let mut request = Request::builder().method(sending.method.as_str()).uri(&sending.path);
    for (name, value) in &sending.headers {
        request = request.header(name, value);
    }
    if !sending.headers.iter().any(|(name, _)| name == "user-agent") {
        request = request.header(header::USER_AGENT, AGENT);
    }
    let request = request.body(Body::from(sending.body.clone().into_bytes()))?;
    let response = tokio::time::timeout(PATIENCE, client.send(request)).await;
    let response = response.context("no answer in time")?.with_context(|| format!("send {step}"))?;
    read(response, step, watch).await
}

/// What an answer about many kinds says of one, its subresources included.
fn picked(pick: Pick, body: &Value, sample: &Sample) -> Value {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let below = format!("{}/", sample.resource);
    let mut segments = sample.path.split('/').skip(1);
    let group = if sample.path.starts_with("apis/") { segments.next().unwrap_or_default() } else { "" };
    let version = segments.next().unwrap_or_default();
    match pick {
        Pick::Resources => list(&body["resources"])
            .into_iter()
            .filter(|entry| {
                let name = entry["name"].as_str().unwrap_or_default();
                name == sample.resource || name.starts_with(&below)
            })
            .collect(),
        Pick::Discovery => list(&body["items"])
            .iter()
            .filter(|item| item["metadata"]["name"].as_str().unwrap_or_default() == group)
            .flat_map(|item| list(&item["versions"]))
            .filter(|entry| entry["version"] == version)
            .flat_map(|entry| list(&entry["resources"]))
            .filter(|entry| entry["resource"] == *sample.resource)
            .collect(),
    }
}

/// A bookmark that says only that time has passed: how many there are depends on it.
fn is_heartbeat(event: &Value) -> bool {
    event["type"] == "BOOKMARK" && event["object"]["metadata"].get("annotations").is_none()
}

async fn read(response: Response<Body>, step: &str, watch: bool) -> Result<Answer> {
    let (parts, body) = response.into_parts();
    let media = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let warnings = parts.headers.get_all(header::WARNING).iter();
    let warnings = warnings.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect();
    let collected = tokio::time::timeout(PATIENCE, body.collect()).await;
    let bytes = collected.context("no end in time")?.with_context(|| format!("body of {step}"))?.to_bytes();
    let media = media.unwrap_or_default().to_owned();
    let body = match &media {
        media if media.contains("protobuf") => Value::from("(protobuf)"),
        media if watch && media.contains("json") && parts.status.is_success() => {
            let text = String::from_utf8_lossy(&bytes);
            let events = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>();
            events.context("events")?.into_iter().filter(|event| !is_heartbeat(event)).collect()
        }
        media if media.contains("json") => {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into())
        }
        // Two writers of YAML quote differently.
        media if media.contains("yaml") => serde_saphyr::from_slice(&bytes).context("YAML")?,
        _ => String::from_utf8_lossy(&bytes).into(),
    };
    Ok(Answer { step: step.to_owned(), code: parts.status.as_u16(), media, warnings, body })
}
