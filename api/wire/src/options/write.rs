//! Options of create, update and patch.

use super::{CreateOptions, FieldValidation, PatchKind, PatchOptions, Query, dry_run, invalid};
use crate::Status;
use crate::field::FieldError;

/// Longest name of a field manager, in bytes.
const MANAGER_MAX: usize = 128;

/// The field manager of a client that names none: the start of its user agent, up to the first `/`.
pub fn default_manager(user_agent: &str) -> String {
    let product = user_agent.split('/').next().unwrap_or_default();
    let mut name: String = product.chars().filter(|c| !c.is_control()).collect();
    while name.len() > MANAGER_MAX {
        name.pop();
    }
    if name.is_empty() { "unknown".to_owned() } else { name }
}

impl CreateOptions {
    /// Reads the query of a create.
    ///
    /// # Errors
    /// 422 for values that Kubernetes refuses.
    pub fn from_query(query: &Query) -> Result<CreateOptions, Status> {
        let mut errors = Vec::new();
        let options = read(query, &mut errors);
        invalid("CreateOptions", &errors)?;
        Ok(options)
    }

    /// Reads the query of an update.
    ///
    /// # Errors
    /// 422 for values that Kubernetes refuses.
    pub fn update_from_query(query: &Query) -> Result<CreateOptions, Status> {
        let mut errors = Vec::new();
        let options = read(query, &mut errors);
        invalid("UpdateOptions", &errors)?;
        Ok(options)
    }
}

impl PatchOptions {
    /// Reads the query of a patch.
    ///
    /// # Errors
    /// 422 for values that Kubernetes refuses: an apply needs a field manager, only an apply may force.
    pub fn from_query(query: &Query, kind: PatchKind) -> Result<PatchOptions, Status> {
        let mut errors = Vec::new();
        let force = query.flag_if_present("force");
        if kind == PatchKind::Apply {
            if query.non_empty("fieldManager").is_none() {
                errors.push(FieldError::required("fieldManager", "is required for apply patch"));
            }
        } else if force.is_some() {
            errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
        }
        let write = read(query, &mut errors);
        invalid("PatchOptions", &errors)?;
        Ok(PatchOptions { write, force: force.unwrap_or(false) })
    }
}

fn read(query: &Query, errors: &mut Vec<FieldError>) -> CreateOptions {
    let field_manager = query.get("fieldManager").unwrap_or_default().to_owned();
    check_manager(&field_manager, errors);
    let dry_run = dry_run(&query.all("dryRun").filter(|v| !v.is_empty()).collect::<Vec<_>>(), errors);
    let field_validation = match query.get("fieldValidation").unwrap_or_default() {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            let valid = ["", "Ignore", "Strict", "Warn"];
            errors.push(FieldError::not_supported("fieldValidation", other, &valid));
            FieldValidation::Warn
        }
    };
    CreateOptions { dry_run, field_manager, field_validation }
}

fn check_manager(name: &str, errors: &mut Vec<FieldError>) {
    if name.len() > MANAGER_MAX {
        errors.push(FieldError::too_long("fieldManager", MANAGER_MAX));
    }
    for (position, c) in name.char_indices().filter(|(_, c)| c.is_control()) {
        let why = format!("invalid character U+{:04X} (at position {position})", u32::from(c));
        errors.push(FieldError::invalid("fieldManager", name, why));
    }
}
