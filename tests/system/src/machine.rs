//! One installation: `agent-sandbox up` on a temporary data directory, with its own kubeconfig and port.

use crate::{Disk, Output, Residue};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A running installation. When dropped it is stopped and purged, and nothing of it may be left on the host.
pub struct Machine {
    directory: TempDir,
    data: PathBuf,
    port: u16,
    flags: Vec<String>,
    residue: Residue,
}

/// The installation that the tests of one file share while any of them runs.
static SHARED: Mutex<Weak<Machine>> = Mutex::new(Weak::new());

// === impl Machine ===

impl Machine {
    /// Starts an installation with the default flags.
    pub fn up() -> Self {
        Self::up_with(&[])
    }

    /// The installation that this file's tests share; the last of them purges it. Each test uses names of its own.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock();
        shared.upgrade().unwrap_or_else(|| {
            let machine = Arc::new(Self::up());
            *shared = Arc::downgrade(&machine);
            machine
        })
    }

    /// Starts an installation with additional flags for `up`.
    ///
    /// # Panics
    /// It does not come up.
    pub fn up_with(flags: &[&str]) -> Self {
        let machine = Self::prepare(flags);
        machine.start().ok();
        machine
    }

    /// An installation that is not started yet.
    ///
    /// # Panics
    /// This process is not root.
    pub fn prepare(flags: &[&str]) -> Self {
        let directory = Self::temporary();
        let data = directory.path().join("data");
        Self::placed(directory, data, flags)
    }

    /// An installation that is not started yet, with its data on a file system that the test made.
    pub fn prepare_on(disk: &Disk, flags: &[&str]) -> Self {
        Self::placed(Self::temporary(), disk.path().join("data"), flags)
    }

    fn temporary() -> TempDir {
        let prefix = "agent-sandbox-test.";
        tempfile::Builder::new().prefix(prefix).tempdir_in("/var/tmp").expect("temporary directory")
    }

    fn placed(directory: TempDir, data: PathBuf, flags: &[&str]) -> Self {
        let id = Output::of(Command::new("id").arg("-u")).ok();
        assert_eq!(id.trim(), "0", "the system suite starts real sandboxes and needs root");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("free port")
            .port();
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        let residue = Residue::of(&data);
        Self { directory, data, port, flags, residue }
    }

    /// Runs `up --detach`.
    pub fn start(&self) -> Output {
        let listen = format!("127.0.0.1:{}", self.port);
        let data = self.data();
        Output::of(
            self.command()
                .args(["up", "--detach", "--listen", &listen, "--data-dir"])
                .arg(data)
                .arg("--kubeconfig")
                .arg(self.kubeconfig())
                .args(&self.flags),
        )
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The kubeconfig that this installation writes.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// A place for a test's own files.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// The agent's process id.
    ///
    /// # Panics
    /// It does not run.
    pub fn pid(&self) -> i32 {
        let text = std::fs::read(self.data().join("up.json")).expect("up.json");
        let record: Value = serde_json::from_slice(&text).expect("up.json is JSON");
        i32::try_from(record["pid"].as_i64().expect("pid")).expect("pid fits")
    }

    /// Kills the agent as a crash would.
    pub fn kill(&self) {
        Output::of(Command::new("kill").args(["-9", &self.pid().to_string()])).ok();
        let pid = self.pid();
        eventually("the killed agent is gone", || !Path::new(&format!("/proc/{pid}/exe")).exists());
    }

    /// The binary, with this installation's kubeconfig.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Another program, with this installation's kubeconfig.
    pub fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Runs `agent-sandbox ARGS`.
    pub fn cli(&self, args: &[&str]) -> Output {
        Output::of(self.command().args(args))
    }

    /// Runs `kubectl ARGS` against this installation.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        Output::of(self.kubectl_command().args(args))
    }

    /// kubectl with this installation's kubeconfig.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(kubectl());
        command.env("KUBECONFIG", self.kubeconfig()).args(["--context", "agent-sandbox"]);
        command
    }

    /// Applies a manifest with kubectl.
    pub fn apply(&self, manifest: &str) -> Output {
        let file = self.directory.path().join("manifest.yaml");
        std::fs::write(&file, manifest).expect("write manifest");
        let file = file.display().to_string();
        self.kubectl(&["apply", "-f", &file])
    }

    /// Creates an object with kubectl.
    pub fn create(&self, object: &Value) -> Output {
        let name = object["metadata"]["name"].as_str().unwrap_or("object");
        let file = self.scratch().join(format!("{name:.80}.json"));
        std::fs::write(&file, object.to_string()).expect("write manifest");
        self.kubectl(&["create", "-f", &file.display().to_string()])
    }

    /// Creates a Pod and waits until it is Ready.
    #[track_caller]
    pub fn ready_pod(&self, pod: &Value) {
        self.create(pod).ok();
        let name = format!("pod/{}", pod["metadata"]["name"].as_str().expect("name"));
        self.kubectl(&["wait", "--for=condition=Ready", &name, "--timeout=60s"]).ok();
    }

    /// Runs a shell script in a Pod's first container and gives what it printed.
    #[track_caller]
    pub fn sh(&self, pod: &str, script: &str) -> String {
        self.kubectl(&["exec", pod, "-q", "--", "sh", "-c", script]).ok()
    }

    /// Waits until a field (a JSON pointer) of an object is as wanted, and gives the object.
    #[track_caller]
    pub fn wait_for(&self, kind: &str, name: &str, pointer: &str, wanted: &Value) -> Value {
        let started = Instant::now();
        loop {
            let object = self.get(kind, name);
            if object.pointer(pointer) == Some(wanted) {
                return object;
            }
            assert!(started.elapsed() < PATIENCE, "{kind} {name}: {pointer} never was {wanted}: {object:#}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// As [`Self::wait_for`], for a Pod that may not exist yet.
    #[track_caller]
    pub fn wait_for_pod(&self, name: &str, pointer: &str, wanted: &Value) -> Value {
        eventually(&format!("pod {name} exists"), || self.kubectl(&["get", "pod", name]).code == 0);
        self.wait_for("pod", name, pointer, wanted)
    }

    /// The messages of all events of an object.
    pub fn events(&self, name: &str) -> String {
        let selector = format!("involvedObject.name={name}");
        let output = r#"jsonpath={range .items[*]}{.type} {.reason}: {.message}{"\n"}{end}"#;
        self.kubectl(&["get", "events", "--field-selector", &selector, "-o", output]).ok()
    }

    /// An object as JSON.
    ///
    /// # Panics
    /// It does not exist.
    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json"]).ok()).expect("JSON")
    }

    /// What it has on the host.
    pub fn residue(&self) -> &Residue {
        &self.residue
    }

    /// Its own log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data().join("agent.log")).unwrap_or_default()
    }

    /// Stops it with its sandboxes and deletes its data, and checks that the host is as it was before.
    ///
    /// # Panics
    /// Something is left.
    pub fn purge(self) {
        drop(self);
    }

    fn stop(&self) -> Output {
        Output::of(self.command().args(["down", "--purge", "--yes", "--data-dir"]).arg(self.data()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show_log();
        }
        let stopped = self.data().join("lock").exists().then(|| self.stop());
        if !thread::panicking() {
            stopped.map(Output::ok);
            self.residue.assert_nothing_left();
        }
    }
}

impl Machine {
    fn show_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("--- last of agent.log\n{}\n---", lines[lines.len().saturating_sub(60)..].join("\n"));
    }
}

/// Longest time to wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `true_now` holds, at most a minute.
///
/// # Panics
/// It never held.
#[track_caller]
pub fn eventually(what: &str, mut true_now: impl FnMut() -> bool) {
    let started = Instant::now();
    while !true_now() {
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The binary under test: `AGENT_SANDBOX`, else the one beside this test's own build.
fn binary() -> PathBuf {
    env::var_os("AGENT_SANDBOX").map_or_else(|| target().join("debug/agent-sandbox"), PathBuf::from)
}

/// A current kubectl: `KUBECTL`, else the one `scripts/install-tools test` builds.
fn kubectl() -> PathBuf {
    env::var_os("KUBECTL").map_or_else(|| target().join("tools/kubectl"), PathBuf::from)
}

fn target() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}
