//! The requests of an informer: pages of a list, and watches.

use super::{Config, lines};
use futures::stream::{self, BoxStream, StreamExt};
use futures::{AsyncBufReadExt, TryStreamExt};
use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use kube::api::{ListParams, WatchParams};
use kube::core::{ListMeta, Request, WatchEvent};
use kube::{Client, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::marker::PhantomData;

/// Seconds after which the server ends a watch; up to half as much is added at random.
const WATCH_SECONDS: u32 = 240;

pub(super) struct Source<K> {
    client: Client,
    url: String,
    config: Config,
    kind: String,
    /// Whether the server gives the first state as watch events, as far as known.
    pub(super) streaming: bool,
    object: PhantomData<fn() -> K>,
}

/// One page of a list, its objects not parsed yet.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: ListMeta,
    #[serde(default)]
    pub(super) items: Vec<Box<RawValue>>,
}

pub(super) type Events<K> = BoxStream<'static, Result<WatchEvent<K>, kube::Error>>;

// === impl Source ===

impl<K: Resource + Clone + DeserializeOwned + Send + 'static> Source<K> {
    pub(super) fn new(client: Client, kind: &K::DynamicType, config: Config) -> Self {
        Self {
            client,
            url: K::url_path(kind, config.namespace.as_deref()),
            streaming: config.streaming,
            config,
            kind: K::kind(kind).into_owned(),
            object: PhantomData,
        }
    }

    /// The kind, for messages.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// One page; `limit` off asks for all the rest.
    pub(super) async fn page(&self, token: Option<String>, limit: bool) -> Result<Page, kube::Error> {
        let params = ListParams {
            label_selector: self.config.labels.clone(),
            field_selector: self.config.fields.clone(),
            limit: limit.then_some(self.config.page),
            continue_token: token,
            ..ListParams::default()
        };
        let request = Request::new(self.url.as_str());
        let request = if K::metadata_api() { request.list_metadata(&params) } else { request.list(&params) };
        let text = self.client.request_text(request.map_err(kube::Error::BuildRequest)?).await?;
        serde_json::from_str(&text).map_err(kube::Error::SerdeError)
    }

    /// Watches from `position`, or from nothing with the first state sent as events.
    pub(super) async fn watch(&self, position: Option<&str>) -> Result<Events<K>, kube::Error> {
        let params = WatchParams {
            label_selector: self.config.labels.clone(),
            field_selector: self.config.fields.clone(),
            timeout: Some(WATCH_SECONDS + jitter(WATCH_SECONDS / 2)),
            bookmarks: true,
            send_initial_events: position.is_none(),
        };
        let version = position.unwrap_or_default();
        let request = Request::new(self.url.as_str());
        let request = if K::metadata_api() {
            request.watch_metadata(&params, version)
        } else {
            request.watch(&params, version)
        };
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        // Kubernetes 1.37 packs each event by itself, of which the client would unpack the first only.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let lines = Box::pin(self.client.request_stream(request).await?).lines();
        // A connection that breaks off ends the watch, as its time limit does; what was cut off is sent again.
        let whole = stream::unfold(lines, |mut lines| async {
            match lines.try_next().await {
                Ok(line) => line.map(|line| (line, lines)),
                Err(error) => {
                    tracing::debug!(%error, "a watch broke off");
                    None
                }
            }
        });
        let events = whole.map(|line| lines::event(&line));
        Ok(events.take_while(|event| std::future::ready(!is_cut_off(event))).boxed())
    }
}

/// Only the last line of a broken connection ends before its JSON does.
fn is_cut_off<K>(event: &Result<WatchEvent<K>, kube::Error>) -> bool {
    matches!(event, Err(kube::Error::SerdeError(error)) if error.is_eof())
}

fn jitter(most: u32) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "the fraction is below one, so the product fits")]
    let part = (f64::from(most) * crate::backoff::random_fraction()) as u32;
    part
}
