//! Config maps, secrets and tokens, asked for when a container starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, Secret};
use kube::{Api, Client};

use crate::tokens::Tokens;

/// Data of one object as bytes by key.
pub(crate) type Data = BTreeMap<String, Vec<u8>>;

/// Reads config maps and secrets, and gets tokens.
#[derive(Clone)]
pub(crate) struct Sources {
    client: Client,
    tokens: Arc<Tokens>,
}

// === impl Sources ===

impl Sources {
    pub(crate) fn new(client: Client) -> Self {
        Self { tokens: Arc::new(Tokens::new(client.clone())), client }
    }

    /// Tokens of service accounts.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The text entries of a config map; none if it does not exist.
    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        api.get_opt(name).await.map_err(|error| format!("read configmap {name:?}: {error}"))
    }

    /// All entries of a config map, binary ones included.
    pub(crate) async fn config_map_files(&self, namespace: &str, name: &str) -> Result<Option<Data>, String> {
        let Some(map) = self.config_map(namespace, name).await? else { return Ok(None) };
        let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
        let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        Ok(Some(text.chain(binary).collect()))
    }

    /// The entries of a secret; none if it does not exist.
    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Data>, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = api.get_opt(name).await.map_err(|error| format!("read secret {name:?}: {error}"))?;
        let entries =
            |secret: Secret| secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        Ok(secret.map(|secret| entries(secret).collect()))
    }

    /// Everything that the environment of this container may name.
    ///
    /// # Errors
    /// The API server did not answer. A missing object is no error here: podspec words it.
    pub(crate) async fn environment(
        &self,
        namespace: &str,
        container: &Container,
    ) -> Result<podspec::Sources, String> {
        let mut sources = podspec::Sources::default();
        for name in names(container, true) {
            if let Some(map) = self.config_map(namespace, &name).await? {
                sources.config_maps.insert(name, map.data.unwrap_or_default());
            }
        }
        for name in names(container, false) {
            if let Some(data) = self.secret(namespace, &name).await? {
                sources.secrets.insert(name, data);
            }
        }
        Ok(sources)
    }

    /// The registry credentials that the Pod brings: contents of its pull secrets' `.dockerconfigjson`.
    pub(crate) async fn pull_secrets(&self, namespace: &str, spec: &PodSpec) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for reference in spec.image_pull_secrets.iter().flatten() {
            if let Ok(Some(mut data)) = self.secret(namespace, &reference.name).await {
                found.extend(data.remove(".dockerconfigjson"));
            }
        }
        found
    }
}

/// The config maps (or secrets) that a container's environment names.
fn names(container: &Container, maps: bool) -> std::collections::BTreeSet<String> {
    let whole = container.env_from.iter().flatten().filter_map(|from| {
        if maps {
            from.config_map_ref.as_ref().map(|map| map.name.clone())
        } else {
            from.secret_ref.as_ref().map(|secret| secret.name.clone())
        }
    });
    let single = container.env.iter().flatten().filter_map(|env| {
        let from = env.value_from.as_ref()?;
        if maps {
            from.config_map_key_ref.as_ref().map(|map| map.name.clone())
        } else {
            from.secret_key_ref.as_ref().map(|secret| secret.name.clone())
        }
    });
    whole.chain(single).filter(|name| !name.is_empty()).collect()
}
