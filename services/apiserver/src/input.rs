//! Reads request bodies.
//!
//! **Invariant:** no more than `LIMIT` bytes of a body are ever held.

mod protobuf;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;
use wire::Status;

use crate::body::RequestBody;

/// Kubernetes' limit for a request body, in bytes.
pub(crate) const LIMIT: usize = 3 * 1024 * 1024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a body may be written in.
const UNDERSTOOD: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Json,
    Yaml,
    /// Kubernetes' own form of it; for built-in kinds.
    Protobuf,
}

/// Reads a whole body.
pub(crate) async fn read(body: RequestBody) -> Result<Bytes, Status> {
    let collected = tokio::time::timeout(PATIENCE, Limited::new(body, LIMIT).collect()).await;
    match collected.map_err(|_| Status::timeout("the body did not arrive in time"))? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Status::too_large(format!("limit is {LIMIT}"))),
        Err(error) => Err(Status::bad_request(format!("the body could not be read: {error}"))),
    }
}

/// The media type without its parameters; empty when not given.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// The language of a body that holds an object.
pub(crate) fn language(headers: &HeaderMap) -> Result<Language, Status> {
    match media_type(headers) {
        "" | "application/json" => Ok(Language::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Language::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Language::Protobuf),
        _ => Err(Status::unsupported_media_type(&UNDERSTOOD)),
    }
}

/// Parses a body; `Err` is the decoder's text.
pub(crate) fn parse(bytes: &[u8], language: Language) -> Result<Value, String> {
    match language {
        Language::Json => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
        Language::Protobuf => protobuf::parse(bytes),
        Language::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
            serde_saphyr::from_str(text).map_err(|error| error.to_string())
        }
    }
}
