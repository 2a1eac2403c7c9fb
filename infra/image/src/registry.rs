//! Registries, over HTTPS; plain HTTP only to this machine itself and where the operator said so.

use crate::{
    Error,
    archive::Limits,
    blob::{self, Download},
    digest::Digest,
    manifest::{ACCEPT, Descriptor, MAX_MANIFEST},
};
use futures::TryStreamExt;
use oci_client::{
    Client, Reference,
    client::{BlobResponse, ClientConfig, ClientProtocol},
    errors::{OciDistributionError, OciErrorCode},
    manifest::OciDescriptor,
    secrets::RegistryAuth,
};
use std::{io, net::IpAddr, path::Path, time::Duration};

/// How often a blob is tried; each try goes on where the one before ended.
const TRIES: u32 = 4;
/// The wait before the second try; doubled for each later one.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence of a registry.
const SILENCE: Duration = Duration::from_secs(30);

/// A user of a registry. Without, pulls are anonymous (with an anonymous token where the registry wants one).
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password or access token.
    pub password: String,
}

/// How far the fetching of one layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The layer's digest.
    pub layer: String,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Whether the layer is unpacked (or was here before).
    pub ready: bool,
}

/// One image at its registry.
pub(crate) struct Registry {
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
    limits: Limits,
}

// === impl Credentials ===

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

// === impl Registry ===

impl Registry {
    pub(crate) fn new(
        reference: Reference,
        credentials: Option<Credentials>,
        insecure: &[String],
        limits: Limits,
    ) -> Self {
        let host = reference.resolve_registry();
        let plain = is_loopback(host) || insecure.iter().any(|allowed| allowed == host);
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("agent-sandbox/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let auth = credentials
            .map_or(RegistryAuth::Anonymous, |user| RegistryAuth::Basic(user.username, user.password));
        Self { client: Client::new(config), reference, auth, limits }
    }

    fn name(&self) -> String {
        self.reference.whole()
    }

    /// The manifest or index that the reference names, or the one with this digest.
    pub(crate) async fn manifest(&self, digest: Option<&Digest>) -> Result<(Vec<u8>, Digest), Error> {
        let reference = match digest {
            Some(digest) => self.reference.clone_with_digest(digest.to_string()),
            None => self.reference.clone(),
        };
        let pulled = self.client.pull_manifest_raw(&reference, &self.auth, &ACCEPT).await;
        let (bytes, _) = pulled.map_err(|error| explain(&self.name(), &error))?;
        let bytes = bytes.to_vec();
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(Error::invalid(self.name(), "its manifest is too large"));
        }
        let found = Digest::of(&bytes);
        if reference.digest().is_some_and(|wanted| wanted != found.as_str()) {
            return Err(Error::invalid(
                self.name(),
                &format!("the registry sent a manifest with digest {found} instead"),
            ));
        }
        Ok((bytes, found))
    }

    /// A small blob, in memory.
    pub(crate) async fn small(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        if descriptor.size > limit {
            return Err(Error::invalid(
                self.name(),
                &format!("{} is larger than {limit} bytes", descriptor.digest),
            ));
        }
        let failed = |error| explain(&self.name(), &error);
        let mut stream =
            self.client.pull_blob_stream(&self.reference, &wire(descriptor)).await.map_err(failed)?;
        let mut bytes = Vec::new();
        while let Some(piece) = stream.stream.try_next().await.map_err(|error| self.broken(&error))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > descriptor.size {
                break;
            }
        }
        let checked = blob::check(bytes.len() as u64, &Digest::of(&bytes), descriptor);
        checked.map_err(|error| Error::invalid(self.name(), &error))?;
        Ok(bytes)
    }

    /// A layer, into the file at `path`, where an earlier try may have left a part.
    pub(crate) async fn layer(
        &self,
        descriptor: &Descriptor,
        path: &Path,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Error> {
        if descriptor.size > self.limits.blob_bytes {
            let what = format!(
                "layer {} has {} bytes, over the limit of {}",
                descriptor.digest, descriptor.size, self.limits.blob_bytes
            );
            return Err(Error::invalid(self.name(), &what));
        }
        let mut wait = FIRST_WAIT;
        for tries_left in (0..TRIES).rev() {
            match self.try_layer(descriptor, path, progress).await {
                Err(Error::Unavailable { reason, .. }) if tries_left > 0 => {
                    tracing::info!(image = self.name(), layer = %descriptor.digest, reason, "a download broke off; going on");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                other => return other,
            }
        }
        Ok(())
    }

    async fn try_layer(
        &self,
        descriptor: &Descriptor,
        path: &Path,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Error> {
        let local = |error| Error::io("write", path)(error);
        let mut download = Download::resume(path, descriptor.size).await.map_err(local)?;
        if download.done() < descriptor.size {
            let layer = wire(descriptor);
            let asked =
                self.client.pull_blob_stream_partial(&self.reference, &layer, download.done(), None).await;
            let stream = match asked.map_err(|error| explain(&self.name(), &error))? {
                BlobResponse::Partial(stream) => stream,
                BlobResponse::Full(stream) => {
                    download.restart().await.map_err(local)?;
                    stream
                }
            };
            let appended = download.append(stream.stream, descriptor.size, progress).await;
            appended.map_err(|error| self.broken(&error))?;
        }
        let size = download.done();
        if size < descriptor.size {
            return Err(self.broken(&io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        if let Err(error) = blob::check(size, &download.finish(), descriptor) {
            // What is there is wrong; going on with it would never help.
            let _ = tokio::fs::remove_file(path).await;
            return Err(Error::invalid(self.name(), &error));
        }
        Ok(())
    }

    /// A stream that failed: the registry's fault, the disk's, or the content's.
    fn broken(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::InvalidData => Error::invalid(self.name(), &error),
            _ => Error::Unavailable { reference: self.name(), reason: chain(error) },
        }
    }
}

fn wire(descriptor: &Descriptor) -> OciDescriptor {
    OciDescriptor {
        digest: descriptor.digest.to_string(),
        size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
        media_type: descriptor.media_type.clone(),
        ..OciDescriptor::default()
    }
}

/// Whether `host[:port]` is this machine.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// Names what a registry's answer means for the caller.
fn explain(reference: &str, error: &OciDistributionError) -> Error {
    use OciDistributionError as Oci;
    let reference = reference.to_owned();
    match error {
        Oci::ImageManifestNotFoundError(_) | Oci::ServerError { code: 404, .. } => {
            Error::NotFound { reference }
        }
        Oci::UnauthorizedError { .. }
        | Oci::AuthenticationFailure(_)
        | Oci::ServerError { code: 401 | 403, .. } => Error::Unauthorized { reference },
        Oci::RegistryError { envelope, .. } => match envelope.errors.first().map(|error| &error.code) {
            Some(OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound) => {
                Error::NotFound { reference }
            }
            Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => Error::Unauthorized { reference },
            _ => Error::Unavailable { reference, reason: chain(error) },
        },
        Oci::DigestError(_) | Oci::UnsupportedMediaTypeError(_) | Oci::UnsupportedSchemaVersionError(_) => {
            Error::invalid(reference, error)
        }
        _ => Error::Unavailable { reference, reason: chain(error) },
    }
}

/// An error with all its causes: "connection refused" is often the last.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_plain_text() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.8.8", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.org", "10.0.0.1:5000", "registry.example:443", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
