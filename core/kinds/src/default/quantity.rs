//! Quantities are stored in canonical form, as Kubernetes writes them back: `0.5` becomes `500m`.

use serde_json::Value;
use wire::Quantity;

use crate::value::entries;

/// Makes one quantity canonical; what is no quantity stays for validation to refuse.
pub(crate) fn canonical(value: &mut Value) {
    if let Ok(quantity) = Quantity::from_value(value) {
        *value = Value::from(quantity.to_string());
    }
}

/// Makes all quantities of the map at a pointer canonical.
pub(super) fn canonical_map(value: &mut Value, pointer: &str) {
    if let Some(map) = value.pointer_mut(pointer).and_then(Value::as_object_mut) {
        map.values_mut().for_each(canonical);
    }
}

/// Makes the resource list at a pointer canonical, rounded up to thousandths.
pub(super) fn resource_list(value: &mut Value, pointer: &str) {
    let Some(map) = value.pointer_mut(pointer).and_then(Value::as_object_mut) else { return };
    for amount in map.values_mut() {
        let Ok(quantity) = Quantity::from_value(amount) else { continue };
        let exact =
            Quantity::millis(quantity.milli_value()) == quantity || quantity.milli_value() == i64::MAX;
        let rounded = if exact { quantity } else { Quantity::millis(quantity.milli_value()) };
        *amount = Value::from(rounded.to_string());
    }
}

/// Requests that are not set are as large as the limits.
pub(super) fn requests_from_limits(resources: &mut Value) {
    let limits: Vec<(String, Value)> =
        entries(resources, "/limits").map(|(name, amount)| (name.clone(), amount.clone())).collect();
    if limits.is_empty() {
        return;
    }
    let requests = crate::value::object(resources, "requests");
    for (name, amount) in limits {
        requests.entry(name).or_insert(amount);
    }
}
