//! Reads request bodies.
//!
//! **Invariant:** no more than `LIMIT` bytes of a body are ever held.

mod protobuf;

use std::time::Duration;

use base64::DecodeError;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kinds::Kind;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Error, options::DuplicateKeyPolicy};
use wire::{FieldValidation, Status};

use crate::body::RequestBody;

/// Kubernetes' limit for a request body, in bytes.
pub(crate) const LIMIT: usize = 3 * 1024 * 1024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a body may be written in. Protobuf is for built-in kinds only.
const UNDERSTOOD: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Json,
    Yaml,
    /// Kubernetes' own form of it; for built-in kinds.
    Protobuf,
}

/// What Go's decoder wants a body to be when it looks for its kind.
pub(crate) const TYPE_META: &str = "into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
                                    Kind string \"json:\\\"kind,omitempty\\\"\" }";

/// Where a text is no base64, as Go says it.
pub(crate) fn illegal(error: &DecodeError, text: &str) -> String {
    let at = match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => *at,
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len(),
    };
    format!("illegal base64 data at input byte {at}")
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

/// The language of a body that holds an object of a kind.
pub(crate) fn language(kind: &Kind, headers: &HeaderMap) -> Result<Language, Status> {
    let found = any_language(headers).ok();
    let understood = if kind.custom().is_some() { &UNDERSTOOD[..2] } else { &UNDERSTOOD };
    let found = found.filter(|found| kind.custom().is_none() || *found != Language::Protobuf);
    found.ok_or_else(|| Status::unsupported_media_type(understood))
}

/// The language of a body that holds options, which are a built-in kind whatever they are about.
pub(crate) fn any_language(headers: &HeaderMap) -> Result<Language, Status> {
    match media_type(headers) {
        "" | "application/json" => Ok(Language::Json),
        "application/yaml" => Ok(Language::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Language::Protobuf),
        _ => Err(Status::unsupported_media_type(&UNDERSTOOD)),
    }
}

/// Parses a body; `Err` is the decoder's text.
pub(crate) fn parse(bytes: &[u8], language: Language) -> Result<Value, String> {
    let value = match language {
        Language::Json => serde_json::from_slice(bytes).map_err(|error| match error.is_eof() {
            true => "unexpected end of JSON input".to_owned(),
            false => error.to_string(),
        }),
        Language::Protobuf => protobuf::parse(bytes),
        // Of a key given twice the last one counts, as in JSON; `repeated` tells.
        Language::Yaml => yaml(bytes, DuplicateKeyPolicy::LastWins).map_err(|error| error.to_string()),
    }?;
    if merge::measure(&value).depth > merge::MAX_DEPTH {
        return Err(format!("exceeded max depth of {}", merge::MAX_DEPTH));
    }
    Ok(value)
}

/// Fields that a body gives twice, as strict decoding says it.
pub(crate) fn repeated(body: &[u8], language: Language, validation: FieldValidation) -> Vec<String> {
    match language {
        _ if validation == FieldValidation::Ignore => Vec::new(),
        Language::Protobuf => Vec::new(),
        Language::Json => {
            let paths = schema::duplicates(body);
            paths.iter().map(|path| format!("duplicate field {}", wire::quote(path))).collect()
        }
        Language::Yaml => repeated_key(body).into_iter().collect(),
    }
}

/// The first key that a YAML body gives twice.
fn repeated_key(body: &[u8]) -> Option<String> {
    let error = yaml::<Value>(body, DuplicateKeyPolicy::Error).err()?;
    let Error::DuplicateMappingKey { key, location } = error.without_snippet() else { return None };
    let (line, key) = (location.line(), wire::quote(key.as_deref().unwrap_or_default()));
    Some(format!(
        "error converting YAML to JSON: yaml: unmarshal errors:\n  line {line}: key {key} already set in map"
    ))
}

fn yaml<T: DeserializeOwned>(bytes: &[u8], policy: DuplicateKeyPolicy) -> Result<T, Error> {
    serde_saphyr::from_slice_with_options(bytes, serde_saphyr::options! { duplicate_keys: policy })
}
