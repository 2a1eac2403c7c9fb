//! A pod's service account: that it exists, and the token that it brings into the pod.
//!
//! Facts: the admission plugin ServiceAccount. The account `default` of every namespace here says
//! `automountServiceAccountToken: false`, so a pod gets a token only if it asks for one, or names an account that gives one.

use serde_json::{Value, json};
use store::Store;

use crate::random;

const ACCOUNTS: &str = "core/serviceaccounts/";
/// The account that each namespace gets. It may not be there yet when the first pods come, and it gives a pod nothing by itself.
const DEFAULT_ACCOUNT: &str = "default";
/// Where containers find it.
const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME: &str = "kube-api-access-";
/// How long a token lives that nobody asked for; it is replaced in time.
const SECONDS: u64 = 3607;
const ROOT_CA: &str = "kube-root-ca.crt";

/// Refuses a pod whose account does not exist; mounts the account's token, and brings its pull secrets.
pub(super) fn admit(store: &Store, namespace: &str, pod: &mut Value) -> Result<(), String> {
    let name = pod["spec"]["serviceAccountName"].as_str().unwrap_or(DEFAULT_ACCOUNT);
    let account = store.get(&format!("{ACCOUNTS}{namespace}/{name}"));
    let account: Option<Value> = account.and_then(|entry| serde_json::from_slice(&entry.value).ok());
    if account.is_none() && name != DEFAULT_ACCOUNT {
        return Err(format!(
            "error looking up service account {namespace}/{name}: serviceaccount {} not found",
            wire::quote(name)
        ));
    }
    let given =
        account.as_ref().map_or(Some(false), |account| account["automountServiceAccountToken"].as_bool());
    if pod["spec"]["automountServiceAccountToken"].as_bool().or(given).unwrap_or(true) {
        mount(pod);
    }
    let secrets = account.map(|mut account| account["imagePullSecrets"].take()).unwrap_or_default();
    let own = pod["spec"]["imagePullSecrets"].as_array().is_some_and(|own| !own.is_empty());
    if !own && secrets.as_array().is_some_and(|secrets| !secrets.is_empty()) {
        pod["spec"]["imagePullSecrets"] = secrets;
    }
    Ok(())
}

/// Mounts the token in every container that has nothing at its place.
fn mount(pod: &mut Value) {
    let spec = &mut pod["spec"];
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let names = volumes.filter_map(|volume| volume["name"].as_str());
    let known = names.into_iter().find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let name = known.clone().unwrap_or_else(|| random::name(VOLUME));
    let mount = json!({"name": name, "readOnly": true, "mountPath": PATH});
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let mounts = container["volumeMounts"].as_array().into_iter().flatten();
            if !mounts.into_iter().any(|mount| mount["mountPath"] == PATH) {
                push(container, "volumeMounts", mount.clone());
                needed = true;
            }
        }
    }
    if needed && known.is_none() {
        push(spec, "volumes", volume(&name));
    }
}

fn volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": SECONDS, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

fn push(object: &mut Value, field: &str, item: Value) {
    match object[field].as_array_mut() {
        Some(items) => items.push(item),
        None => object[field] = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_with_something_of_its_own_at_the_place_keeps_it() {
        let own = json!([{"name": "mine", "mountPath": PATH}]);
        let mut pod = json!({"spec": {"containers": [{"name": "a", "volumeMounts": own}, {"name": "b"}]}});
        mount(&mut pod);
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"], own);
        assert_eq!(pod["spec"]["containers"][1]["volumeMounts"][0]["readOnly"], true);
        assert_eq!(pod["spec"]["volumes"].as_array().map(Vec::len), Some(1));
        let before = pod.clone();
        mount(&mut pod);
        assert_eq!(pod, before, "once is enough");
    }
}
