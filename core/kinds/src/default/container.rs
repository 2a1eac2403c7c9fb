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
    let last = name.rsplit('/').next().unwrap_or_default();
    let latest = match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest && !last.is_empty(),
    };
    if latest { "Always" } else { "IfNotPresent" }
}

fn http_get(handler: &mut Value) {
    if let Some(get) = handler.get_mut("httpGet") {
        set_default(get, "path", "/");
        set_default(get, "scheme", "HTTP");
    }
}
