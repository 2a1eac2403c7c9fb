//! How objects are shown: as they are, as rows of a table, or by their metadata only.
//!
//! **Invariant:** objects in their stored version, shown as JSON, are passed through as bytes and never parsed. (Those of
//! foreign definitions are: their schema may have changed since they were written.)

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use wire::{FieldError, Query, Row, Status, Table};

use crate::{
    accept::{Accept, Encoding, Form},
    body::{self, Reply, to_json},
    object,
    registry::KindRef,
    stored::{self, Peek},
};

/// What a table's rows carry besides their cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Include {
    Nothing,
    Metadata,
    Object,
}

/// One way to show objects of one kind.
#[derive(Clone, Debug)]
pub(crate) struct View {
    kind: KindRef,
    accept: Accept,
    include: Include,
}

/// The metadata of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListMeta {
    pub(crate) revision: u64,
    pub(crate) token: Option<String>,
    pub(crate) remaining: Option<usize>,
}

// === impl View ===

impl View {
    /// The view that a request asks for.
    pub(crate) fn new(kind: &KindRef, accept: Accept, query: &Query) -> Result<Self, Status> {
        let include = match query.get("includeObject").unwrap_or_default() {
            "" | "Metadata" => Include::Metadata,
            "None" => Include::Nothing,
            "Object" => Include::Object,
            other if accept.form == Form::Table => {
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let error = FieldError::invalid("includeObject", other, why);
                return Err(Status::bad_request(format!("Unable to convert to Table as requested: {error}")));
            }
            _ => Include::Metadata,
        };
        Ok(Self { kind: kind.clone(), accept, include })
    }

    /// A reply with one object, given as stored bytes.
    pub(crate) fn reply(&self, status: StatusCode, bytes: &Bytes) -> Result<Reply, Status> {
        let shown = self.single(bytes, true)?;
        self.encoded(status, VecDeque::from([shown]))
    }

    /// A reply with a list of objects, given as stored bytes.
    pub(crate) fn list(&self, meta: &ListMeta, items: &[Bytes]) -> Result<Reply, Status> {
        let mut pieces = VecDeque::with_capacity(items.len() * 2 + 2);
        pieces.push_back(self.list_head(meta).into());
        let whole = matches!(self.accept.form, Form::Object | Form::Discovery(_));
        for (index, bytes) in items.iter().enumerate() {
            let before: &[u8] = match (index, whole) {
                (0, true) => b"{",
                (0, false) => b"",
                (_, true) => b",{",
                (_, false) => b",",
            };
            pieces.push_back(Bytes::from_static(before));
            pieces.push_back(if whole { stored::listed(&self.kind, bytes)? } else { self.item(bytes)? });
        }
        pieces.push_back(Bytes::from_static(b"]}"));
        self.encoded(StatusCode::OK, pieces)
    }

    /// One object by itself, as in a watch event. `columns` says whether a table names its columns.
    pub(crate) fn single(&self, bytes: &Bytes, columns: bool) -> Result<Bytes, Status> {
        if self.accept.form != Form::Table {
            return self.item(bytes);
        }
        let value = stored::decode(&self.kind, bytes)?;
        let columns = if columns { kinds::columns(&self.kind) } else { Vec::new() };
        let meta = json!({"resourceVersion": object::text(&value, "resourceVersion")});
        let row = self.row(&value, bytes)?;
        Ok(to_json(&Table::new(meta, columns, vec![row])).into())
    }

    /// A bookmark's object.
    pub(crate) fn bookmark(&self, revision: u64, initial_end: bool) -> Vec<u8> {
        let mut meta = json!({"resourceVersion": revision.to_string()});
        if initial_end {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, api_version) = match self.accept.form {
            Form::Table => {
                return to_json(&Table::new(
                    json!({"resourceVersion": revision.to_string()}),
                    Vec::new(),
                    vec![Row {
                        cells: Vec::new(),
                        conditions: Vec::new(),
                        object: json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}),
                    }],
                ));
            }
            Form::Partial => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            Form::Object | Form::Discovery(_) => (&*self.kind.kind, self.kind.api_version()),
        };
        to_json(&json!({"kind": kind, "apiVersion": api_version, "metadata": meta}))
    }

    fn item(&self, bytes: &Bytes) -> Result<Bytes, Status> {
        match self.accept.form {
            Form::Object | Form::Discovery(_) => stored::served(&self.kind, bytes),
            Form::Partial if self.kind.has_stored_metadata() => partial(bytes),
            Form::Partial => partial(&stored::served(&self.kind, bytes)?),
            Form::Table => {
                let value = stored::decode(&self.kind, bytes)?;
                Ok(to_json(&self.row(&value, bytes)?).into())
            }
        }
    }

    fn row(&self, value: &Value, bytes: &Bytes) -> Result<Row, Status> {
        let object = match self.include {
            Include::Nothing => Value::Null,
            Include::Object => value.clone(),
            Include::Metadata => {
                let read = |bytes: Bytes| serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                partial(&stored::served(&self.kind, bytes)?).map(read)?
            }
        };
        Ok(Row { object, ..kinds::row(&self.kind, value, Timestamp::now()) })
    }

    fn list_head(&self, meta: &ListMeta) -> Vec<u8> {
        let mut fields = Map::new();
        fields.insert("resourceVersion".to_owned(), meta.revision.to_string().into());
        // Lists of custom kinds always say whether there is more.
        let token = meta.token.as_deref().or_else(|| self.kind.custom().map(|_| ""));
        if let Some(token) = token.filter(|token| !token.is_empty() || self.accept.form == Form::Object) {
            fields.insert("continue".to_owned(), token.into());
        }
        if let Some(remaining) = meta.remaining.filter(|remaining| *remaining > 0) {
            fields.insert("remainingItemCount".to_owned(), remaining.into());
        }
        let (kind, api_version, items) = match self.accept.form {
            Form::Table => ("Table".to_owned(), "meta.k8s.io/v1".to_owned(), "rows"),
            Form::Partial => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned(), "items"),
            Form::Object | Form::Discovery(_) => {
                (self.kind.list_kind.to_string(), self.kind.api_version(), "items")
            }
        };
        let mut head = to_json(&json!({"kind": kind, "apiVersion": api_version, "metadata": fields}));
        head.pop();
        if self.accept.form == Form::Table {
            head.extend_from_slice(b",\"columnDefinitions\":");
            head.extend(to_json(&kinds::columns(&self.kind)));
        }
        head.extend_from_slice(format!(",\"{items}\":[").as_bytes());
        head
    }

    fn encoded(&self, status: StatusCode, pieces: VecDeque<Bytes>) -> Result<Reply, Status> {
        match self.accept.encoding {
            Encoding::Json => Ok(body::json_bytes(status, body::chunks(pieces))),
            Encoding::Yaml => yaml(status, &pieces.iter().flatten().copied().collect::<Vec<u8>>()),
        }
    }
}

/// JSON bytes as a YAML reply.
fn yaml(status: StatusCode, json: &[u8]) -> Result<Reply, Status> {
    let value: Value = serde_json::from_slice(json).map_err(Status::internal)?;
    let text = serde_saphyr::to_string(&value).map_err(Status::internal)?;
    let mut reply = body::json_bytes(status, body::full(text));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
    Ok(reply)
}

/// The `PartialObjectMetadata` of an object's bytes.
fn partial(bytes: &Bytes) -> Result<Bytes, Status> {
    let peek: Peek<'_> = serde_json::from_slice(bytes).map_err(Status::internal)?;
    let mut out = br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#.to_vec();
    out.extend_from_slice(peek.metadata.get().as_bytes());
    out.push(b'}');
    Ok(out.into())
}
