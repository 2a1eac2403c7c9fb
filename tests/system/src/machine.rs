//! One installation: `agent-sandbox up` on a temporary data directory, with its own kubeconfig and port.

use crate::{Output, Residue};
use serde_json::Value;
use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A running installation; stopped and purged when dropped.
pub struct Machine {
    directory: TempDir,
    port: u16,
    flags: Vec<String>,
    residue: Residue,
}

// === impl Machine ===

impl Machine {
    /// Starts an installation with the default flags.
    pub fn up() -> Self {
        Self::up_with(&[])
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
        let id = Output::of(Command::new("id").arg("-u")).ok();
        assert_eq!(id.trim(), "0", "the system suite starts real sandboxes and needs root");
        let directory = tempfile::Builder::new()
            .prefix("agent-sandbox-test.")
            .tempdir_in("/var/tmp")
            .expect("temporary directory");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("free port")
            .port();
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Self { directory, port, flags, residue: Residue::look() }
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
        self.directory.path().join("data")
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

    /// An object as JSON.
    ///
    /// # Panics
    /// It does not exist.
    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json"]).ok()).expect("JSON")
    }

    /// Stops it with its sandboxes and deletes its data, and checks that the host is as it was before.
    ///
    /// # Panics
    /// Something is left.
    pub fn purge(self) {
        self.stop().ok();
        self.residue.assert_nothing_new();
    }

    fn stop(&self) -> Output {
        Output::of(self.command().args(["down", "--purge", "--yes", "--data-dir"]).arg(self.data()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.data().exists() {
            if thread::panicking() {
                self.show_log();
            }
            self.stop();
        }
    }
}

impl Machine {
    fn show_log(&self) {
        let log = std::fs::read_to_string(self.data().join("agent.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("--- last of agent.log\n{}\n---", lines[lines.len().saturating_sub(60)..].join("\n"));
    }
}

/// Waits until `true_now` holds, at most 60 seconds.
///
/// # Panics
/// It never held.
#[track_caller]
pub fn eventually(what: &str, mut true_now: impl FnMut() -> bool) {
    let started = Instant::now();
    while !true_now() {
        assert!(started.elapsed() < Duration::from_secs(60), "never happened: {what}");
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
