//! Which objects of a list or watch a client wants.
//!
//! Label selectors and `metadata.name` are answered from the metadata alone; the object is parsed only for other fields.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use serde::Deserialize;
use wire::{FieldSelector, LabelSelector, ListOptions, Status};

use crate::{
    registry::KindRef,
    stored::{self, Peek},
};

/// A compiled selection.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    kind: KindRef,
    labels: LabelSelector,
    fields: FieldSelector,
    /// Whether a field other than name and namespace is asked about.
    deep: bool,
}

#[derive(Deserialize)]
struct Labels<'a> {
    #[serde(borrow, default)]
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

// === impl Filter ===

impl Filter {
    /// The selection of a request. Refuses fields that the kind does not know.
    pub(crate) fn new(kind: &KindRef, options: &ListOptions) -> Result<Self, Status> {
        kinds::check_fields(kind, &options.fields).map_err(Status::bad_request)?;
        let deep = options.fields.terms.iter().any(|term| !is_meta(&term.field));
        Ok(Self { kind: kind.clone(), labels: options.labels.clone(), fields: options.fields.clone(), deep })
    }

    /// Whether everything is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name that is wanted, if the selection says so.
    pub(crate) fn exact_name(&self) -> Option<&str> {
        self.fields.exact("metadata.name")
    }

    /// Whether an object is wanted. Bytes that cannot be read are not.
    pub(crate) fn wants(&self, key: &str, bytes: &Bytes) -> bool {
        self.is_empty() || (self.wants_labels(bytes) && self.wants_fields(key, bytes))
    }

    fn wants_labels(&self, bytes: &Bytes) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        let Ok(peek) = serde_json::from_slice::<Peek<'_>>(bytes) else { return false };
        let Ok(meta) = serde_json::from_str::<Labels<'_>>(peek.metadata.get()) else { return false };
        self.labels.matches(|key| meta.labels.get(key).map(AsRef::as_ref))
    }

    fn wants_fields(&self, key: &str, bytes: &Bytes) -> bool {
        if self.fields.is_empty() {
            return true;
        }
        let (namespace, name) = stored::name_of(key);
        let object = if self.deep { stored::decode(&self.kind, bytes).ok() } else { None };
        self.fields.matches(|field| match (field, &object) {
            ("metadata.name", _) => Some(Cow::Borrowed(name)),
            ("metadata.namespace", _) => Some(Cow::Borrowed(namespace)),
            (field, Some(object)) => kinds::select_field(&self.kind, object, field),
            (_, None) => None,
        })
    }
}

fn is_meta(field: &str) -> bool {
    matches!(field, "metadata.name" | "metadata.namespace")
}
