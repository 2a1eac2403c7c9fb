//! Which kinds the server has, by discovery: those that it always has, and those of CustomResourceDefinitions, which come and go.
use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::Client;
use kube::core::ApiResource;
use kubekit::Backoff;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;

/// A kind whose objects can be listed, watched and deleted.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) api: ApiResource,
    pub(crate) namespaced: bool,
}

/// The kinds of this moment.
#[derive(Debug)]
pub(crate) struct Resources(RwLock<Arc<[Resource]>>);

// === impl Resources ===

impl Resources {
    pub(crate) fn new(resources: Vec<Resource>) -> Resources {
        Resources(RwLock::new(resources.into()))
    }

    pub(crate) fn current(&self) -> Arc<[Resource]> {
        Arc::clone(&self.0.read())
    }

    pub(crate) fn replace(&self, resources: Vec<Resource>) {
        *self.0.write() = resources.into();
    }
}

// === impl Resource ===

impl Resource {
    /// The same kind, if maybe in another version.
    pub(crate) fn is_about_the_same(&self, other: &Resource) -> bool {
        self.api.group == other.api.group
            && self.api.plural == other.api.plural
            && self.api.kind == other.api.kind
            && self.namespaced == other.namespaced
    }

    /// Whether requests about it are the same.
    pub(crate) fn is_the_same(&self, other: &Resource) -> bool {
        self.is_about_the_same(other) && self.api.version == other.api.version
    }
}

/// Asks until the server answers.
pub(crate) async fn discover(client: &Client) -> Vec<Resource> {
    let backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(10) };
    let mut failures = 0;
    loop {
        match ask(client).await {
            Ok(found) => return found,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, "discovery failed; trying again");
                tokio::time::sleep(backoff.jittered(failures)).await;
            }
        }
    }
}

async fn ask(client: &Client) -> Result<Vec<Resource>, kube::Error> {
    let mut found = collectable("", "v1", client.list_core_api_resources("v1").await?);
    let groups = client.list_api_groups().await?.groups;
    let lists = groups.into_iter().flat_map(|group| {
        // The preferred version comes first. What is not served in it is, in one of the others.
        let name = group.name;
        group.versions.into_iter().map(move |version| {
            let name = name.clone();
            async move {
                let list = client.list_api_group_resources(&version.group_version).await?;
                Ok::<_, kube::Error>(collectable(&name, &version.version, list))
            }
        })
    });
    for resource in try_join_all(lists).await?.into_iter().flatten() {
        if !found.iter().any(|known: &Resource| known.is_about_the_same(&resource)) {
            found.push(resource);
        }
    }
    Ok(found)
}

fn collectable(group: &str, version: &str, list: APIResourceList) -> Vec<Resource> {
    let wanted = |resource: &APIResource| {
        let verbs = ["delete", "list", "watch", "get"];
        let whole =
            !resource.name.contains('/') && verbs.iter().all(|verb| resource.verbs.iter().any(|v| v == verb));
        // The same objects as the core group's.
        whole && !(group == "events.k8s.io" && resource.name == "events")
    };
    list.resources
        .into_iter()
        .filter(wanted)
        .map(|resource| {
            let api_version =
                if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            Resource {
                namespaced: resource.namespaced,
                api: ApiResource {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    api_version,
                    kind: resource.kind,
                    plural: resource.name,
                },
            }
        })
        .collect()
}
