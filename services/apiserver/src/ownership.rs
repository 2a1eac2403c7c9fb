//! Who owns which field: the bridge to crate `merge`.

use crate::shim::merge::apply::{self, Manager};
use jiff::Timestamp;
use kinds::Kind;
use serde_json::Value;
use wire::{Cause, Status};

use crate::{core::Core, rules::subresource_name};

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
        Manager {
            name: self.name.clone(),
            api_version: kind.api_version(),
            subresource: subresource_name(&self.subresource).map(str::to_owned),
            time: wire::time::seconds(self.now),
        }
    }

    /// Records a create, update or patch in `new`'s managed fields.
    pub(crate) fn track(&self, core: &Core, kind: &'static Kind, old: Option<&Value>, new: &mut Value) {
        apply::track_update(core.rules.schema(kind), old, new, &self.manager(kind));
    }

    /// Merges an applied configuration into what exists.
    ///
    /// # Errors
    /// 409 when others own a field that the configuration changes.
    pub(crate) fn apply(
        &self,
        core: &Core,
        kind: &'static Kind,
        live: Option<&Value>,
        applied: &Value,
        force: bool,
    ) -> Result<Value, Status> {
        let schema = core.rules.schema(kind);
        apply::apply(schema, live, applied, &self.manager(kind), force)
            .map_err(|conflicts| refused(&conflicts))
    }
}

fn refused(conflicts: &[apply::Conflict]) -> Status {
    let causes: Vec<Cause> = conflicts
        .iter()
        .map(|conflict| Cause {
            reason: "FieldManagerConflict".to_owned(),
            message: conflict.message(),
            field: conflict.field.clone(),
        })
        .collect();
    Status::apply_conflict(causes, apply::summary(conflicts))
}
