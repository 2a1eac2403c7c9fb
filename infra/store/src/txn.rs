//! What goes into the store and what comes out: transactions, entries, events. Plain data.

use bytes::Bytes;
use std::sync::Arc;

/// A value that will carry its own revision: the store writes `head`, the revision in decimal, then `tail`.
///
/// The bytes that come back from reads and watches are that concatenation, ready to be served unparsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    /// Bytes before the revision.
    pub head: Bytes,
    /// Bytes after the revision.
    pub tail: Bytes,
}

/// What must be true of a key for its operation, and so its whole transaction, to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// The key does not exist.
    Absent,
    /// The key exists, at whatever revision.
    Present,
    /// The key was last written at this revision.
    At(u64),
}

/// One operation of a transaction.
#[derive(Debug, Clone)]
pub enum Op {
    /// Writes a key.
    Put {
        /// The key.
        key: String,
        /// Its precondition.
        expect: Expect,
        /// The new value.
        value: Template,
    },
    /// Deletes a key. Deleting an absent key under [`Expect::Any`] does nothing and makes no event.
    Delete {
        /// The key.
        key: String,
        /// Its precondition.
        expect: Expect,
        /// The last state, shown to watchers with the revision of the deletion; not stored.
        last: Template,
    },
    /// Changes nothing; only states a precondition.
    Check {
        /// The key.
        key: String,
        /// Its precondition.
        expect: Expect,
    },
}

/// Operations that happen all together, under one new revision, or not at all.
///
/// Later operations see what earlier ones of the same transaction did.
#[derive(Debug, Clone, Default)]
pub struct Txn {
    /// The operations, in order.
    pub ops: Vec<Op>,
}

/// A key with its current value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The stored bytes.
    pub value: Bytes,
    /// The revision that wrote them.
    pub revision: u64,
}

/// A page of entries, in key order, all as of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The revision that the page shows.
    pub revision: u64,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether more entries with the prefix follow after this page.
    pub more: bool,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The key did not exist before.
    Created,
    /// The key existed and has a new value.
    Updated,
    /// The key is gone.
    Deleted,
}

/// One change, as watchers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The revision of the change. Events of one transaction share it.
    pub revision: u64,
    /// The key.
    pub key: Arc<str>,
    /// What happened.
    pub kind: EventKind,
    /// The new value; of a deletion, the `last` that came with it.
    pub value: Bytes,
    /// The value before; none for a creation.
    pub previous: Option<Bytes>,
}

// === impl Template ===

impl Template {
    /// A template whose bytes are `head`, revision, `tail`.
    pub fn new(head: impl Into<Bytes>, tail: impl Into<Bytes>) -> Self {
        Self { head: head.into(), tail: tail.into() }
    }

    /// The bytes as stored at `revision`.
    pub fn render(&self, revision: u64) -> Bytes {
        let number = revision.to_string();
        let mut bytes = Vec::with_capacity(self.len() + number.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(number.as_bytes());
        bytes.extend_from_slice(&self.tail);
        Bytes::from(bytes)
    }

    fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

// === impl Txn ===

impl Txn {
    /// A transaction of one operation.
    pub fn one(op: Op) -> Self {
        Self { ops: vec![op] }
    }

    /// About how many bytes this transaction adds to the log.
    pub(crate) fn weight(&self) -> usize {
        self.ops.iter().map(Op::weight).sum()
    }
}

// === impl Op ===

impl Op {
    fn weight(&self) -> usize {
        64 + match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key, last, .. } => key.len() + last.len(),
            Self::Check { key, .. } => key.len(),
        }
    }
}

// === impl Expect ===

impl Expect {
    /// Whether a key last written at `current` (none: absent) meets this.
    pub(crate) fn holds(self, current: Option<u64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => current.is_none(),
            Self::Present => current.is_some(),
            Self::At(revision) => current == Some(revision),
        }
    }
}
