//! What the server counts of itself, by the names of kube-apiserver.
//!
//! **Invariants.**
//! - Whatever a client sends, the number of series is bounded: labels come from kinds that are served, and `requests` has a
//!   limit even for those.
//! - On the way of a request there is one look into a table and a handful of atomics; all else is computed when somebody
//!   asks for it.

mod objects;
mod peak;
mod requests;
mod subject;
mod table;
mod watches;

use std::{fmt::Error, sync::Arc};

use store::Store;
use telemetry::{
    Metrics,
    metrics::{
        Collector, ConstGauge, Counter, DescriptorEncoder, EncodeMetric as _, Family, Gauge, Histogram,
    },
};

use self::{objects::Objects, peak::Peak, requests::Requests, watches::Watches};
pub(crate) use self::{
    requests::Open,
    subject::{Subject, is_apply},
    watches::Sent,
};
use crate::{meta_paths, registry::Registry};

/// Upper bounds in seconds of requests by clients, as client-go's.
const CLIENT_SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

/// How clients in this process are told apart from those behind a network, of which there are none.
const HOST: &str = "in-process";

/// A count for each of some labels.
type Counts<const N: usize> = Family<[(&'static str, &'static str); N], Counter>;

/// The same of histograms with bounds.
type Histograms = Family<[(&'static str, &'static str); 2], Histogram, fn() -> Histogram>;

/// All counters of a server.
#[derive(Debug)]
pub(crate) struct Counters {
    all: Metrics,
    pub(crate) requests: Arc<Requests>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) tls_errors: Counter,
    pub(crate) audit: Audit,
    authorized: Counts<1>,
    client_requests: Family<[(&'static str, String); 3], Counter>,
    client_seconds: Histograms,
    pub(crate) slis: Slis,
}

/// What `/metrics/slis` shows: the checks of the process's health.
#[derive(Debug)]
pub(crate) struct Slis {
    all: Metrics,
    checked: Counts<3>,
    healthy: Family<[(&'static str, &'static str); 2], Gauge>,
}

/// What is counted of the audit log. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit {
    pub(crate) events: Counter,
    levels: Counts<1>,
    errors: Counts<1>,
}

/// The version, as a metric that is always 1.
#[derive(Debug)]
struct BuildInfo;

// === impl Counters ===

impl Counters {
    /// Registers everything with `all`.
    pub(crate) fn new(all: Metrics, store: &Store, registry: &Arc<Registry>) -> Arc<Self> {
        let counters = Self {
            slis: Slis::default(),
            requests: Arc::default(),
            watches: Arc::default(),
            tls_errors: Counter::default(),
            audit: Audit::default(),
            authorized: Family::default(),
            client_requests: Family::default(),
            client_seconds: Family::new_with_constructor(|| Histogram::new(CLIENT_SECONDS)),
            all,
        };
        counters.register(store, registry);
        Arc::new(counters)
    }

    fn register(&self, store: &Store, registry: &Arc<Registry>) {
        let all = &self.all;
        all.collect(Arc::clone(&self.requests));
        all.collect(Arc::clone(&self.watches));
        all.collect(Objects::new(store, registry));
        all.collect(BuildInfo);
        all.add(
            "apiserver_tls_handshake_errors",
            "Number of requests dropped with 'TLS handshake error from' error",
            self.tls_errors.clone(),
        );
        let help = "Counter of audit events generated and sent to the audit backend";
        all.add("apiserver_audit_event", help, self.audit.events.clone());
        let help = "Counter of policy levels for audit events (1 per request)";
        all.add("apiserver_audit_level", help, self.audit.levels.clone());
        let help = "Counter of audit events that failed to be audited properly";
        all.add("apiserver_audit_error", help, self.audit.errors.clone());
        let help = "Counter of authorization attempts broken down by result";
        all.add("authorization_attempts", help, self.authorized.clone());
        let help = "Number of HTTP requests, partitioned by status code, method, and host";
        all.add("rest_client_requests", help, self.client_requests.clone());
        let help = "Request latency in seconds. Broken down by verb, and host";
        all.add("rest_client_request_duration_seconds", help, self.client_seconds.clone());
        let help = "How long a sync of the store's log to disk takes, in seconds";
        all.add("etcd_disk_wal_fsync_duration_seconds", help, store.syncs());
    }

    /// `/metrics`.
    pub(crate) fn text(&self) -> Result<String, Error> {
        self.all.text()
    }

    /// `/metrics/slis`.
    pub(crate) fn slis(&self) -> Result<String, Error> {
        self.slis.all.text()
    }

    /// Somebody may do what he wants, or not.
    pub(crate) fn authorized(&self, allowed: bool) {
        let result = if allowed { "allowed" } else { "denied" };
        self.authorized.get_or_create(&[("result", result)]).inc();
    }

    /// A client in this process was answered.
    pub(crate) fn client(&self, method: &http::Method, code: u16, seconds: f64) {
        let verb = subject::method(method);
        let labels = [("code", code.to_string()), ("host", HOST.to_owned()), ("method", verb.to_owned())];
        self.client_requests.get_or_create(&labels).inc();
        self.client_seconds.get_or_create(&[("host", HOST), ("verb", verb)]).observe(seconds);
    }
}

// === impl Slis ===

impl Default for Slis {
    fn default() -> Self {
        let slis = Self { all: Metrics::default(), checked: Family::default(), healthy: Family::default() };
        let help = "This metric records the result of a single healthcheck";
        slis.all.add("kubernetes_healthcheck", help, slis.healthy.clone());
        let help = "This metric records the results of all healthcheck";
        slis.all.add("kubernetes_healthchecks", help, slis.checked.clone());
        slis
    }
}

impl Slis {
    /// A check was looked at.
    pub(crate) fn checked(&self, question: &'static str, name: &'static str, passed: bool) {
        let status = if passed { "success" } else { "error" };
        self.checked.get_or_create(&[("name", name), ("status", status), ("type", question)]).inc();
        self.healthy.get_or_create(&[("name", name), ("type", question)]).set(passed.into());
    }
}

// === impl Audit ===

impl Audit {
    /// A request is noted: always without what it carried, which Kubernetes calls the level `Metadata`.
    pub(crate) fn noted(&self) {
        self.levels.get_or_create(&[("level", "Metadata")]).inc();
    }

    /// So many lines are lost.
    pub(crate) fn lost(&self, lines: u64) {
        self.errors.get_or_create(&[("plugin", "log")]).inc_by(lines);
    }
}

// === impl BuildInfo ===

impl Collector for BuildInfo {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let version = meta_paths::version();
        let of = |field: &str| version[field].as_str().unwrap_or_default().to_owned();
        let labels: Vec<(&str, String)> = [
            ("build_date", "buildDate"),
            ("compiler", "compiler"),
            ("git_commit", "gitCommit"),
            ("git_tree_state", "gitTreeState"),
            ("git_version", "gitVersion"),
            ("go_version", "goVersion"),
            ("major", "major"),
            ("minor", "minor"),
            ("platform", "platform"),
        ]
        .map(|(label, field)| (label, of(field)))
        .into();
        let help = "A metric with a constant '1' value labeled by what /version says.";
        let one = ConstGauge::new(1_i64);
        let mut metric = encoder.encode_descriptor("kubernetes_build_info", help, None, one.metric_type())?;
        one.encode(metric.encode_family(&labels)?)
    }
}

/// A gauge for each of some labels, of what was greatest since somebody last asked.
fn peaks(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    peaks: &[(&str, &Peak)],
) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, telemetry::metrics::MetricType::Gauge)?;
    for (kind, peak) in peaks {
        ConstGauge::new(peak.take()).encode(metric.encode_family(&[("request_kind", *kind)])?)?;
    }
    Ok(())
}
