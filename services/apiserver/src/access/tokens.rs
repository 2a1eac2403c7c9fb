//! Tokens: the static ones of a file, and those of service accounts.
//!
//! **Invariants.** A token of a service account counts only while the account and the object that it is bound to exist, by
//! uid, whatever its signature says. No token is kept in memory in the clear, but those of requests in flight.

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use access::{AUTHENTICATED, Claims, claims::Named, token_file};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::Store;

use super::signer::Signer;
use crate::{
    body::BoxError,
    identity::{Extra, Identity},
    random,
};

type Hash = [u8; 32];
/// Static tokens by their hash.
pub(super) type Statics = HashMap<Hash, Identity>;

/// Signatures that were checked and need not be again; emptied when it holds so many.
const REMEMBERED: usize = 4096;
/// How long something may be on its way out and still count, in seconds.
const LEEWAY: i64 = 60;
const INVALID: &str = "invalid bearer token";

/// Knows tokens, and makes those of service accounts.
pub(crate) struct Tokens {
    signer: Signer,
    issuer: String,
    /// What tokens for this server are meant for.
    audiences: Vec<String>,
    statics: Statics,
    checked: Mutex<HashMap<Hash, Arc<Claims>>>,
}

/// What a token is bound to.
pub(crate) enum Bound {
    /// To nothing but its account.
    Nothing,
    /// To a Pod, on a node if it is on one.
    Pod(Named, Option<Named>),
    /// To a Secret.
    Secret(Named),
}

/// The parts of a stored object that say whether it is still the one that was meant.
#[derive(Deserialize)]
struct Head {
    metadata: HeadMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMeta {
    uid: String,
    deletion_timestamp: Option<String>,
}

/// The static tokens of a file, which must be its owner's alone.
pub(super) fn read_file(path: &Path) -> Result<Statics, BoxError> {
    let shown = path.display();
    let mode =
        fs::metadata(path).map_err(|error| format!("token file {shown}: {error}"))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("token file {shown} can be read by others: chmod 600 {shown}").into());
    }
    let text = fs::read_to_string(path).map_err(|error| format!("token file {shown}: {error}"))?;
    let holders = token_file::parse(&text).map_err(|error| format!("token file {shown}: {error}"))?;
    let identified = holders.into_iter().map(|holder| {
        let groups = holder.groups.into_iter().chain([AUTHENTICATED.to_owned()]);
        (hash(&holder.token), Identity::as_told(&holder.user, groups, holder.uid, Extra::new()))
    });
    Ok(identified.collect())
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

// === impl Tokens ===

impl Tokens {
    pub(super) fn new(signer: Signer, issuer: String, statics: Statics) -> Self {
        let audiences = vec![issuer.clone()];
        Self { signer, issuer, audiences, statics, checked: Mutex::default() }
    }

    /// What tokens for this server are meant for.
    pub(crate) fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Whose a token is, and for which of the audiences (none: this server) it is meant.
    ///
    /// # Errors
    /// Why it does not count.
    pub(crate) fn identify(
        &self,
        store: &Store,
        token: &str,
        now: i64,
        audiences: &[String],
    ) -> Result<(Identity, Vec<String>), String> {
        let audiences = if audiences.is_empty() { &self.audiences } else { audiences };
        let hash = hash(token);
        if let Some(identity) = self.statics.get(&hash) {
            // Static tokens are for this server and for nobody else.
            let ours: Vec<String> =
                audiences.iter().filter(|audience| self.audiences.contains(audience)).cloned().collect();
            return if ours.is_empty() { Err(INVALID.to_owned()) } else { Ok((identity.clone(), ours)) };
        }
        let claims = self.claims(hash, token).ok_or(INVALID)?;
        let found = claims.for_audiences(audiences);
        if found.is_empty() {
            let why = format!(
                "token audiences {:?} is invalid for the target audiences {audiences:?}",
                claims.audiences
            );
            return Err(explained(&why));
        }
        claims.check_time(now).map_err(explained)?;
        still_there(store, &claims, now).map_err(|why| explained(&why))?;
        Ok((holder(&claims), found))
    }

    fn claims(&self, hash: Hash, token: &str) -> Option<Arc<Claims>> {
        if let Some(claims) = self.checked.lock().get(&hash) {
            return Some(Arc::clone(claims));
        }
        let claims = Claims::read(&self.signer.open(token)?)?;
        let claims = Arc::new(Some(claims).filter(|claims| claims.issuer == self.issuer)?);
        let mut checked = self.checked.lock();
        if checked.len() >= REMEMBERED {
            checked.clear();
        }
        checked.insert(hash, Arc::clone(&claims));
        Some(claims)
    }

    /// Makes a token; gives when it ends, too.
    pub(crate) fn issue(
        &self,
        namespace: &str,
        account: Named,
        bound: Bound,
        audiences: Vec<String>,
        seconds: i64,
        now: Timestamp,
    ) -> Result<(String, Timestamp), BoxError> {
        let issued = now.as_second();
        let expires = issued.saturating_add(seconds);
        let (pod, node, secret) = match bound {
            Bound::Nothing => (None, None, None),
            Bound::Pod(pod, node) => (Some(pod), node, None),
            Bound::Secret(secret) => (None, None, Some(secret)),
        };
        let claims = Claims {
            issuer: self.issuer.clone(),
            audiences,
            id: random::uid(),
            issued,
            not_before: issued,
            expires,
            namespace: namespace.to_owned(),
            account,
            pod,
            node,
            secret,
        };
        Ok((self.signer.sign(&claims.to_value())?, Timestamp::from_second(expires)?))
    }

    /// `/.well-known/openid-configuration`.
    pub(crate) fn openid_configuration(&self, server: &str) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": format!("{server}/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// `/openid/v1/jwks`.
    pub(crate) fn key_set(&self) -> Value {
        self.signer.key_set()
    }
}

/// The error of a token that is ours and does not count, as Kubernetes' authenticators together say it.
fn explained(why: &str) -> String {
    format!("[{INVALID}, {why}]")
}

fn holder(claims: &Claims) -> Identity {
    let groups =
        access::service_account_groups(&claims.namespace).into_iter().chain([AUTHENTICATED.to_owned()]);
    let extra = claims.extra().into_iter().map(|(key, value)| (key.to_owned(), vec![value])).collect();
    Identity::as_told(&claims.subject(), groups, claims.account.uid.clone(), extra)
}

/// Refuses a token whose account or bound object is not there any more.
fn still_there(store: &Store, claims: &Claims, now: i64) -> Result<(), String> {
    let namespace = &claims.namespace;
    let account = &claims.account;
    let found = head(store, "serviceaccounts", namespace, &account.name)
        .ok_or_else(|| format!("serviceaccounts {} not found", wire::quote(&account.name)))?;
    if found.uid != account.uid {
        return Err(format!("service account UID ({}) does not match claim ({})", found.uid, account.uid));
    }
    if found.is_gone(now) {
        return Err(format!("service account {namespace}/{} has been deleted", account.name));
    }
    for (plural, bound) in [("pods", &claims.pod), ("secrets", &claims.secret)] {
        let Some(bound) = bound else { continue };
        let found = head(store, plural, namespace, &bound.name);
        if found.is_none_or(|found| found.uid != bound.uid || found.is_gone(now)) {
            return Err("service account token has been invalidated".to_owned());
        }
    }
    Ok(())
}

fn head(store: &Store, plural: &str, namespace: &str, name: &str) -> Option<HeadMeta> {
    let entry = store.get(&format!("core/{plural}/{namespace}/{name}"))?;
    serde_json::from_slice::<Head>(&entry.value).ok().map(|head| head.metadata)
}

// === impl HeadMeta ===

impl HeadMeta {
    /// Whether its end has passed, and some time for clocks that differ.
    fn is_gone(&self, now: i64) -> bool {
        let end = self.deletion_timestamp.as_deref().and_then(wire::time::parse);
        end.is_some_and(|end| end.as_second() < now - LEEWAY)
    }
}
