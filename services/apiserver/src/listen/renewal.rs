//! Replaces certificates while the server runs: connections stay, new ones see the new certificate.
//!
//! When one is due, `access::lifetime` says; this looks and does. The authority is not replaced here: everything that it
//! signed would end.

use std::{sync::Arc, time::Duration};

use access::lifetime;
use jiff::Timestamp;
use telemetry::{Clock, Health};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::certs::Serving;
use crate::{
    health,
    pki::{Pki, PkiError},
};

/// How soon something that failed is tried again.
const RETRY: Duration = Duration::from_secs(3600);

/// The task that looks.
pub(crate) struct Renewal {
    pub(super) pki: Arc<Pki>,
    pub(super) serving: Arc<Serving>,
    pub(super) clock: Arc<dyn Clock>,
    /// It looks again after this long at the latest.
    pub(super) pace: Duration,
    /// How often the administrator's certificate was replaced.
    pub(crate) renewed: watch::Sender<u64>,
}

// === impl Renewal ===

impl Renewal {
    /// Adds the checks that the certificates are valid still.
    pub(crate) fn add_checks(&self, health: &Health) -> Result<(), PkiError> {
        let authority = self.pki.ca_ends()?;
        health.add(health::certificate("certificate-authority", move || authority));
        let serving = Arc::clone(&self.serving);
        health.add(health::certificate("serving-certificate", move || serving.ends()));
        Ok(())
    }

    /// Looks again and again until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let this = Arc::new(self);
        loop {
            let looking = this.clone();
            let wait = match tokio::task::spawn_blocking(move || looking.look()).await {
                Ok(Ok(wait)) => wait,
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "cannot replace a certificate; it is tried again in an hour");
                    RETRY
                }
                Err(error) => {
                    tracing::error!(%error, "looking at certificates failed; it is tried again in an hour");
                    RETRY
                }
            };
            if shutdown.run_until_cancelled(time::sleep(wait.min(this.pace))).await.is_none() {
                return;
            }
        }
    }

    /// Replaces what is due, and says when to look again.
    fn look(&self) -> Result<Duration, PkiError> {
        let now = self.clock.now();
        let (cert, serving_due) = self.pki.serving(now)?;
        if self.serving.replace(cert) {
            tracing::info!(due_from = %at(serving_due), "the server's certificate was replaced");
        }
        let (renewed, admin_due) = self.pki.renew_admin(now)?;
        if renewed {
            tracing::info!(due_from = %at(admin_due), "the administrator's certificate was replaced");
            self.renewed.send_modify(|count| *count += 1);
        }
        let wait = lifetime::next_look([serving_due, admin_due], now.as_second());
        Ok(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}
