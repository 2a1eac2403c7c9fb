//! Who asked for what, and what became of it: one line of JSON for each request, in a file of root's own.
//!
//! **Invariants.** No bodies, no tokens, no query, and of a proxied path nothing behind the object's name. The line is handed over
//! before the answer is given, in the order of the answers. Files are bounded: `FILES` of `SIZE` bytes.

use std::{
    fs::{File, OpenOptions, Permissions, rename},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use http::request::Parts;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use telemetry::{Check, Health};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::Query;

use super::Attributes;
use crate::{
    body::{BoxError, to_json},
    identity::Identity,
    metrics,
    registry::Registry,
    route::{self, Route},
};

/// A file is put aside when it has grown to this many bytes.
const SIZE: u64 = 64 << 20;
/// Files kept, the one that is written among them.
const FILES: usize = 5;
/// How long after the server was told to end a line is waited for.
const LINGER: Duration = Duration::from_millis(500);
/// Lines that may wait for the disk.
const WAITING: usize = 1024;

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The log.
pub(crate) struct Audit {
    lines: mpsc::Sender<Vec<u8>>,
    counts: metrics::Audit,
}

/// What is known of a request so far.
#[derive(Debug)]
pub(crate) struct Note {
    begun: Instant,
    line: Map<String, Value>,
}

/// The file that is written.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

// === impl Note ===

impl Note {
    /// Begins a note. None for what parts of this process only read, which would be most of the log.
    pub(super) fn begin(registry: &Registry, identity: Option<&Identity>, parts: &Parts) -> Option<Self> {
        let read = matches!(parts.method.as_str(), "GET" | "HEAD");
        if read && identity.is_some_and(Identity::is_internal) {
            return None;
        }
        let mut line = Map::new();
        line.insert("time".to_owned(), wire::time::micros(Timestamp::now()).into());
        if let Some(identity) = identity {
            line.insert("user".to_owned(), identity.name().into());
            line.insert("groups".to_owned(), identity.groups().into());
        }
        let source = parts.extensions.get::<Peer>().map(|peer| peer.0.to_string());
        line.insert("source".to_owned(), source.unwrap_or_else(|| "in-process".to_owned()).into());
        describe(registry, parts, &mut line);
        let decision = if identity.is_some() { "forbid" } else { "unauthenticated" };
        line.insert("decision".to_owned(), decision.into());
        Some(Self { begun: Instant::now(), line })
    }

    /// The request acts as somebody else.
    pub(crate) fn acting(&mut self, identity: &Identity) {
        let acting = json!({"user": identity.name(), "groups": identity.groups()});
        self.line.insert("impersonated".to_owned(), acting);
    }

    /// The request was allowed.
    pub(crate) fn allowed(&mut self) {
        self.line.insert("decision".to_owned(), "allow".into());
    }

    fn bytes(&self, code: u16) -> Vec<u8> {
        let mut line = self.line.clone();
        line.insert("code".to_owned(), code.into());
        let micros = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        line.insert("latencyMicros".to_owned(), micros.into());
        let mut bytes = to_json(&line);
        bytes.push(b'\n');
        bytes
    }
}

fn describe(registry: &Registry, parts: &Parts, line: &mut Map<String, Value>) {
    let path = parts.uri.path();
    let watch = Query::parse(parts.uri.query().unwrap_or_default()).flag("watch");
    let mut put = |field: &str, value: &str| {
        if !value.is_empty() {
            line.insert(field.to_owned(), value.into());
        }
    };
    let mut resource = |wanted: &Attributes<'_>| {
        for (field, value) in [
            ("verb", wanted.verb),
            ("group", wanted.group),
            ("resource", wanted.resource),
            ("subresource", wanted.subresource),
            ("namespace", wanted.namespace),
            ("name", &*wanted.name),
        ] {
            put(field, value);
        }
    };
    match route::parse(registry, path) {
        Route::Resource(target) => {
            let verb = route::verb(&parts.method, &target, watch);
            resource(&Attributes::of(&target, verb, &Query::parse("")));
        }
        _ => match Attributes::of_unknown(path, &parts.method, watch) {
            Some(wanted) => resource(&wanted),
            None => {
                put("verb", &parts.method.as_str().to_lowercase());
                put("path", path);
            }
        },
    }
}

// === impl Audit ===

impl Audit {
    /// Lines are written on `tasks`, until `shutdown` and those that wait then.
    pub(super) fn start(
        log: Log,
        health: &Health,
        counts: metrics::Audit,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        let (lines, waiting) = mpsc::channel(WAITING);
        let writer = tasks.spawn(write_all(log, waiting, counts.clone(), shutdown.clone())).abort_handle();
        let gone = || "requests are no longer noted: the log's writer has ended".to_owned();
        health.add(Check::at_once(
            "audit-log",
            move || if writer.is_finished() { Err(gone()) } else { Ok(()) },
        ));
        Self { lines, counts }
    }

    pub(super) async fn write(&self, note: &Note, code: u16) {
        self.counts.noted();
        if self.lines.send(note.bytes(code)).await.is_err() {
            self.counts.lost(1);
            tracing::debug!("a request ended after the audit log");
        }
    }
}

async fn write_all(
    mut log: Log,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    counts: metrics::Audit,
    shutdown: CancellationToken,
) {
    let mut lines = Vec::new();
    loop {
        let received = match shutdown.run_until_cancelled(waiting.recv_many(&mut lines, WAITING)).await {
            Some(received) => received,
            // Requests that are open may still end.
            None => timeout(LINGER, waiting.recv_many(&mut lines, WAITING)).await.unwrap_or(0),
        };
        if received == 0 {
            return;
        }
        let batch = std::mem::take(&mut lines);
        let counts = counts.clone();
        let written = tokio::task::spawn_blocking(move || {
            counts.events.inc_by(batch.len() as u64);
            if let Err(error) = log.append(&batch) {
                counts.lost(batch.len() as u64);
                tracing::error!(%error, path = %log.path.display(), lost = batch.len(), "cannot write the audit log");
            }
            log
        });
        match written.await {
            Ok(back) => log = back,
            Err(_) => return,
        }
    }
}

// === impl Log ===

impl Log {
    /// Opens the log, or makes it. Blocking.
    pub(super) fn create(path: &Path) -> Result<Self, BoxError> {
        Ok(Self::open(path, SIZE).map_err(|error| format!("audit log {}: {error}", path.display()))?)
    }

    fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, limit })
    }

    fn append(&mut self, lines: &[Vec<u8>]) -> io::Result<()> {
        for line in lines {
            if self.size > 0 && self.size + line.len() as u64 > self.limit {
                self.put_aside()?;
            }
            self.file.write_all(line)?;
            self.size += line.len() as u64;
        }
        Ok(())
    }

    /// Renames `log` to `log.1`, `log.1` to `log.2`, and so on; the last one goes.
    fn put_aside(&mut self) -> io::Result<()> {
        for number in (1..FILES).rev() {
            let from = if number == 1 { self.path.clone() } else { numbered(&self.path, number - 1) };
            match rename(from, numbered(&self.path, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        *self = Self::open(&self.path, self.limit)?;
        Ok(())
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let mut log = Log::open(&path, 100).unwrap();
        for number in 0..100 {
            log.append(&[format!("{number:039}\n").into_bytes()]).unwrap();
        }
        let mut names: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3", "audit.log.4"]);
        for name in &names {
            let meta = std::fs::metadata(dir.path().join(name)).unwrap();
            assert_eq!((meta.permissions().mode() & 0o777, meta.len()), (0o600, 80), "{name}");
        }
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("99\n"));
    }

    #[test]
    fn a_note_says_what_was_wanted_and_shows_no_secret() {
        let path = "/api/v1/namespaces/n/services/s/proxy/reset?token=secret";
        let request =
            http::Request::builder().method("POST").uri(path).header("authorization", "Bearer secret");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut note = Note::begin(&Registry::default(), Some(&Identity::user("jane", [])), &parts).unwrap();
        note.allowed();
        let text = String::from_utf8(note.bytes(200)).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        let shown = ["user", "verb", "resource", "subresource", "namespace", "name", "decision"]
            .map(|field| line[field].as_str().unwrap_or_default());
        assert_eq!(shown, ["jane", "create", "services", "proxy", "n", "s", "allow"]);
        assert!(!text.contains("secret") && !text.contains("reset"), "{text}");
    }

    #[test]
    fn what_parts_of_this_process_read_is_not_noted() {
        let parts = |method: &str| {
            http::Request::builder().method(method).uri("/api/v1/pods").body(()).unwrap().into_parts().0
        };
        let controller = Identity::component("controller");
        assert!(Note::begin(&Registry::default(), Some(&controller), &parts("GET")).is_none());
        assert!(Note::begin(&Registry::default(), Some(&controller), &parts("POST")).is_some());
        assert!(Note::begin(&Registry::default(), None, &parts("GET")).is_some());
    }
}
