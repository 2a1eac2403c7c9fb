//! Environment variables and `$(NAME)` references, by Kubernetes' rules.
//!
//! Order of precedence: service variables, `envFrom` in order, `env` in order; the image's own come beneath all.
//! A reference sees service variables and what stands before it, never the image's variables.

use crate::{Refusal, downward, inputs::Inputs};
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource};

/// Name and value of each variable in order of first appearance, without those of the image.
///
/// # Errors
/// A reference to a config map, secret, key or field that does not exist and is not optional.
pub fn resolve(inputs: &Inputs<'_>) -> Result<Vec<(String, String)>, Refusal> {
    let mut variables = inputs.sources.services.clone();
    for source in inputs.container.env_from.iter().flatten() {
        add_all(inputs, source, &mut variables)?;
    }
    for variable in inputs.container.env.iter().flatten() {
        if let Some(value) = value_of(inputs, variable, &variables)? {
            set(&mut variables, &variable.name, value);
        }
    }
    Ok(variables)
}

/// Replaces `$(NAME)` by its value and `$$` by `$`; a reference to an unknown name stays as written.
pub fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(variables, name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Sets a variable in place, or at the end if it is new.
pub(crate) fn set(variables: &mut Vec<(String, String)>, name: &str, value: String) {
    match variables.iter_mut().find(|(known, _)| known == name) {
        Some(entry) => entry.1 = value,
        None => variables.push((name.to_owned(), value)),
    }
}

pub(crate) fn lookup<'v>(variables: &'v [(String, String)], name: &str) -> Option<&'v str> {
    variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Adds every key of a config map or secret.
fn add_all(
    inputs: &Inputs<'_>,
    source: &EnvFromSource,
    variables: &mut Vec<(String, String)>,
) -> Result<(), Refusal> {
    let prefix = source.prefix.as_deref().unwrap_or("");
    if let Some(reference) = &source.config_map_ref {
        match inputs.sources.config_maps.get(&reference.name) {
            Some(data) => {
                for (key, value) in data {
                    set(variables, &format!("{prefix}{key}"), value.clone());
                }
            }
            None if reference.optional == Some(true) => {}
            None => return Err(missing(inputs, "configmap", &reference.name)),
        }
    }
    if let Some(reference) = &source.secret_ref {
        match inputs.sources.secrets.get(&reference.name) {
            Some(data) => {
                for (key, value) in data {
                    set(variables, &format!("{prefix}{key}"), text(value));
                }
            }
            None if reference.optional == Some(true) => {}
            None => return Err(missing(inputs, "secret", &reference.name)),
        }
    }
    Ok(())
}

/// Value of one variable; `None` when an optional source is missing: the variable is then not set at all.
fn value_of(
    inputs: &Inputs<'_>,
    variable: &EnvVar,
    variables: &[(String, String)],
) -> Result<Option<String>, Refusal> {
    match (&variable.value, &variable.value_from) {
        (Some(value), _) if !value.is_empty() => Ok(Some(expand(value, variables))),
        (_, Some(source)) => value_from(inputs, &variable.name, source),
        _ => Ok(Some(String::new())),
    }
}

fn value_from(inputs: &Inputs<'_>, name: &str, source: &EnvVarSource) -> Result<Option<String>, Refusal> {
    if let Some(field) = &source.field_ref {
        return downward::field_ref(
            inputs.pod,
            &field.field_path,
            inputs.pod_ips,
            &inputs.host.node_name,
            &inputs.host.node_ips,
        )
        .map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        return downward::resource_field_ref(inputs.pod, inputs.container, resource, inputs.host).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(data) = inputs.sources.config_maps.get(&reference.name) else {
            return if optional { Ok(None) } else { Err(missing(inputs, "configmap", &reference.name)) };
        };
        return match data.get(&reference.key) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(missing_key(inputs, "ConfigMap", &reference.name, &reference.key)),
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(data) = inputs.sources.secrets.get(&reference.name) else {
            return if optional { Ok(None) } else { Err(missing(inputs, "secret", &reference.name)) };
        };
        return match data.get(&reference.key) {
            Some(value) => Ok(Some(text(value))),
            None if optional => Ok(None),
            None => Err(missing_key(inputs, "Secret", &reference.name, &reference.key)),
        };
    }
    Err(Refusal::forbidden(
        format!("spec.containers[{}].env[{name}].valueFrom", inputs.container.name),
        "this source of a value is not supported",
        "use fieldRef, resourceFieldRef, configMapKeyRef or secretKeyRef",
    ))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// kubelet: `configmap "x" not found`.
fn missing(inputs: &Inputs<'_>, kind: &str, name: &str) -> Refusal {
    Refusal::config(
        format!("spec.containers[{}].env", inputs.container.name),
        format!("{kind} \"{name}\" not found"),
    )
}

/// kubelet: `couldn't find key k in ConfigMap ns/name`.
fn missing_key(inputs: &Inputs<'_>, kind: &str, name: &str, key: &str) -> Refusal {
    let namespace = inputs.pod.metadata.namespace.as_deref().unwrap_or("default");
    Refusal::config(
        format!("spec.containers[{}].env", inputs.container.name),
        format!("couldn't find key {key} in {kind} {namespace}/{name}"),
    )
}
