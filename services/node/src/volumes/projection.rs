//! What config maps, secrets, tokens and fields of the Pod become as files.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Volume as Asked, VolumeProjection};

use super::payload::{self, File, Files};
use super::{Failure, Maker};

/// The mode of files that name none.
const DEFAULT_MODE: i32 = 0o644;

/// Which keys of an object become which files.
struct Choice<'a> {
    items: &'a [KeyToPath],
    optional: bool,
    mode: i32,
}

impl Maker<'_> {
    /// Makes all files that show objects anew. What cannot be made does not keep others from it.
    ///
    /// # Errors
    /// The first volume that could not, with the reason; it stays as it is.
    pub(crate) async fn refresh(&self) -> Result<(), Failure> {
        let mut failed = None;
        for asked in self.spec().volumes.iter().flatten().filter(|asked| is_projection(asked)) {
            let made = match self.project(asked).await {
                Ok(files) => self.write(asked, files).await,
                Err(reason) => Err(reason),
            };
            if let Err(reason) = made {
                failed.get_or_insert(Failure { volume: asked.name.clone(), reason });
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Makes the volume hold exactly these files.
    pub(super) async fn write(&self, asked: &Asked, files: Files) -> Result<(), String> {
        let path = self.paths.pod_volumes(self.uid()).join(&asked.name);
        let group = self.group();
        let written = tokio::task::spawn_blocking(move || {
            payload::write(&path, &files, group).map_err(|error| format!("{}: {error}", path.display()))
        });
        written.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    pub(super) async fn project(&self, asked: &Asked) -> Result<Files, String> {
        if let Some(map) = &asked.config_map {
            let choice = Choice::of(map.items.as_deref(), map.optional, map.default_mode);
            return self.config_map(&map.name, &choice).await;
        }
        if let Some(secret) = &asked.secret {
            let choice = Choice::of(secret.items.as_deref(), secret.optional, secret.default_mode);
            return self.secret(secret.secret_name.as_deref().unwrap_or_default(), &choice).await;
        }
        if let Some(fields) = &asked.downward_api {
            return self.fields(fields.items.as_deref(), fields.default_mode);
        }
        let Some(projected) = &asked.projected else {
            return Err(
                "this kind of volume is not supported on this node; use persistentVolumeClaim, emptyDir, \
                        configMap, secret, downwardAPI or projected"
                    .to_owned(),
            );
        };
        let mut files = Files::new();
        for source in projected.sources.iter().flatten() {
            files.extend(self.source(source, projected.default_mode).await?);
        }
        Ok(files)
    }

    async fn source(&self, source: &VolumeProjection, mode: Option<i32>) -> Result<Files, String> {
        if let Some(map) = &source.config_map {
            return self.config_map(&map.name, &Choice::of(map.items.as_deref(), map.optional, mode)).await;
        }
        if let Some(secret) = &source.secret {
            return self
                .secret(&secret.name, &Choice::of(secret.items.as_deref(), secret.optional, mode))
                .await;
        }
        if let Some(fields) = &source.downward_api {
            return self.fields(fields.items.as_deref(), mode);
        }
        if let Some(asked) = &source.service_account_token {
            let token = self.sources.tokens().get(self.pod, asked, self.now).await?;
            // The kubelet keeps a token from other users of the Pod where a group is there to share it.
            let mode = if self.group().is_some() { 0o600 } else { mode.unwrap_or(DEFAULT_MODE) };
            return Ok(Files::from([(asked.path.clone(), file(token.into_bytes(), mode))]));
        }
        Err("this projection is not supported on this node; use configMap, secret, downwardAPI or serviceAccountToken"
            .to_owned())
    }

    async fn config_map(&self, name: &str, choice: &Choice<'_>) -> Result<Files, String> {
        let data = self.sources.config_map_files(self.namespace(), name).await?;
        choice.files(data, &format!("configmap {name:?}"))
    }

    async fn secret(&self, name: &str, choice: &Choice<'_>) -> Result<Files, String> {
        let data = self.sources.secret(self.namespace(), name).await?;
        choice.files(data, &format!("secret {name:?}"))
    }

    fn fields(&self, items: Option<&[DownwardAPIVolumeFile]>, mode: Option<i32>) -> Result<Files, String> {
        let mut files = Files::new();
        for item in items.unwrap_or_default() {
            let text = self.field(item)?;
            let mode = item.mode.or(mode).unwrap_or(DEFAULT_MODE);
            files.insert(item.path.clone(), file(text.into_bytes(), mode));
        }
        Ok(files)
    }

    fn field(&self, item: &DownwardAPIVolumeFile) -> Result<String, String> {
        let host = self.host;
        let value = if let Some(field) = &item.field_ref {
            podspec::field_ref(self.pod, &field.field_path, self.pod_ips, &host.node_name, &host.node_ips)
        } else if let Some(resource) = &item.resource_field_ref {
            let container = self.spec().containers.first().ok_or("the pod has no containers")?;
            podspec::resource_field_ref(self.pod, container, resource, host)
        } else {
            return Err(format!("downwardAPI item {:?} names no field", item.path));
        };
        value.map_err(|refusal| refusal.to_string())
    }

    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }
}

// === impl Choice ===

impl<'a> Choice<'a> {
    fn of(items: Option<&'a [KeyToPath]>, optional: Option<bool>, mode: Option<i32>) -> Self {
        let (items, optional) = (items.unwrap_or_default(), optional.unwrap_or_default());
        Self { items, optional, mode: mode.unwrap_or(DEFAULT_MODE) }
    }

    /// `data` is none if the object does not exist.
    fn files(&self, data: Option<BTreeMap<String, Vec<u8>>>, what: &str) -> Result<Files, String> {
        let Some(mut data) = data else {
            return if self.optional { Ok(Files::new()) } else { Err(format!("{what} not found")) };
        };
        if self.items.is_empty() {
            return Ok(data.into_iter().map(|(key, value)| (key, file(value, self.mode))).collect());
        }
        let mut files = Files::new();
        for item in self.items {
            match data.remove(&item.key) {
                Some(value) => {
                    files.insert(item.path.clone(), file(value, item.mode.unwrap_or(self.mode)));
                }
                None if self.optional => {}
                None => return Err(format!("{what} references non-existent config key: {}", item.key)),
            }
        }
        Ok(files)
    }
}

fn is_projection(asked: &Asked) -> bool {
    asked.config_map.is_some()
        || asked.secret.is_some()
        || asked.downward_api.is_some()
        || asked.projected.is_some()
}

fn file(data: Vec<u8>, mode: i32) -> File {
    File { data, mode: u32::try_from(mode).unwrap_or(0o644) & 0o777 }
}
