//! Preparing services. Addresses themselves come from the API server, which owns the range: after
//! [`super::prepare_create`] a service that needs one has no `clusterIP`.

use serde_json::{Value, json};

use crate::value::{field, missing, object, remove, set, set_default, text};

/// A new service.
pub(super) fn create(service: &mut Value) {
    set(service, "status", json!({"loadBalancer": {}}));
    object(service, "spec");
    let spec = field(service, "spec");
    normalize_addresses(spec);
    families(spec);
}

/// An update that leaves out what the server gave keeps it.
pub(super) fn update(service: &mut Value, old: &Value) {
    object(service, "spec");
    let spec = field(service, "spec");
    if text(spec, "/type") == "ExternalName" {
        if text(old, "/spec/type") != "ExternalName" {
            for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                remove(spec, name);
            }
        }
        return;
    }
    for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let absent = missing(spec, &format!("/{name}"));
        if let Some(value) = old.pointer("/spec").and_then(|s| s.get(name)).filter(|_| absent) {
            set(spec, name, value.clone());
        }
    }
    normalize_addresses(spec);
    families(spec);
}

/// `clusterIP` and `clusterIPs` say the same.
fn normalize_addresses(spec: &mut Value) {
    let one = text(spec, "/clusterIP").to_owned();
    let first = text(spec, "/clusterIPs/0").to_owned();
    if !one.is_empty() && first.is_empty() {
        set(spec, "clusterIPs", json!([one]));
    } else if one.is_empty() && !first.is_empty() {
        set(spec, "clusterIP", first);
    }
    if text(spec, "/clusterIP").is_empty() {
        remove(spec, "clusterIP");
        remove(spec, "clusterIPs");
    }
}

/// We serve IPv4. A headless service without a selector may have endpoints of any family.
fn families(spec: &mut Value) {
    if text(spec, "/type") == "ExternalName" {
        return;
    }
    let loose = text(spec, "/clusterIP") == "None" && missing(spec, "/selector");
    if loose && missing(spec, "/ipFamilyPolicy") && missing(spec, "/ipFamilies") {
        set(spec, "ipFamilies", json!(["IPv4", "IPv6"]));
        set(spec, "ipFamilyPolicy", "RequireDualStack");
        return;
    }
    if missing(spec, "/ipFamilies") {
        set(spec, "ipFamilies", json!(["IPv4"]));
    }
    set_default(spec, "ipFamilyPolicy", "SingleStack");
}
