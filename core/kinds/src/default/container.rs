//! Defaults of containers and probes.

use serde_json::{Value, json};

use super::quantity;
use crate::value::{items_mut, set_default, set_default_number, text};

/// A container, init container or ephemeral container.
pub(super) fn container(container: &mut Value) {
    let policy = pull_policy(text(container, "/image"));
    set_default(container, "imagePullPolicy", policy);
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    quantity::resource_list(container, "/resources/limits");
    quantity::resource_list(container, "/resources/requests");
    for port in items_mut(container, "/ports") {
        set_default(port, "protocol", "TCP");
    }
    for variable in items_mut(container, "/env") {
        if let Some(source) = variable.get_mut("valueFrom") {
            field_source(source);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            set_default_number(probe, "timeoutSeconds", 1);
            set_default_number(probe, "periodSeconds", 10);
            set_default_number(probe, "successThreshold", 1);
            set_default_number(probe, "failureThreshold", 3);
            http_get(probe);
            if let Some(grpc) = probe.get_mut("grpc") {
                set_default(grpc, "service", "");
            }
        }
    }
    for name in ["/lifecycle/postStart", "/lifecycle/preStop"] {
        if let Some(handler) = container.pointer_mut(name) {
            http_get(handler);
        }
    }
}

/// `fieldRef` and `resourceFieldRef` of an environment variable or a downward API file.
pub(super) fn field_source(source: &mut Value) {
    if let Some(field) = source.get_mut("fieldRef") {
        set_default(field, "apiVersion", "v1");
    }
    if let Some(resource) = source.get_mut("resourceFieldRef") {
        set_default(resource, "divisor", "0");
        if let Some(divisor) = resource.get_mut("divisor") {
            quantity::canonical(divisor);
        }
    }
}

/// Images tagged `latest` (or not at all) are always pulled, others if they are not there.
pub(super) fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let (path, last) = name.rsplit_once('/').unwrap_or(("", name));
    let (last, tag) = last.split_once(':').map_or((last, None), |(last, tag)| (last, Some(tag)));
    let latest = tag.map_or(!digest, |tag| tag == "latest");
    let parts = path.split('/').filter(|part| !part.is_empty()).chain([last]);
    // The first part may be a host, with capitals and a port; a name that is no reference has no tag.
    let readable = parts.enumerate().all(|(index, part)| is_name(part) || (index == 0 && part != last));
    if latest && readable { "Always" } else { "IfNotPresent" }
}

fn is_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(plain) && part.ends_with(plain) && part.chars().all(|c| plain(c) || "._-".contains(c))
}

fn http_get(handler: &mut Value) {
    if let Some(get) = handler.get_mut("httpGet") {
        set_default(get, "path", "/");
        set_default(get, "scheme", "HTTP");
    }
}
