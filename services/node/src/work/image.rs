//! Makes sure that an image is on this machine.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use lifecycle::pod::{Pull, reason};
use tokio::sync::mpsc;

use super::Trouble;
use crate::images::Local;
use crate::shared::{Shared, Teller};

/// What is wanted.
pub(crate) struct Request {
    pub(crate) container: String,
    pub(crate) reference: String,
    pub(crate) pull: Pull,
    pub(crate) pod: Arc<Pod>,
    pub(crate) teller: Teller,
    /// Hears how far a pull is.
    pub(crate) progress: mpsc::Sender<Progress>,
}

/// The container that waits for a pull, and how far that is, in words.
pub(crate) type Progress = (String, String);

/// The image, pulled if it has to be and may be.
pub(crate) async fn ensure(shared: &Shared, request: Request) -> Result<Arc<Local>, Trouble> {
    let (name, image) = (&request.container, &request.reference);
    let present = if request.pull == Pull::Always && !shared.images.is_built_in(image) {
        None
    } else {
        shared.images.local(image).await?
    };
    if let Some(local) = present {
        let note = format!("Container image {image:?} already present on machine");
        request.teller.of(name, false, "Pulled", note);
        return Ok(local);
    }
    if request.pull == Pull::Never {
        let message = format!("Container image {image:?} is not present with pull policy of Never");
        request.teller.of(name, true, "ErrImageNeverPull", message.clone());
        return Err(Trouble { reason: reason::NEVER_PULL, message });
    }
    request.teller.of(name, false, "Pulling", format!("Pulling image {image:?}"));
    let begun = Instant::now();
    let namespace = request.pod.metadata.namespace.as_deref().unwrap_or_default();
    let secrets = match &request.pod.spec {
        Some(spec) => shared.sources.pull_secrets(namespace, spec).await,
        None => Vec::new(),
    };
    let (container, progress) = (name.clone(), request.progress.clone());
    // Words that find no room are followed by newer ones.
    let tell = move |words| drop(progress.try_send((container.clone(), words)));
    let local = shared.images.pull(image, &secrets, tell).await?;
    let note = format!("Successfully pulled image {image:?} in {}ms", begun.elapsed().as_millis());
    request.teller.of(name, false, "Pulled", note);
    Ok(local)
}
