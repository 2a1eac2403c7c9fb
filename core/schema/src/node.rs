//! The compiled schema tree.

use std::sync::{Arc, OnceLock};

use regex::Regex;
use serde_json::Value;

use crate::format::Format;
use crate::rules::Rule;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything at all.
    Any,
    /// A JSON object: a struct, a map, or both.
    Object,
    /// A list.
    Array,
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A truth value.
    Boolean,
    /// A whole number or text.
    IntOrString,
    /// A resource quantity of a built-in kind: text, or a number that Kubernetes reads as one.
    Quantity,
}

/// How the items of a list belong together when several writers touch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    /// The list is one value.
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects, told apart by these fields.
    Map(Box<[Box<str>]>),
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strategy {
    /// Lists are merged item by item (by `merge_key`, or as a set of scalars).
    pub merge: bool,
    /// Fields that the patch does not name in `$retainKeys` are dropped.
    pub retain_keys: bool,
    /// The patch replaces the value.
    pub replace: bool,
    /// The field that tells list items apart.
    pub merge_key: Option<Box<str>>,
}

/// A declared field of an object.
#[derive(Clone, Debug)]
pub struct Field {
    pub(crate) name: Box<str>,
    pub(crate) schema: Link,
    pub(crate) strategy: Option<Box<Strategy>>,
    pub(crate) zero: Option<Zero>,
}

/// What a built-in kind's field holds that nobody has set, where Go writes it all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// `null`: a pointer, list or map that is required.
    Null,
    /// The zero of its type: `""`, `0`, `false`, or a struct of such fields.
    Value,
}

/// A compiled schema: one node, and all below it.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(crate) kind: Kind,
    pub(crate) format: Format,
    pub(crate) nullable: bool,
    /// Unknown fields are kept.
    pub(crate) preserve: bool,
    pub(crate) embedded: bool,
    pub(crate) atomic_map: bool,
    /// `additionalProperties: true`.
    pub(crate) any_keys: bool,
    /// Sorted by name.
    pub(crate) fields: Arc<[Field]>,
    pub(crate) additional: Option<Link>,
    pub(crate) items: Option<Link>,
    pub(crate) required: Arc<[Box<str>]>,
    pub(crate) list: ListType,
    pub(crate) default: Option<Arc<Value>>,
    pub(crate) limits: Option<Arc<Limits>>,
    pub(crate) rules: Option<Arc<[Rule]>>,
    /// Whether this node or one below has CEL rules.
    pub(crate) ruled: bool,
}

/// The less common constraints on a value.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) choices: Option<Vec<Value>>,
    pub(crate) pattern: Option<Arc<Pattern>>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) min_items: Option<usize>,
    pub(crate) max_items: Option<usize>,
    pub(crate) min_properties: Option<usize>,
    pub(crate) max_properties: Option<usize>,
    pub(crate) all_of: Vec<Link>,
    pub(crate) any_of: Vec<Link>,
    pub(crate) one_of: Vec<Link>,
    pub(crate) not: Option<Link>,
}

/// A regular expression, compiled when first needed: many are never used, and each costs tens of kilobytes.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) text: Box<str>,
    regex: OnceLock<Regex>,
}

/// A reference to another node. Recursive types go through a cell that is filled when the type is complete.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    Node(Arc<Schema>),
    Named(Arc<OnceLock<Arc<Schema>>>),
}

// === impl Schema ===

impl Schema {
    /// A schema that accepts and keeps anything.
    pub fn any() -> Self {
        Self {
            kind: Kind::Any,
            format: Format::None,
            nullable: true,
            preserve: true,
            embedded: false,
            atomic_map: false,
            any_keys: false,
            fields: Arc::default(),
            additional: None,
            items: None,
            required: Arc::default(),
            list: ListType::Atomic,
            default: None,
            limits: None,
            rules: None,
            ruled: false,
        }
    }

    /// What a value may be.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The declared field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        self.fields.get(at)
    }

    /// All declared fields, by name.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The schema of a map's values, if this is a map.
    pub fn values(&self) -> Option<&Schema> {
        self.additional.as_ref().map(Link::get)
    }

    /// The schema of what stands at this key: a declared field or a map's value.
    pub fn child(&self, key: &str) -> Option<&Schema> {
        self.field(key).map(Field::schema).or_else(|| self.values())
    }

    /// The schema of a list's items.
    pub fn items(&self) -> Option<&Schema> {
        self.items.as_ref().map(Link::get)
    }

    /// How a list's items belong together.
    pub fn list_type(&self) -> &ListType {
        &self.list
    }

    /// Whether an object is one value (`x-kubernetes-map-type: atomic`).
    pub fn is_atomic_map(&self) -> bool {
        self.atomic_map
    }

    /// Whether unknown fields are kept.
    pub fn preserves_unknown(&self) -> bool {
        self.preserve
    }

    /// Whether this is a map of anything (`additionalProperties: true`).
    pub fn accepts_any_key(&self) -> bool {
        self.any_keys
    }

    /// Whether there are CEL rules here or below, which may take their time.
    pub fn has_rules(&self) -> bool {
        self.ruled
    }

    /// Whether `null` is a value here.
    pub fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// The value that an absent field takes.
    pub fn default_value(&self) -> Option<&Value> {
        self.default.as_deref()
    }
}

// === impl Field ===

impl Field {
    /// The field's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the field holds.
    pub fn schema(&self) -> &Schema {
        self.schema.get()
    }

    /// What the field holds that nobody has set; none when it is then absent, and for custom kinds.
    pub fn zero(&self) -> Option<Zero> {
        self.zero
    }

    /// How a strategic merge patch treats the field, if it says anything.
    pub fn strategy(&self) -> Option<&Strategy> {
        self.strategy.as_deref()
    }
}

// === impl Pattern ===

impl Pattern {
    /// Refuses a pattern that cannot be compiled, without keeping the compiled form.
    pub(crate) fn new(text: &str) -> Result<Self, regex::Error> {
        build(text)?;
        Ok(Self { text: text.into(), regex: OnceLock::new() })
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        let regex = self.regex.get_or_init(|| build(&self.text).expect("compiled before, in `new`"));
        regex.is_match(value)
    }
}

/// Bounded, because patterns come from users: the automaton may take 1 MiB and its cache a quarter of that.
fn build(text: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(text).size_limit(1 << 20).dfa_size_limit(1 << 18).build()
}

// === impl Link ===

impl Link {
    pub(crate) fn get(&self) -> &Schema {
        match self {
            Link::Node(node) => node,
            Link::Named(cell) => cell.get().expect("filled before the compiler returns"),
        }
    }

    /// The node if its type is complete by now.
    pub(crate) fn complete(&self) -> Option<&Arc<Schema>> {
        match self {
            Link::Node(node) => Some(node),
            Link::Named(cell) => cell.get(),
        }
    }

    /// What tells two links apart.
    pub(crate) fn address(&self) -> usize {
        match self {
            Link::Node(node) => Arc::as_ptr(node) as usize,
            Link::Named(cell) => Arc::as_ptr(cell) as usize,
        }
    }
}
