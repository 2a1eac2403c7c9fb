//! The patches that need no schema.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::PatchError;
use crate::extent::{self, MAX_DEPTH};

/// The most operations in one JSON patch.
const MAX_OPERATIONS: usize = 10_000;
/// How many bytes `copy` may add in one JSON patch, as Kubernetes sets it.
const MAX_COPIED: usize = 3 * 1024 * 1024;
/// How many bytes `move` may carry about in one JSON patch: it adds none, but each takes a walk.
const MAX_MOVED: usize = 64 * 1024 * 1024;

/// What is left of a patch's allowance.
struct Allowance {
    copied: usize,
    moved: usize,
}

/// Applies a JSON patch (RFC 6902). On an error the object may be half changed.
pub fn json_patch(object: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let operations = read(patch)?;
    let mut left = Allowance { copied: MAX_COPIED, moved: MAX_MOVED };
    for operation in &operations {
        left.charge(object, operation)?;
        let one = std::slice::from_ref(operation);
        json_patch::patch_unsafe(object, one).map_err(|error| PatchError::Unfit(error.to_string()))?;
    }
    Ok(())
}

/// What is no list of operations is no patch; an operation that makes no sense fails when it is applied.
fn read(patch: &Value) -> Result<Vec<PatchOperation>, PatchError> {
    const LIST: &str = "[]handlers.jsonPatchOp";
    const ITEM: &str = "handlers.jsonPatchOp";
    let items = patch.as_array().ok_or_else(|| wrong(patch, &format!("value of type {LIST}")))?;
    if items.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            items.len()
        )));
    }
    for item in items {
        let fields = item.as_object().ok_or_else(|| wrong(item, &format!("value of type {ITEM}")))?;
        for name in ["op", "path", "from"] {
            if let Some(value) = fields.get(name).filter(|value| !value.is_string() && !value.is_null()) {
                return Err(wrong(value, &format!("struct field jsonPatchOp.{name} of type string")));
            }
        }
    }
    let read = |item: &Value| serde_json::from_value(item.clone());
    items.iter().map(read).collect::<Result<_, _>>().map_err(|error| PatchError::Unfit(error.to_string()))
}

fn wrong(found: &Value, wanted: &str) -> PatchError {
    let found = wire::type_name(found);
    PatchError::Malformed(format!("error decoding patch: json: cannot unmarshal {found} into Go {wanted}"))
}

/// Applies a JSON merge patch (RFC 7396) to an object: nulls delete, objects merge, all else replaces.
///
/// # Errors
/// A patch that is no object would replace the whole one, and is refused.
pub fn merge_patch(object: &mut Value, patch: &Value) -> Result<(), PatchError> {
    match patch {
        Value::Object(_) => merge(object, patch),
        Value::Null => return Err(PatchError::Malformed("Invalid JSON Patch".to_owned())),
        other => return Err(wrong(other, "value of type map[string]interface {}")),
    }
    Ok(())
}

fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = object else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

// === impl Allowance ===

impl Allowance {
    /// Refuses, before it is done, what would make the object too deep or too big.
    fn charge(&mut self, object: &Value, operation: &PatchOperation) -> Result<(), PatchError> {
        let steps = |path: &str| path.bytes().filter(|byte| *byte == b'/').count();
        let (path, value) = match operation {
            PatchOperation::Add(add) => (&add.path, Some(&add.value)),
            PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value)),
            PatchOperation::Copy(copy) => (&copy.path, object.pointer(copy.from.as_str())),
            PatchOperation::Move(carry) => (&carry.path, object.pointer(carry.from.as_str())),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
        };
        // What is not there fails when it is applied.
        let Some(value) = value else { return Ok(()) };
        let measured = extent::measure(value);
        if steps(path.as_str()) + measured.depth > MAX_DEPTH {
            return Err(PatchError::Unfit(format!("the object would be nested deeper than {MAX_DEPTH}")));
        }
        let (left, what) = match operation {
            PatchOperation::Copy(_) => (&mut self.copied, "copy"),
            PatchOperation::Move(_) => (&mut self.moved, "move"),
            _ => return Ok(()),
        };
        *left = left.checked_sub(measured.bytes).ok_or_else(|| {
            let why = format!("Unable to complete the {what}, the accumulated size exceeds the limit");
            PatchError::Unfit(why)
        })?;
        Ok(())
    }
}
