//! Compiles JSON schemas to [`Schema`] trees.
//!
//! Equal subtrees become one node: a CRD that carries a whole PodSpec twice costs little more than one that
//! carries it once, and a [`Compiler`] kept for several schemas shares between them too.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use crate::document::Document;
use crate::format::Format;
use crate::node::{Field, Kind, Limits, Link, Pattern, Schema};
use crate::rules::Rule;

mod keywords;

use keywords::{is_real, list_type, reference, strategy, texts, zero};

/// The deepest schema taken.
const MAX_DEPTH: usize = 128;

/// Why a schema cannot be compiled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{path}: {detail}")]
pub struct CompileError {
    /// Where in the schema, in JSON form: `properties[spec].items.pattern`.
    pub path: String,
    /// What is wrong there.
    pub detail: String,
    /// The value that is wrong, where it says more than its place.
    pub value: Option<Value>,
}

/// Compiles schemas, sharing equal parts among all that it compiles. It remembers all of them, at some megabytes
/// for a few large ones: drop it when done.
#[derive(Default)]
pub struct Compiler {
    nodes: HashMap<String, Arc<Schema>>,
    patterns: HashMap<String, Arc<Pattern>>,
    /// Component schemas by name, of published documents only.
    named: HashMap<String, Arc<OnceLock<Arc<Schema>>>>,
    path: String,
    depth: usize,
}

type Result<T> = std::result::Result<T, CompileError>;

// === impl Schema ===

impl Schema {
    /// Compiles a CRD version's `openAPIV3Schema`. Its `apiVersion`, `kind` and `metadata` get the types they
    /// have in every object.
    pub fn compile(schema: &Value) -> Result<Arc<Schema>> {
        Compiler::default().compile(schema)
    }
}

// === impl Compiler ===

impl Compiler {
    /// Compiles the schema of a whole object, as [`Schema::compile`].
    pub fn compile(&mut self, schema: &Value) -> Result<Arc<Schema>> {
        self.path.clear();
        let root = self.node(schema, None)?;
        let mut root = Schema::clone(root.get());
        root.embed();
        Ok(Arc::new(root))
    }

    /// Compiles all component schemas of a published document.
    pub(crate) fn components(&mut self, all: &Map<String, Value>) -> Result<HashMap<String, Arc<Schema>>> {
        let mut out = HashMap::with_capacity(all.len());
        for name in all.keys() {
            let link = self.component(name, all)?;
            let node = link.complete().expect("complete when the outermost call returns");
            out.insert(name.clone(), Arc::clone(node));
        }
        Ok(out)
    }

    fn component(&mut self, name: &str, all: &Map<String, Value>) -> Result<Link> {
        if let Some(cell) = self.named.get(name) {
            return Ok(cell
                .get()
                .map_or_else(|| Link::Named(Arc::clone(cell)), |node| Link::Node(Arc::clone(node))));
        }
        let cell = Arc::new(OnceLock::new());
        self.named.insert(name.to_owned(), Arc::clone(&cell));
        let schema = all.get(name).ok_or_else(|| self.error(format!("no component {name}")))?;
        let node = if name.ends_with(".api.resource.Quantity") {
            Arc::new(Schema { kind: Kind::Quantity, nullable: false, preserve: false, ..Schema::any() })
        } else {
            let link = self.node(schema, Some(all))?;
            Arc::clone(link.complete().expect("a node of its own"))
        };
        Ok(Link::Node(Arc::clone(cell.get_or_init(|| node))))
    }

    /// One node. `all` are the components of a published document, which has references and needs leniency;
    /// without them the schema is a structural one.
    fn node(&mut self, schema: &Value, all: Option<&Map<String, Value>>) -> Result<Link> {
        let Some(schema) = schema.as_object() else {
            return Err(self.error("must be an object".to_owned()));
        };
        if let Some(all) = all
            && let Some(name) = reference(schema)
        {
            let link = self.component(name, all)?;
            return Ok(self.overridden(link, schema));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH}")));
        }
        let node = self.build(schema, all)?;
        self.depth -= 1;
        Ok(Link::Node(self.intern(node, schema)))
    }

    /// A use of a named type may say otherwise whether the map is atomic.
    fn overridden(&self, link: Link, schema: &Map<String, Value>) -> Link {
        let Some(map_type) = schema.get("x-kubernetes-map-type").and_then(Value::as_str) else { return link };
        match link.complete() {
            Some(node) => {
                Link::Node(Arc::new(Schema { atomic_map: map_type == "atomic", ..Schema::clone(node) }))
            }
            None => link,
        }
    }

    fn build(&mut self, schema: &Map<String, Value>, all: Option<&Map<String, Value>>) -> Result<Schema> {
        let flag = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or_default();
        let kind = self.kind(schema)?;
        let fields = self.fields(schema, all)?;
        let (additional, any_keys) = match schema.get("additionalProperties") {
            Some(Value::Bool(any)) => (None, *any),
            Some(values) => (Some(self.within("additionalProperties", |it| it.node(values, all))?), false),
            None => (None, false),
        };
        let items = match schema.get("items") {
            Some(items) => Some(self.within("items", |it| it.node(items, all))?),
            None => None,
        };
        let open = all.is_some() && fields.is_empty() && additional.is_none() && kind != Kind::Array;
        let rules = self.rules(schema)?;
        let below = fields.iter().map(|field| &field.schema).chain(&additional).chain(&items);
        let ruled =
            rules.is_some() || below.into_iter().any(|link| link.complete().is_some_and(|node| node.ruled));
        let mut node = Schema {
            kind,
            format: Format::parse(schema.get("format").and_then(Value::as_str)),
            nullable: flag("nullable"),
            preserve: flag("x-kubernetes-preserve-unknown-fields") || open,
            embedded: flag("x-kubernetes-embedded-resource"),
            atomic_map: schema.get("x-kubernetes-map-type").is_some_and(|kind| kind == "atomic"),
            any_keys,
            fields: fields.into(),
            additional,
            items,
            required: texts(schema.get("required")),
            list: list_type(schema),
            default: schema
                .get("default")
                .filter(|value| all.is_none() || is_real(value))
                .cloned()
                .map(Arc::new),
            limits: self.limits(schema, kind, all)?,
            rules,
            ruled,
        };
        if node.embedded {
            node.embed();
        }
        Ok(node)
    }

    fn kind(&self, schema: &Map<String, Value>) -> Result<Kind> {
        let int_or_string =
            schema.get("x-kubernetes-int-or-string").and_then(Value::as_bool).unwrap_or_default();
        if int_or_string || schema.get("format").is_some_and(|format| format == "int-or-string") {
            return Ok(Kind::IntOrString);
        }
        match schema.get("type").and_then(Value::as_str) {
            None => Ok(Kind::Any),
            Some("object") => Ok(Kind::Object),
            Some("array") => Ok(Kind::Array),
            Some("string") => Ok(Kind::String),
            Some("integer") => Ok(Kind::Integer),
            Some("number") => Ok(Kind::Number),
            Some("boolean") => Ok(Kind::Boolean),
            Some(other) => Err(self.error(format!("unknown type {other:?}"))),
        }
    }

    fn fields(
        &mut self,
        schema: &Map<String, Value>,
        all: Option<&Map<String, Value>>,
    ) -> Result<Vec<Field>> {
        let required = texts(schema.get("required"));
        let mut out = Vec::new();
        for (name, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mut link = self.within(&format!("properties[{name}]"), |it| it.node(child, all))?;
            // Published documents give the zero value of every required Go field as its default: noise.
            if all.is_some()
                && required.contains(&name.as_str().into())
                && let Some(node) = link.complete().filter(|node| node.default.is_some())
            {
                link = Link::Node(Arc::new(Schema { default: None, ..Schema::clone(node) }));
            }
            let zero = all.and_then(|_| zero(child, required.contains(&name.as_str().into())));
            out.push(Field { name: name.as_str().into(), schema: link, strategy: strategy(child), zero });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn limits(
        &mut self,
        schema: &Map<String, Value>,
        kind: Kind,
        all: Option<&Map<String, Value>>,
    ) -> Result<Option<Arc<Limits>>> {
        if all.is_some() {
            return Ok(None);
        }
        let number = |key: &str| schema.get(key).and_then(Value::as_f64);
        let size =
            |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let flag = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or_default();
        let not = match schema.get("not") {
            Some(inner) => Some(self.within("not", |it| it.node(inner, None))?),
            None => None,
        };
        // For an int-or-string `anyOf` only says so again.
        let any_of = if kind == Kind::IntOrString { Vec::new() } else { self.branches(schema, "anyOf")? };
        let limits = Limits {
            choices: schema.get("enum").and_then(Value::as_array).cloned(),
            pattern: self.pattern(schema)?,
            minimum: number("minimum"),
            maximum: number("maximum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: size("minLength"),
            max_length: size("maxLength"),
            min_items: size("minItems"),
            max_items: size("maxItems"),
            min_properties: size("minProperties"),
            max_properties: size("maxProperties"),
            all_of: self.branches(schema, "allOf")?,
            any_of,
            one_of: self.branches(schema, "oneOf")?,
            not,
        };
        Ok((!limits.is_empty()).then(|| Arc::new(limits)))
    }

    fn branches(&mut self, schema: &Map<String, Value>, key: &str) -> Result<Vec<Link>> {
        let branches = schema.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let compile = |(index, branch)| self.within(&format!("{key}[{index}]"), |it| it.node(branch, None));
        branches.iter().enumerate().map(compile).collect()
    }

    fn pattern(&mut self, schema: &Map<String, Value>) -> Result<Option<Arc<Pattern>>> {
        let Some(text) = schema.get("pattern").and_then(Value::as_str) else { return Ok(None) };
        if let Some(known) = self.patterns.get(text) {
            return Ok(Some(Arc::clone(known)));
        }
        let pattern = Pattern::new(text);
        let pattern = Arc::new(pattern.map_err(|error| CompileError {
            value: Some(text.into()),
            path: format!("{}{}pattern", self.path, if self.path.is_empty() { "" } else { "." }),
            detail: format!("must be a valid regular expression, but isn't: {error}"),
        })?);
        self.patterns.insert(text.to_owned(), Arc::clone(&pattern));
        Ok(Some(pattern))
    }

    fn rules(&mut self, schema: &Map<String, Value>) -> Result<Option<Arc<[Rule]>>> {
        let Some(rules) = schema.get("x-kubernetes-validations").and_then(Value::as_array) else {
            return Ok(None);
        };
        let compile = |(index, rule): (usize, &Value)| {
            let at = format!("x-kubernetes-validations[{index}].rule");
            let failed =
                |it: &Self, detail| CompileError { value: Some(rule["rule"].clone()), ..it.error(detail) };
            self.within(&at, |it| Rule::compile(rule).map_err(|error| failed(it, error)))
        };
        let rules = rules.iter().enumerate().map(compile).collect::<Result<Vec<Rule>>>()?;
        Ok((!rules.is_empty()).then(|| rules.into()))
    }

    /// The node itself, or an equal one made before. A node is told by its own keywords and its children.
    fn intern(&mut self, node: Schema, schema: &Map<String, Value>) -> Arc<Schema> {
        let mut key = String::new();
        for (keyword, value) in schema {
            if !matches!(keyword.as_str(), "properties" | "items" | "additionalProperties" | "description") {
                let _ = write!(key, "{keyword}={value};");
            }
        }
        for field in node.fields.iter() {
            let _ = write!(key, "{:?}:{:x}{:?};", field.name, field.schema.address(), field.strategy);
        }
        for link in node.additional.iter().chain(&node.items) {
            let _ = write!(key, "|{:x}", link.address());
        }
        let _ = write!(key, "|{}{}{}", node.any_keys, node.additional.is_some(), node.preserve);
        Arc::clone(self.nodes.entry(key).or_insert_with(|| Arc::new(node)))
    }

    /// Runs `then` with the path of errors extended by `step`.
    fn within<T>(&mut self, step: &str, then: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(step);
        let result = then(self);
        self.path.truncate(length);
        result
    }

    fn error(&self, detail: String) -> CompileError {
        CompileError { path: self.path.clone(), detail, value: None }
    }
}

// === impl Schema ===

impl Schema {
    /// Gives the fields that every object has their types.
    fn embed(&mut self) {
        let mut fields: Vec<Field> = self.fields.to_vec();
        fields.retain(|field| !matches!(&*field.name, "apiVersion" | "kind" | "metadata"));
        let text = Arc::new(Schema { kind: Kind::String, nullable: false, preserve: false, ..Schema::any() });
        let mut add = |name: &str, schema: &Arc<Schema>| {
            fields.push(Field {
                name: name.into(),
                schema: Link::Node(Arc::clone(schema)),
                strategy: None,
                zero: None,
            });
        };
        add("apiVersion", &text);
        add("kind", &text);
        if let Some(metadata) = Document::bundled().named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta") {
            add("metadata", &metadata);
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        self.fields = fields.into();
    }
}
