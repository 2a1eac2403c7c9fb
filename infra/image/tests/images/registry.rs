//! A small registry on loopback, which can misbehave.

use crate::fixture::Built;
use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::JoinSet;

#[derive(Default)]
pub(crate) struct Shop {
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// Digests by tag.
    pub(crate) tags: BTreeMap<String, String>,
    /// Requests for blobs: digest and the offset asked for.
    pub(crate) asked: Vec<(String, usize)>,
    /// How many answers with a blob break off in the middle.
    pub(crate) break_off: usize,
    /// Whether a part of a blob can be had.
    pub(crate) ranges: bool,
    /// The token wanted, and who gets it (none: everybody).
    pub(crate) token: Option<(String, Option<String>)>,
    address: String,
}

pub(crate) type Shared = Arc<Mutex<Shop>>;

pub(crate) struct Registry {
    pub(crate) shop: Shared,
    pub(crate) address: String,
    _serving: JoinSet<()>,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        // The client wants a provider of cryptography even for plain text. A second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shop: Shared = Arc::new(Mutex::new(Shop { ranges: true, ..Shop::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        shop.lock().address.clone_from(&address);
        let app = Router::new()
            .route("/token", get(token))
            .route("/v2/", get(hello))
            .route("/v2/app/manifests/{reference}", get(manifest))
            .route("/v2/app/blobs/{digest}", get(blob))
            .with_state(shop.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { shop, address, _serving: serving }
    }

    pub(crate) fn offer(&self, tag: &str, built: &Built) {
        let mut shop = self.shop.lock();
        shop.blobs.extend(built.blobs.clone());
        shop.tags.insert(tag.into(), built.manifest.clone());
    }

    pub(crate) fn name(&self, tag: &str) -> String {
        format!("{}/app:{tag}", self.address)
    }
}

impl Shop {
    /// An answer that sends the client to the token service, unless it has been there.
    fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        let (token, _) = self.token.as_ref()?;
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given == Some(&format!("Bearer {token}")) {
            return None;
        }
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"shop\"", self.address);
        Some(
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], "{\"errors\":[]}")
                .into_response(),
        )
    }
}

async fn hello(State(shop): State<Shared>, headers: HeaderMap) -> Response {
    shop.lock().refusal(&headers).unwrap_or_else(|| StatusCode::OK.into_response())
}

async fn token(State(shop): State<Shared>, headers: HeaderMap) -> Response {
    let shop = shop.lock();
    let Some((token, user)) = &shop.token else { return StatusCode::NOT_FOUND.into_response() };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if user.as_deref().is_some_and(|user| given != Some(user)) {
        return (StatusCode::UNAUTHORIZED, "{}").into_response();
    }
    format!("{{\"token\":\"{token}\"}}").into_response()
}

async fn manifest(State(shop): State<Shared>, Path(reference): Path<String>, headers: HeaderMap) -> Response {
    let shop = shop.lock();
    if let Some(refusal) = shop.refusal(&headers) {
        return refusal;
    }
    let digest = shop.tags.get(&reference).unwrap_or(&reference);
    let Some(bytes) = shop.blobs.get(digest) else {
        let body = "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}";
        return (StatusCode::NOT_FOUND, body).into_response();
    };
    let kind = "application/vnd.oci.image.manifest.v1+json";
    ([(header::CONTENT_TYPE, kind)], bytes.clone()).into_response()
}

async fn blob(State(shop): State<Shared>, Path(digest): Path<String>, request: Request) -> Response {
    let mut shop = shop.lock();
    if let Some(refusal) = shop.refusal(request.headers()) {
        return refusal;
    }
    let Some(bytes) = shop.blobs.get(&digest).cloned() else { return StatusCode::NOT_FOUND.into_response() };
    let range = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse::<usize>().ok());
    let from = from.filter(|_| shop.ranges).unwrap_or(0).min(bytes.len());
    shop.asked.push((digest, from));
    let rest = bytes[from..].to_vec();
    let status = if from > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    if shop.break_off > 0 && rest.len() > 1000 {
        shop.break_off -= 1;
        let half = rest[..rest.len() / 2].to_vec();
        let pieces = futures::stream::unfold(Some(half), |half| async {
            let Some(half) = half else {
                // An error at once would take the first piece with it.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                return Some((Err(std::io::Error::other("broken off")), None));
            };
            Some((Ok(half), None))
        });
        let length = [(header::CONTENT_LENGTH, rest.len())];
        return (status, length, Body::from_stream(pieces)).into_response();
    }
    (status, rest).into_response()
}
