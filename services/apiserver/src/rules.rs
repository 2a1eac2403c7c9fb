//! What an object must be before it is stored: schema first, then Kubernetes' rules for its kind.
//!
//! ```text
//! decode -> unknown fields dropped (told, refused) -> types -> defaults -> prepare -> validate -> CEL
//! ```

mod encoding;
mod metadata;

use std::{collections::HashMap, sync::Arc};

use kinds::{Body, Kind};
use schema::{Document, Schema};
use serde_json::Value;
use wire::{FieldError, FieldValidation, Status};

use crate::{body::BoxError, object, registry::KindRef};

/// The schemas of all kinds.
pub(crate) struct Rules {
    schemas: HashMap<(&'static str, &'static str, &'static str), Arc<Schema>>,
    any: Schema,
}

/// What strict decoding found wrong, to be told or refused.
pub(crate) type Problems = Vec<String>;

// === impl Rules ===

impl Rules {
    /// Collects the schemas of the kinds served: Kubernetes' own, and those of the CRDs.
    pub(crate) fn new(crds: &[Value]) -> Result<Self, BoxError> {
        let mut schemas = HashMap::new();
        for kind in kinds::table() {
            let found = match kind.custom() {
                Some(_) => Some(compiled(kind, crds)?),
                None => Document::bundled().schema(&kind.group, &kind.version, &kind.kind),
            };
            if let Some(schema) = found {
                schemas.insert((&*kind.group, &*kind.version, &*kind.kind), schema);
            }
        }
        Ok(Self { schemas, any: Schema::any() })
    }

    /// The schema of a kind.
    pub(crate) fn schema<'a>(&'a self, kind: &'a KindRef) -> &'a Schema {
        let built_in = || self.schemas.get(&(&*kind.group, &*kind.version, &*kind.kind)).map(AsRef::as_ref);
        kind.defined_schema().or_else(built_in).unwrap_or(&self.any)
    }

    /// Drops what the kind does not know from what a client sent, and names it.
    ///
    /// # Errors
    /// 400 when a value has a type that its field cannot take.
    pub(crate) fn trim(&self, kind: &KindRef, value: &mut Value) -> Result<Problems, Status> {
        self.trim_typed(kind, value).map_err(|why| Status::undecodable(&kind.kind, &kind.version, why))
    }

    /// The same; `Err` is the decoder's text, for those who answer otherwise. Custom kinds are checked for their
    /// metadata only: the rest is for validation.
    pub(crate) fn trim_typed(&self, kind: &KindRef, value: &mut Value) -> Result<Problems, String> {
        let schema = self.schema(kind);
        metadata::check(kind, value)?;
        let mut unknown = schema::prune(schema, value);
        if kind.custom().is_some() {
            // Their metadata is decoded first.
            unknown.sort_by_key(|path| !path.starts_with("metadata."));
        }
        if kind.custom().is_none() {
            if let Some(error) = schema::check_types(schema, value).first() {
                return Err(error.to_string());
            }
            encoding::check(kind, schema, value)?;
            schema::settle_nulls(schema, value);
        }
        Ok(unknown.iter().map(|path| format!("unknown field {}", wire::quote(path))).collect())
    }

    /// Sets what is absent and has a default.
    pub(crate) fn fill(&self, kind: &KindRef, value: &mut Value) {
        schema::default(self.schema(kind), value);
        kinds::default(kind, value);
    }

    /// Refuses what may not be stored.
    pub(crate) fn validate(
        &self,
        kind: &KindRef,
        subresource: &str,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let mut errors = Vec::new();
        if kind.custom().is_some() {
            errors.extend(schema::validate(self.schema(kind), new, old));
        }
        let defines = matches!(kind.body, Body::CustomResourceDefinition) && subresource.is_empty();
        if defines && old.is_none_or(|old| old["spec"]["versions"] != new["spec"]["versions"]) {
            errors.extend(schema::check_versions(&new["spec"]));
        }
        errors.extend(match old {
            Some(old) => kinds::validate_update(kind, subresource_name(subresource), new, old),
            None => kinds::validate_create(kind, new),
        });
        refuse(kind, object::name(new), &errors)
    }
}

/// 400 when a field of the metadata has a type that it cannot take.
pub(crate) fn metadata(kind: &Kind, value: &Value) -> Result<(), Status> {
    metadata::check(kind, value).map_err(|why| Status::undecodable(&kind.kind, &kind.version, why))
}

/// 422 when there are errors.
pub(crate) fn refuse(kind: &Kind, name: &str, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(kind.qualified_kind(), name, errors)) }
}

/// A subresource as crate `kinds` wants it.
pub(crate) fn subresource_name(subresource: &str) -> Option<&str> {
    Some(subresource).filter(|subresource| !subresource.is_empty())
}

/// What becomes of the problems that strict decoding found.
pub(crate) fn judge(
    kind: &Kind,
    validation: FieldValidation,
    problems: Problems,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    match validation {
        _ if problems.is_empty() => {}
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.extend(problems),
        FieldValidation::Strict => return Err(Status::strict_decoding(&kind.kind, &kind.version, &problems)),
    }
    Ok(())
}

/// The schema of a custom kind, from the CRD that defines it.
fn compiled(kind: &Kind, crds: &[Value]) -> Result<Arc<Schema>, BoxError> {
    let ours =
        |crd: &&Value| crd["spec"]["group"] == *kind.group && crd["spec"]["names"]["kind"] == *kind.kind;
    let crd = crds.iter().find(ours).ok_or_else(|| format!("no CRD for {}", kind.qualified_kind()))?;
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let version = versions.into_iter().find(|version| version["name"] == *kind.version);
    let version = version.ok_or_else(|| format!("CRD {} lacks {}", kind.qualified_kind(), kind.version))?;
    Ok(Schema::compile(&version["schema"]["openAPIV3Schema"])?)
}
