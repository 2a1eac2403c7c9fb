//! Tokens of service accounts for Pods: asked of the API server, and replaced when most of their life is over.
//!
//! **Invariant:** a token is bound to its Pod, so it ends with it. None is written anywhere but into the Pod's volume.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

/// Seconds that a token lives if its volume does not say.
const DEFAULT_SECONDS: i64 = 3600;
/// The share of its life after which a token is replaced, in percent, as the kubelet does it.
const FRESH: i64 = 80;

/// Pod's uid, audience, seconds.
type Key = (String, String, i64);

/// Gets tokens, and remembers those that are fresh.
pub(crate) struct Tokens {
    client: Client,
    kept: Mutex<HashMap<Key, Kept>>,
}

#[derive(Clone)]
struct Kept {
    token: String,
    renew: Timestamp,
    expires: Timestamp,
}

// === impl Tokens ===

impl Tokens {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, kept: Mutex::default() }
    }

    /// A token of the Pod's account that is good for a while.
    ///
    /// # Errors
    /// What the API server says, unless an older token still counts.
    pub(crate) async fn get(
        &self,
        pod: &Pod,
        asked: &ServiceAccountTokenProjection,
        now: Timestamp,
    ) -> Result<String, String> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let seconds = asked.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
        let key = (uid, asked.audience.clone().unwrap_or_default(), seconds);
        let kept = self.kept.lock().get(&key).cloned();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.renew) {
            return Ok(kept.token.clone());
        }
        match (self.request(pod, &key, now).await, kept) {
            (Ok(fresh), _) => {
                let mut all = self.kept.lock();
                all.retain(|_, kept| now < kept.expires);
                all.insert(key, fresh.clone());
                Ok(fresh.token)
            }
            (Err(error), Some(old)) if now < old.expires => {
                tracing::warn!(%error, pod = pod.metadata.name.as_deref(), "a service account token could not be renewed; the old one still counts");
                Ok(old.token)
            }
            (Err(error), _) => Err(format!("failed to fetch token: {error}")),
        }
    }

    async fn request(&self, pod: &Pod, key: &Key, now: Timestamp) -> Result<Kept, kube::Error> {
        let (uid, audience, seconds) = key;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: (!audience.is_empty()).then(|| vec![audience.clone()]),
                expiration_seconds: Some(*seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: Some(uid.clone()),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let account = account.filter(|account| !account.is_empty()).unwrap_or("default");
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
        let status = answer.status.unwrap_or_default();
        Ok(Kept::new(
            status.token.unwrap_or_default(),
            now,
            status.expiration_timestamp.map_or(now, |at| at.0),
        ))
    }
}

// === impl Kept ===

impl Kept {
    fn new(token: String, now: Timestamp, expires: Timestamp) -> Self {
        let life = expires.duration_since(now).as_secs().max(0);
        let fresh = SignedDuration::from_secs(life * FRESH / 100);
        Self { token, renew: now.checked_add(fresh).unwrap_or(now), expires }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_fresh_for_four_fifths_of_its_life() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        let kept = Kept::new("t".to_owned(), now, after(1000));
        assert_eq!((kept.renew, kept.expires), (after(800), after(1000)));
        assert_eq!(Kept::new("t".to_owned(), now, after(-5)).renew, now, "clocks that differ do no harm");
    }
}
