//! The node's images: list, pull, import, remove. Pull and import stream lines of JSON; the last one is the outcome.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::{Body, Kubelet, Query, Refused, streamed, text};

/// Lines that may wait for a slow reader; progress that does not fit is dropped.
const QUEUE: usize = 64;

/// Numbers uploads.
static UPLOADS: AtomicU64 = AtomicU64::new(0);

pub(super) async fn serve(
    kubelet: &Kubelet,
    rest: &[&str],
    request: Request<Incoming>,
    query: &Query,
) -> Result<Response<Body>, Refused> {
    let needed = |name: &str| {
        let missing = || Refused(StatusCode::BAD_REQUEST, format!("query parameter {name:?} is required"));
        query.get(name).map(str::to_owned).ok_or_else(missing)
    };
    match (request.method(), rest) {
        (&Method::GET, []) => Ok(list(kubelet)),
        (&Method::POST, ["pull"]) => Ok(pull(kubelet, needed("reference")?)),
        (&Method::POST, ["import"]) => Ok(import(kubelet, needed("name")?, request)),
        (&Method::DELETE, []) => remove(kubelet, &needed("reference")?).await,
        _ => Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed".to_owned())),
    }
}

fn list(kubelet: &Kubelet) -> Response<Body> {
    let used = kubelet.shared.registry.images();
    let items: Vec<Value> = kubelet.shared.images.store().list().into_iter().map(|image| {
        let id = if image.digest.is_empty() { &image.reference } else { &image.digest };
        let in_use = used.iter().filter(|used| *used == id).count();
        json!({"reference": image.reference, "digest": image.digest, "size": image.bytes, "inUse": in_use})
    }).collect();
    json_text(StatusCode::OK, &json!({"items": items}))
}

fn pull(kubelet: &Kubelet, reference: String) -> Response<Body> {
    let (to, lines) = mpsc::channel(QUEUE);
    let images = kubelet.shared.images.clone();
    kubelet.tasks.spawn(async move {
        let progress = to.clone();
        let tell = move |progress_of: image::Progress| {
            let image::Progress { layer, done, total, ready } = progress_of;
            let state = if ready { "ready".to_owned() } else { format!("{done}/{total}") };
            let _ = progress.try_send(line(&json!({"progress": format!("{layer}: {state}"), "layer": layer, "done": done, "total": total, "ready": ready})));
        };
        let pulled = images.store().pull(&reference, None, tell).await;
        let _ = to.send(outcome(pulled)).await;
    });
    streamed(lines, "application/json")
}

fn import(kubelet: &Kubelet, name: String, request: Request<Incoming>) -> Response<Body> {
    let (to, lines) = mpsc::channel(QUEUE);
    let images = kubelet.shared.images.clone();
    let number = UPLOADS.fetch_add(1, Ordering::Relaxed);
    // What a crash leaves there is swept at the next start.
    let uploads = kubelet.shared.paths.data().join("images").join("tmp");
    let path = uploads.join(format!("import-{}-{number}.tar", std::process::id()));
    kubelet.tasks.spawn(async move {
        let upload = Upload(path);
        let last = match receive(&upload.0, request).await {
            Ok(()) => {
                let _ = to.send(line(&json!({"progress": "received"}))).await;
                outcome(images.store().import(&upload.0, &name).await)
            }
            Err(error) => line(&json!({"error": format!("receive the archive: {error}")})),
        };
        let _ = to.send(last).await;
    });
    streamed(lines, "application/json")
}

/// An uploaded file that goes with whoever holds it.
struct Upload(PathBuf);

impl Drop for Upload {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn receive(path: &std::path::Path, request: Request<Incoming>) -> std::io::Result<()> {
    let mut file = tokio::fs::File::create(path).await?;
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(std::io::Error::other)?;
        if let Some(data) = frame.data_ref() {
            file.write_all(data).await?;
        }
    }
    file.flush().await
}

async fn remove(kubelet: &Kubelet, reference: &str) -> Result<Response<Body>, Refused> {
    match kubelet.shared.images.store().remove(reference).await {
        Ok(removed) => {
            let in_use = removed == image::Removed::InUse;
            Ok(json_text(StatusCode::OK, &json!({"reference": reference, "inUse": in_use})))
        }
        Err(error) => {
            let status = match error {
                image::Error::NotPresent { .. } => StatusCode::NOT_FOUND,
                image::Error::InvalidName { .. } => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            Err(Refused(status, error.to_string()))
        }
    }
}

fn outcome(result: Result<image::Image, image::Error>) -> Bytes {
    line(&match result {
        Ok(image) => json!({"reference": image.reference, "digest": image.digest}),
        Err(error) => json!({"error": chain(&error)}),
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

fn json_text(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = text(status, value.to_string());
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
