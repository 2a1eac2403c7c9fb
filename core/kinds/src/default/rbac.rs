//! Defaults of role bindings and CustomResourceDefinitions.

use serde_json::{Value, json};

use crate::value::{field, items_mut, object, set_default, text};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A role binding of either scope.
pub(super) fn binding(binding: &mut Value) {
    object(binding, "roleRef");
    if let Some(role) = binding.get_mut("roleRef") {
        set_default(role, "apiGroup", GROUP);
    }
    for subject in items_mut(binding, "/subjects") {
        if matches!(text(subject, "/kind"), "User" | "Group") {
            set_default(subject, "apiGroup", GROUP);
        }
    }
}

/// A CustomResourceDefinition: names that follow from others.
pub(super) fn crd(crd: &mut Value) {
    object(crd, "spec");
    let spec = field(crd, "spec");
    object(spec, "names");
    let names = field(spec, "names");
    let kind = text(names, "/kind").to_owned();
    if !kind.is_empty() {
        set_default(names, "singular", kind.to_lowercase());
        set_default(names, "listKind", format!("{kind}List"));
    }
    set_default(spec, "conversion", json!({"strategy": "None"}));
    let service =
        spec.pointer_mut("/conversion/webhook/clientConfig/service").filter(|service| service.is_object());
    service.into_iter().for_each(|service| set_default(service, "port", 443));
    for version in items_mut(spec, "/versions") {
        crate::value::drop_nulls(version);
    }
}
