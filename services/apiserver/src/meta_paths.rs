//! Paths that are not resources: discovery, OpenAPI, version, health, the keys of tokens.

mod discovery;
mod openapi;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use serde_json::json;
use wire::{Query, Status};

use crate::{
    accept::{self, Form},
    body::{self, Reply},
    core::Core,
    health::Question,
    metrics::Counters,
};

/// What `/version` says; clients decide by it what they may use.
const MINOR: &str = "36";

/// Answers a read of a path.
pub(crate) async fn answer(core: &Arc<Core>, parts: &Parts, query: &Query) -> Result<Reply, Status> {
    if let Some(reply) = health(core, parts.uri.path(), query).await {
        return Ok(reply);
    }
    let path = parts.uri.path().trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        [] => Ok(body::json(StatusCode::OK, &json!({"paths": paths(core)}))),
        ["metrics"] => exposed(core, Counters::text).await,
        ["metrics", "slis"] => exposed(core, Counters::slis).await,
        ["version"] => Ok(body::json(StatusCode::OK, &version())),
        [".well-known", "openid-configuration"] => {
            Ok(published("application/json", &core.access.tokens().openid_configuration(&core.url)))
        }
        ["openid", "v1", "jwks"] => {
            Ok(published("application/jwk-set+json", &core.access.tokens().key_set()))
        }
        ["openapi", "v2"] => Ok(openapi::answer_v2(core, &parts.headers)),
        ["openapi", "v3", rest @ ..] => Ok(openapi::answer(core, rest, &parts.headers)),
        ["api"] | ["apis"] => roots(core, &parts.headers, path == "/api"),
        ["api", "v1"] => Ok(discovery::resources(&core.registry, "", "v1")),
        ["apis", group] => Ok(discovery::group(&core.registry, group)),
        ["apis", group, version] => Ok(discovery::resources(&core.registry, group, version)),
        _ => Ok(body::not_served()),
    }
}

/// The answer about the process's health, if the path asks for it. Names of checks may have slashes.
async fn health(core: &Core, path: &str, query: &Query) -> Option<Reply> {
    let (question, check) = match path.strip_prefix('/')?.split_once('/') {
        Some((question, check)) => (question, Some(check)),
        None => (path.strip_prefix('/')?, None),
    };
    let question = Question::parse(question)?;
    Some(match check {
        None => question.answer(&core.health, &core.counters.slis, query).await,
        Some(name) => question.answer_one(&core.health, name).await,
    })
}

/// Metrics in the text format. Off the workers: objects are counted for it.
async fn exposed(
    core: &Arc<Core>,
    text: fn(&Counters) -> Result<String, std::fmt::Error>,
) -> Result<Reply, Status> {
    let counters = Arc::clone(&core.counters);
    let text = tokio::task::spawn_blocking(move || text(&counters)).await;
    let text = text.map_err(Status::internal)?.map_err(Status::internal)?;
    let mut reply = body::text(StatusCode::OK, text);
    let kind = HeaderValue::from_static(telemetry::metrics::CONTENT_TYPE);
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(reply)
}

/// What others may keep for an hour: whose tokens ours are.
fn published(kind: &'static str, value: &serde_json::Value) -> Reply {
    let mut reply = body::json(StatusCode::OK, value);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    reply
}

fn roots(core: &Core, headers: &HeaderMap, core_group: bool) -> Result<Reply, Status> {
    match accept::negotiate(headers)?.form {
        Form::Discovery(version) => {
            let bytes = discovery::aggregated(&core.registry, version, core_group);
            let kind = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
            let mut reply = tagged(headers, &hash(&bytes), || bytes);
            if let Ok(kind) = HeaderValue::from_str(&kind) {
                reply.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            reply.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
            Ok(reply)
        }
        _ if core_group => Ok(body::json(StatusCode::OK, &discovery::core_versions())),
        _ => Ok(body::json(StatusCode::OK, &discovery::groups(&core.registry))),
    }
}

pub(crate) fn version() -> serde_json::Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": format!("v1.{MINOR}.0+agent-sandbox.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

fn paths(core: &Core) -> Vec<String> {
    let fixed = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    let mut paths: Vec<String> = fixed.map(str::to_owned).into();
    for kind in core.registry.all().iter().filter(|kind| !kind.group.is_empty()) {
        paths.push(format!("/apis/{}", kind.group));
        paths.push(format!("/apis/{}/{}", kind.group, kind.version));
    }
    paths.sort();
    paths.dedup();
    paths
}

/// A reply that a client may keep: 304 when it has these bytes already.
fn tagged(headers: &HeaderMap, tag: &str, bytes: impl FnOnce() -> Vec<u8>) -> Reply {
    let quoted = format!("\"{tag}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut reply = if known == Some(quoted.as_str()) {
        let mut reply = http::Response::new(body::full(""));
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        reply
    } else {
        body::json_bytes(StatusCode::OK, body::full(bytes()))
    };
    if let Ok(tag) = HeaderValue::from_str(&quoted) {
        reply.headers_mut().insert(header::ETAG, tag);
    }
    reply
}

/// A tag of bytes that differs whenever they do.
fn hash(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha512::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}
