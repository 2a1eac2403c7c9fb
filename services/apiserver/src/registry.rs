//! The kinds that are served: the built-in table, and what CustomResourceDefinitions of others add to it.
//!
//! ```text
//! kinds::table() ──> KindRef::BuiltIn  (a plain reference, looked up first)
//! Registry       ──> KindRef::Defined  (one version of a definition; published by `definitions`)
//! ```
//!
//! **Invariants.**
//! - A definition never hides a built-in kind: the table is asked first.
//! - A request keeps the definition that it began with, whatever is published meanwhile.
//! - Schemas of definitions are compiled when somebody first asks for the kind, all versions at once, so that a definition
//!   that nobody uses costs its names only.

mod definition;

use std::{ops::Deref, sync::Arc};

use arc_swap::ArcSwapOption;
use kinds::Kind;
use schema::Schema;
use store::Store;
use wire::Status;

pub(crate) use self::definition::{Definition, Life};

/// A kind in one group and version that is served.
#[derive(Clone, Debug)]
pub(crate) enum KindRef {
    /// Of the table.
    BuiltIn(&'static Kind),
    /// Of a definition.
    Defined(Arc<Defined>),
}

/// One served version of a definition.
#[derive(Debug)]
pub(crate) struct Defined {
    kind: Kind,
    definition: Arc<Definition>,
}

/// The kinds of definitions at one moment, sorted by group, plural and version.
#[derive(Debug, Default)]
struct Snapshot {
    kinds: Vec<Arc<Defined>>,
}

/// All kinds that are served.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// None as long as there is no definition but our own.
    defined: ArcSwapOption<Snapshot>,
}

// === impl KindRef ===

impl Deref for KindRef {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        match self {
            Self::BuiltIn(kind) => kind,
            Self::Defined(defined) => &defined.kind,
        }
    }
}

impl From<&'static Kind> for KindRef {
    fn from(kind: &'static Kind) -> Self {
        Self::BuiltIn(kind)
    }
}

impl KindRef {
    /// The definition, if the kind is none of our own.
    pub(crate) fn definition(&self) -> Option<&Arc<Definition>> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Defined(defined) => Some(&defined.definition),
        }
    }

    /// Compiles what is to be compiled before objects of this kind can be read or written.
    ///
    /// # Errors
    /// 503 when the definition is just being changed.
    pub(crate) async fn ready(&self, store: &Store) -> Result<(), Status> {
        match self {
            Self::BuiltIn(_) => Ok(()),
            Self::Defined(defined) => defined.definition.ready(store).await,
        }
    }

    /// Whether the metadata of an object is the same in all versions: a webhook, or our own conversion, may change it.
    pub(crate) fn has_stored_metadata(&self) -> bool {
        self.definition().is_some_and(|definition| definition.webhook.is_none())
    }

    /// The schema of a kind that a definition made; none for those of the table.
    pub(crate) fn defined_schema(&self) -> Option<&Schema> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Defined(defined) => defined.definition.schema(&defined.kind.version),
        }
    }
}

// === impl Registry ===

impl Registry {
    /// The kind served at `/apis/<group>/<version>/<plural>`.
    pub(crate) fn lookup(&self, group: &str, version: &str, plural: &str) -> Option<KindRef> {
        if let Some(kind) = kinds::lookup(group, version, plural) {
            return Some(KindRef::BuiltIn(kind));
        }
        let defined = self.defined.load();
        let kinds = &defined.as_ref()?.kinds;
        let wanted = (group, plural, version);
        let at = kinds.binary_search_by(|defined| place(defined).cmp(&wanted)).ok()?;
        Some(KindRef::Defined(Arc::clone(&kinds[at])))
    }

    /// Every kind: those of the table in its order, then those of definitions, in each group the preferred version first.
    pub(crate) fn all(&self) -> Vec<KindRef> {
        let mut all: Vec<KindRef> = kinds::table().iter().map(KindRef::BuiltIn).collect();
        all.extend(self.defined().into_iter().map(KindRef::Defined));
        all
    }

    fn defined(&self) -> Vec<Arc<Defined>> {
        let defined = self.defined.load();
        let mut kinds = defined.as_ref().map(|snapshot| snapshot.kinds.clone()).unwrap_or_default();
        kinds.sort_by(|a, b| {
            let (a, b) = (&a.kind, &b.kind);
            let by_version = || kinds::compare_versions(&a.version, &b.version);
            a.group.cmp(&b.group).then_with(by_version).then_with(|| a.plural.cmp(&b.plural))
        });
        kinds
    }

    /// Replaces the kinds of definitions.
    pub(crate) fn publish(&self, kinds: impl Iterator<Item = Arc<Defined>>) {
        let mut kinds: Vec<Arc<Defined>> = kinds.collect();
        kinds.sort_by(|a, b| place(a).cmp(&place(b)));
        self.defined.store((!kinds.is_empty()).then(|| Arc::new(Snapshot { kinds })));
    }
}

fn place(defined: &Defined) -> (&str, &str, &str) {
    (&defined.kind.group, &defined.kind.plural, &defined.kind.version)
}

// === impl Defined ===

impl Defined {
    pub(crate) fn new(kind: Kind, definition: Arc<Definition>) -> Self {
        Self { kind, definition }
    }
}
