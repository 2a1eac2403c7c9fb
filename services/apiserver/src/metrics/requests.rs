//! Requests: how many, how they ended, how long they took, how many are open.
//!
//! Facts (k8s.io/apiserver 0.36.3, pkg/endpoints/metrics): names, labels and bounds; a request counts when it has ended, and
//! those that were not allowed do not count; `DELETE` of a collection is told by its scope; `log`, `exec`, `attach`,
//! `portforward` and `proxy` are `CONNECT`.

use std::{
    fmt::Error,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU16, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use http_body::Body as _;
use kinds::Text;
use parking_lot::RwLock;
use telemetry::metrics::{
    Collector, ConstGauge, Counter, DescriptorEncoder, EncodeMetric, Histogram, MetricType,
};

use super::{
    peak::{Counted, Peak},
    peaks,
    subject::{NONE, Subject},
    table::Table,
};
use crate::body::Reply;

/// Rows of the table, and kinds with counts of watches; what is beyond them is counted together. All built-in kinds with all
/// verbs make some 700.
pub(super) const LIMIT: usize = 2048;
/// The resource of all that has no row of its own.
const OTHER: &str = "other";
const SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
const SLI_SECONDS: &[f64] = &[
    0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
const BYTES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// All requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    table: Table<Row>,
    mutating: Peak,
    reading: Peak,
    waiting_to_mutate: Peak,
    waiting_to_read: Peak,
}

/// The counts of requests about the same.
#[derive(Debug)]
struct Row {
    verb: &'static str,
    dry_run: &'static str,
    group: Text,
    version: Text,
    resource: Text,
    subresource: &'static str,
    scope: &'static str,
    codes: RwLock<Vec<(u16, Counter)>>,
    seconds: Histogram,
    /// Without waits for a place. Only of requests that are no dry run.
    sli: Option<Histogram>,
    /// Of answers to reads.
    bytes: Option<Histogram>,
    /// Of watches and streams.
    open: AtomicI64,
}

/// A request that has not ended. It counts when it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    row: Arc<Row>,
    begun: Instant,
    /// Nanoseconds.
    waited: AtomicU64,
    code: AtomicU16,
    bytes: AtomicU64,
    long: bool,
    _inflight: Option<Counted>,
}

// === impl Requests ===

impl Requests {
    /// A request begins that is allowed.
    pub(crate) fn begin(&self, subject: &Subject<'_>, begun: Instant) -> Arc<Open> {
        let long = subject.is_long();
        let row = self.row(subject);
        if long {
            row.open.fetch_add(1, Ordering::Relaxed);
        }
        let reads = matches!(subject.verb, "GET" | "LIST");
        let inflight = if reads { &self.reading } else { &self.mutating };
        Arc::new(Open {
            row,
            begun,
            waited: AtomicU64::new(0),
            code: AtomicU16::new(0),
            bytes: AtomicU64::new(0),
            long,
            _inflight: (!long).then(|| inflight.enter()),
        })
    }

    /// A request waits for its turn, until this is dropped.
    pub(crate) fn waits(&self, method: &Method) -> Counted {
        match *method {
            Method::GET | Method::HEAD => self.waiting_to_read.enter(),
            _ => self.waiting_to_mutate.enter(),
        }
    }

    fn row(&self, subject: &Subject<'_>) -> Arc<Row> {
        let Subject { verb, dry_run, group, version, resource, subresource, scope } = *subject;
        let key = (verb, dry_run, group, version, resource, subresource, scope);
        let is = |row: &Row| {
            (row.verb, row.dry_run, &row.group, &row.version, &row.resource, row.subresource, row.scope)
                == key
        };
        if let Some(row) = self.table.row(key, LIMIT, is, || Row::of(subject)) {
            return row;
        }
        let other = Text::Borrowed(OTHER);
        let rest = Subject {
            dry_run: "",
            group: NONE,
            version: NONE,
            resource: &other,
            subresource: "",
            ..*subject
        };
        let is = |row: &Row| row.resource == OTHER && (row.verb, row.scope) == (verb, scope);
        let key = (verb, OTHER, scope);
        // As many as there are verbs and scopes.
        self.table.row(key, usize::MAX, is, || Row::of(&rest)).unwrap_or_else(|| Arc::new(Row::of(&rest)))
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut rows = self.table.all();
        rows.sort_by(|a, b| a.labels().cmp(&b.labels()));
        let help = "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, \
                    component, and HTTP response code.";
        let mut metric = encoder.encode_descriptor("apiserver_request", help, None, MetricType::Counter)?;
        for row in &rows {
            for (code, count) in row.codes.read().iter() {
                let (code, labels) = (code.to_string(), row.labels());
                let mut labels = labels.to_vec();
                labels.push(("code", &code));
                count.encode(metric.encode_family(&labels)?)?;
            }
        }
        type Of = fn(&Row) -> Option<&Histogram>;
        let histograms: [(&str, &str, Of, bool); 3] = [
            (
                "apiserver_request_duration_seconds",
                "Response latency distribution in seconds.",
                |row| Some(&row.seconds),
                true,
            ),
            (
                "apiserver_request_sli_duration_seconds",
                "Response latency distribution in seconds, not counting the time that requests waited for their turn.",
                |row| row.sli.as_ref(),
                false,
            ),
            (
                "apiserver_response_sizes",
                "Response size distribution in bytes of reads.",
                |row| row.bytes.as_ref(),
                false,
            ),
        ];
        for (name, help, of, with_dry_run) in histograms {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for row in rows.iter().filter(|row| !row.codes.read().is_empty()) {
                let Some(histogram) = of(row) else { continue };
                let mut labels = row.labels().to_vec();
                labels.retain(|(label, _)| with_dry_run || *label != "dry_run");
                histogram.encode(metric.encode_family(&labels)?)?;
            }
        }
        self.encode_present(&mut encoder, &rows)
    }
}

impl Requests {
    fn encode_present(&self, encoder: &mut DescriptorEncoder<'_>, rows: &[Arc<Row>]) -> Result<(), Error> {
        let help = "Gauge of all active long-running apiserver requests.";
        let mut metric =
            encoder.encode_descriptor("apiserver_longrunning_requests", help, None, MetricType::Gauge)?;
        for row in rows.iter().filter(|row| matches!(row.verb, "WATCH" | "CONNECT")) {
            let mut labels = row.labels().to_vec();
            labels.retain(|(label, _)| *label != "dry_run");
            ConstGauge::new(row.open.load(Ordering::Relaxed)).encode(metric.encode_family(&labels)?)?;
        }
        let help = "Maximal number of requests being answered since the last scrape.";
        let most = [("mutating", &self.mutating), ("readOnly", &self.reading)];
        peaks(encoder, "apiserver_current_inflight_requests", help, &most)?;
        let help = "Maximal number of requests waiting for their turn since the last scrape.";
        let most = [("mutating", &self.waiting_to_mutate), ("readOnly", &self.waiting_to_read)];
        peaks(encoder, "apiserver_current_inqueue_requests", help, &most)
    }
}

// === impl Row ===

impl Row {
    fn of(subject: &Subject<'_>) -> Self {
        Self {
            verb: subject.verb,
            dry_run: subject.dry_run,
            group: subject.group.clone(),
            version: subject.version.clone(),
            resource: subject.resource.clone(),
            subresource: subject.subresource,
            scope: subject.scope,
            codes: RwLock::default(),
            seconds: Histogram::new(SECONDS),
            sli: subject.dry_run.is_empty().then(|| Histogram::new(SLI_SECONDS)),
            bytes: matches!(subject.verb, "GET" | "LIST").then(|| Histogram::new(BYTES)),
            open: AtomicI64::new(0),
        }
    }

    fn labels(&self) -> [(&'static str, &str); 8] {
        [
            ("component", "apiserver"),
            ("dry_run", self.dry_run),
            ("group", &self.group),
            ("resource", &self.resource),
            ("scope", self.scope),
            ("subresource", self.subresource),
            ("verb", self.verb),
            ("version", &self.version),
        ]
    }

    fn ended(&self, code: u16) {
        if let Some((_, count)) = self.codes.read().iter().find(|(known, _)| *known == code) {
            count.inc();
            return;
        }
        let mut codes = self.codes.write();
        match codes.iter().find(|(known, _)| *known == code) {
            Some((_, count)) => {
                count.inc();
            }
            None => {
                let count = Counter::default();
                count.inc();
                codes.push((code, count));
            }
        }
    }
}

// === impl Open ===

impl Open {
    /// It had to wait for its turn.
    pub(crate) fn waited(&self, waited: Duration) {
        self.waited.store(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// It is answered. A watch and a stream go on.
    pub(crate) fn answered(&self, reply: &Reply) {
        self.code.store(reply.status().as_u16(), Ordering::Relaxed);
        self.bytes.store(reply.body().size_hint().exact().unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether it is a watch or a stream.
    pub(crate) fn is_long(&self) -> bool {
        self.long
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let row = &self.row;
        if self.long {
            row.open.fetch_sub(1, Ordering::Relaxed);
        }
        let took = self.begun.elapsed();
        let waited = Duration::from_nanos(self.waited.load(Ordering::Relaxed));
        row.ended(self.code.load(Ordering::Relaxed));
        row.seconds.observe(took.as_secs_f64());
        if let Some(sli) = &row.sli {
            sli.observe(took.saturating_sub(waited).as_secs_f64());
        }
        if let Some(bytes) = &row.bytes {
            #[expect(clippy::cast_precision_loss, reason = "no answer has 2^53 bytes")]
            bytes.observe(self.bytes.load(Ordering::Relaxed) as f64);
        }
    }
}

#[cfg(test)]
mod tests;
