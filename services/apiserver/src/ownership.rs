//! Who owns which field: the bridge to crate `merge`.

use jiff::Timestamp;
use kinds::Kind;
use merge::{
    Manager,
    apply::{self, Conflict},
};
use serde_json::Value;
use wire::{Cause, Status};

use crate::{core::Core, registry::KindRef, rules::subresource_name};

/// A writer of one request.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) name: String,
    pub(crate) subresource: String,
    pub(crate) now: Timestamp,
}

// === impl Writer ===

impl Writer {
    fn manager(&self, kind: &Kind) -> Manager {
        let reset: &[&str] = match self.subresource.as_str() {
            "" if kind.has_status() => &["status"],
            "status" if kind.custom().is_some() => &["metadata", "spec"],
            "status" => &["spec"],
            _ => &[],
        };
        Manager {
            name: self.name.clone(),
            api_version: kind.api_version(),
            subresource: subresource_name(&self.subresource).map(str::to_owned),
            time: wire::time::seconds(self.now),
            reset: reset.iter().map(ToString::to_string).collect(),
        }
    }

    /// Records a create, update or patch in `new`'s managed fields.
    pub(crate) fn track(&self, core: &Core, kind: &KindRef, old: Option<&Value>, new: &mut Value) {
        apply::track_update(core.rules.schema(kind), old, new, &self.manager(kind));
    }

    /// Merges an applied configuration into what exists.
    ///
    /// # Errors
    /// 409 when others own a field that the configuration changes.
    pub(crate) fn apply(
        &self,
        core: &Core,
        kind: &KindRef,
        live: Option<&Value>,
        applied: &Value,
        force: bool,
    ) -> Result<Value, Status> {
        let schema = core.rules.schema(kind);
        apply::apply(schema, live, applied, &self.manager(kind), force)
            .map_err(|conflicts| refused(&conflicts))
    }
}

fn refused(conflicts: &[Conflict]) -> Status {
    let cause = |conflict: &Conflict| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", conflict.manager),
        field: conflict.path.clone(),
    };
    Status::apply_conflict(conflicts.iter().map(cause).collect(), apply::message(conflicts))
}
