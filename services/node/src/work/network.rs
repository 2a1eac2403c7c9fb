//! A Pod's network.

use lifecycle::pod::reason;
use net::{Attach, Attachment, Error};

use super::Trouble;
use crate::shared::Shared;

/// Attaches the Pod. A slot that somebody else took meanwhile is given up for a new one.
pub(crate) async fn attach(shared: &Shared, request: Attach) -> Result<Attachment, Trouble> {
    let attached = match shared.network.attach(request.clone()).await {
        Err(Error::Taken { .. }) => shared.network.attach(Attach { slot: None, ..request }).await,
        attached => attached,
    };
    attached.map_err(|error| Trouble { reason: reason::SANDBOX, message: format!("network: {error}") })
}
