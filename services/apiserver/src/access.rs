//! Who asks, whether he may, and when it is his turn.
//!
//! ```text
//! certificate or token ──> Identity ──> acting as somebody else? ──> allowed? ──> a seat ──> verb
//!        tokens                             impersonation            authority     seats
//! ```
//!
//! **Invariants.**
//! - Nothing is anonymous, and what no rule allows is refused.
//! - Rights are read without a lock and without the store: a change of roles makes another policy (`authority`), before the
//!   write that made it is answered.
//! - Parts of this process and `system:masters` are asked for no rule.

mod attributes;
mod audit;
mod authority;
mod guard;
mod impersonation;
mod seats;
mod signer;
mod tokens;

use std::sync::Arc;

use ::access::{Policy, Request};
use arc_swap::Guard;
use http::{HeaderMap, Method, header, request::Parts};
use jiff::Timestamp;
use kinds::Kind;
use store::Store;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::{Query, Status};

pub(crate) use self::{
    attributes::Attributes,
    audit::{Note, Peer},
    guard::escalation,
    seats::Seat,
    tokens::{Bound, Tokens},
};
use self::{audit::Audit, authority::Authority, seats::Seats, signer::Signer, tokens::Statics};
use crate::{
    body::BoxError, health::Followers, identity::Identity, metrics::Counters, registry::Registry,
    route::Target, server::Config, verb,
};

/// Streams into a pod: opening one takes the right to create it, whatever the method. Kubernetes 1.36 asks the same of
/// WebSockets, which begin with a GET.
const STREAMS: [&str; 3] = ["attach", "exec", "portforward"];

/// Requests of one user that wait.
const LINE: usize = 256;
/// The same of administrators, who mostly share one name.
const MASTERS_LINE: usize = 4096;

/// What access keeps in files.
pub(crate) struct Kept {
    signer: Signer,
    statics: Statics,
    log: Option<audit::Log>,
}

/// Everything that decides on access.
pub(crate) struct Access {
    authority: Arc<Authority>,
    tokens: Tokens,
    seats: Arc<Seats>,
    reserved: Arc<Seats>,
    audit: Option<Audit>,
}

/// An answer to "may he?".
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

// === impl Kept ===

impl Kept {
    /// Reads static tokens, and opens the audit log. Blocking.
    pub(crate) fn read(signing_key: &[u8], config: &Config) -> Result<Self, BoxError> {
        Ok(Self {
            signer: Signer::new(signing_key)?,
            statics: config.token_file.as_deref().map(tokens::read_file).transpose()?.unwrap_or_default(),
            log: config.audit_log.as_deref().map(audit::Log::create).transpose()?,
        })
    }
}

// === impl Access ===

impl Access {
    /// Follows roles, and writes the log, on `tasks` until `shutdown`.
    pub(crate) fn build(
        kept: Kept,
        config: &Config,
        store: &Store,
        (followers, counters): (&Followers, &Counters),
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        Self {
            authority: Authority::start(store, followers, tasks, shutdown),
            tokens: Tokens::new(kept.signer, config.issuer.clone(), kept.statics),
            seats: Seats::new(config.max_requests, config.max_requests / 2, LINE),
            // Nobody else is kept waiting by them.
            reserved: Seats::new(config.max_requests, config.max_requests, MASTERS_LINE),
            audit: kept
                .log
                .map(|log| Audit::start(log, &config.health, counters.audit.clone(), tasks, shutdown)),
        }
    }

    /// Who a client is by the token it sends, if it sends one that counts.
    pub(crate) fn identify(&self, store: &Store, headers: &HeaderMap) -> Option<Identity> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.trim().split_once(' ')?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return None;
        }
        match self.tokens.identify(store, token, Timestamp::now().as_second(), &[]) {
            Ok((identity, _)) => Some(identity),
            Err(error) => {
                tracing::debug!(%error, "a token was refused");
                None
            }
        }
    }

    /// Service accounts' tokens.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The rights of this moment.
    pub(crate) fn policy(&self) -> Guard<Arc<Policy>> {
        self.authority.policy()
    }

    /// Waits until a committed write of a role or binding counts.
    pub(crate) async fn caught_up(&self, kind: &Kind, revision: u64) {
        self.authority.caught_up(kind, revision).await;
    }

    /// A note of this request for the audit log; none where there is no log.
    pub(crate) fn note(
        &self,
        registry: &Registry,
        identity: Option<&Identity>,
        request: &Parts,
    ) -> Option<Box<Note>> {
        self.audit.as_ref().and_then(|_| Note::begin(registry, identity, request)).map(Box::new)
    }

    /// Writes the note down.
    pub(crate) async fn write_down(&self, note: Box<Note>, code: u16) {
        if let Some(audit) = &self.audit {
            audit.write(&note, code).await;
        }
    }

    /// Whom a request acts as, if it asks to be somebody else and may.
    pub(crate) fn acting(
        &self,
        identity: &Identity,
        headers: &mut HeaderMap,
    ) -> Result<Option<Identity>, Status> {
        impersonation::act(self, identity, headers)
    }

    /// Whether a user may do something.
    pub(crate) fn decide(&self, identity: &Identity, request: &Request<'_>) -> Verdict {
        if identity.may_do_everything() {
            return Verdict { allowed: true, reason: String::new() };
        }
        let policy = self.policy();
        let who = identity.who();
        let decision = policy.decide(&who, request);
        Verdict { allowed: decision.is_allowed(), reason: decision.reason() }
    }

    /// Refuses what a user may not do.
    pub(crate) fn require(&self, identity: &Identity, wanted: &Attributes<'_>) -> Result<(), Status> {
        if identity.may_do_everything() {
            return Ok(());
        }
        let policy = self.policy();
        let who = identity.who();
        let decision = policy.decide(&who, &wanted.request());
        if decision.is_allowed() { Ok(()) } else { Err(wanted.refused(identity.name(), &decision.reason())) }
    }

    /// Refuses a request for a resource that the user may not make.
    pub(crate) fn allow(
        &self,
        identity: &Identity,
        verb: &str,
        target: &Target,
        query: &Query,
    ) -> Result<(), Status> {
        if identity.may_do_everything() {
            return Ok(());
        }
        let wanted = Attributes::of(target, verb, query);
        self.require(identity, &wanted)?;
        let opens = target.kind.group.is_empty()
            && target.kind.plural == "pods"
            && STREAMS.contains(&target.subresource.as_str());
        if opens && verb != "create" { self.require(identity, &wanted.with_verb("create")) } else { Ok(()) }
    }

    /// Refuses a request for something below an API group that is not served, as if it were.
    pub(crate) fn allow_unknown(
        &self,
        identity: &Identity,
        parts: &Parts,
        watch: bool,
    ) -> Result<(), Status> {
        if identity.may_do_everything() {
            return Ok(());
        }
        match Attributes::of_unknown(parts.uri.path(), &parts.method, watch) {
            Some(wanted) => self.require(identity, &wanted),
            None => self.allow_path(identity, &parts.method, parts.uri.path()),
        }
    }

    /// Refuses a path that the user may not read.
    pub(crate) fn allow_path(&self, identity: &Identity, method: &Method, path: &str) -> Result<(), Status> {
        if identity.may_do_everything() {
            return Ok(());
        }
        let verb = method.as_str().to_lowercase();
        let verdict = self.decide(identity, &Request::path(&verb, path));
        if verdict.allowed {
            return Ok(());
        }
        let denied = Status::denied_path(identity.name(), &verb, path);
        Err(attributes::because(denied, &verdict.reason))
    }

    /// Waits for a place among the requests that are answered. None where no place is needed: for parts of this process,
    /// and for streams, which would hold it for as long as they last.
    ///
    /// # Errors
    /// 429 when too many requests of this user wait already.
    pub(crate) async fn seat(&self, identity: &Identity, target: &Target) -> Result<Option<Seat>, Status> {
        if identity.is_internal() || verb::is_stream(target) {
            return Ok(None);
        }
        // The administrators' seats are their own: no number of others' requests keeps them out.
        let seats = if identity.is_master() { &self.reserved } else { &self.seats };
        seats.take(identity.name()).await.map(Some)
    }
}
