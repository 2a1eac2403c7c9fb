//! The life of one container: prepare, start, serve, record, clean up.
//!
//! One thread, one poll loop. States: starting (the runtime works), running, draining (ended, output still comes).

mod early;
mod events;

use self::early::Early;
use crate::{
    clock,
    config::Config,
    control::Client,
    driver,
    failure::Failure,
    log::Log,
    mounts, record,
    stdio::{self, Stdio},
    sys,
};
use rustix::process::{WaitOptions, WaitStatus, wait};
use std::{
    ffi::OsString,
    fs,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::{Child, ExitCode},
    time::{Duration, Instant},
};

/// How long output may still come after the container ended, in silence and altogether.
const DRAIN_SILENCE: Duration = Duration::from_millis(200);
const DRAIN_TOTAL: Duration = Duration::from_secs(5);

/// Grace when the supervisor itself is told to end.
const OWN_GRACE: Duration = Duration::from_secs(10);

/// Where the container is in its life.
enum Phase {
    Starting { runtime: Child, deadline: Instant },
    Running,
    Draining { code: Code, since: Instant, heard: Instant },
}

/// How the container ended.
#[derive(Clone, Copy)]
struct Code {
    exit: i32,
    signal: Option<i32>,
}

/// A stop that was asked for.
struct Stop {
    /// Not sent yet: the container was still starting.
    signal: Option<i32>,
    grace: Duration,
    deadline: Option<Instant>,
}

/// What [`Supervisor::open`] makes.
struct Parts {
    signals: OwnedFd,
    listener: UnixListener,
    stdio: Stdio,
    runtime: Child,
}

struct Supervisor {
    config: Config,
    phase: Phase,
    pid: i32,
    started_at: String,
    /// Tells the end of a container that is no child of ours.
    waiter: Option<Child>,
    /// Ended before we knew whose they were.
    reaped: Vec<(i32, WaitStatus)>,
    stop: Option<Stop>,
    stdio: Stdio,
    log: Log,
    signals: OwnedFd,
    listener: UnixListener,
    clients: Vec<Client>,
    early: Early,
    /// Input that the container did not take yet.
    input: Vec<u8>,
    close_input: bool,
    chunk: Vec<u8>,
}

/// `run --instance <id> --id <id> <dir>`: the first four words are for people and the sweep.
pub(crate) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(dir) = args.last().map(PathBuf::from) else { return ExitCode::from(2) };
    // A session of its own keeps signals to the agent's terminal or session away from the container. It fails only where a
    // shell has made this process the leader of a group already.
    let _ = rustix::process::setsid();
    if let Err(error) = std::env::set_current_dir(&dir) {
        eprintln!("{}: {error}", dir.display());
        return ExitCode::from(2);
    }
    let config = match read_config() {
        Ok(config) => config,
        Err(failure) => return give_up(None, &failure),
    };
    sys::block_all_signals();
    match Supervisor::open(&config) {
        Ok(parts) => Supervisor::new(config, parts).run(),
        Err(message) => give_up(Some(&config), &Failure::setup(message)),
    }
}

fn read_config() -> Result<Config, Failure> {
    let text = fs::read("config.json").map_err(|error| Failure::setup(format!("config.json: {error}")))?;
    serde_json::from_slice(&text).map_err(|error| Failure::setup(format!("config.json: {error}")))
}

/// Records why there is no container, and leaves nothing of it.
fn give_up(config: Option<&Config>, failure: &Failure) -> ExitCode {
    if let Some(config) = config {
        driver::clean(config);
    }
    let _ = fs::remove_file("control.sock");
    let _ = record::durable("error.json", failure);
    report(&serde_json::json!({ "error": failure }));
    ExitCode::FAILURE
}

/// Tells the agent, if it is still there, how starting went.
fn report(value: &serde_json::Value) {
    let _ = writeln!(std::io::stdout(), "{value}");
    let _ = std::io::stdout().flush();
    stdio::close_report();
}

/// Program that the container runs, for error texts.
fn command_name() -> String {
    let text = fs::read("bundle/config.json").unwrap_or_default();
    let spec: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    spec["process"]["args"][0].as_str().unwrap_or_default().to_owned()
}

// === impl Supervisor ===

impl Supervisor {
    fn new(config: Config, parts: Parts) -> Supervisor {
        let deadline = Instant::now() + Duration::from_millis(config.create_timeout_ms);
        Supervisor {
            phase: Phase::Starting { runtime: parts.runtime, deadline },
            pid: 0,
            started_at: String::new(),
            waiter: None,
            reaped: Vec::new(),
            stop: None,
            stdio: parts.stdio,
            log: Log::open(&config.log),
            signals: parts.signals,
            listener: parts.listener,
            clients: Vec::new(),
            early: Early::new(config.tty || config.stdin_once),
            input: Vec::new(),
            close_input: false,
            chunk: vec![0; 8 << 10],
            config,
        }
    }

    /// Everything up to the runtime's start.
    fn open(config: &Config) -> Result<Parts, String> {
        let io = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        sys::become_subreaper().map_err(io("subreaper"))?;
        let signals =
            sys::signal_fd(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT]).map_err(io("signalfd"))?;
        let _ = fs::remove_file("control.sock");
        let listener = UnixListener::bind("control.sock").map_err(io("control.sock"))?;
        listener.set_nonblocking(true).map_err(io("control.sock"))?;
        mounts::prepare(config)?;
        let (stdio, for_runtime) = Stdio::open(config).map_err(io("cannot make pipes"))?;
        let console = stdio.console.as_ref().map(|(_, path)| path.clone());
        let runtime = driver::start(config, console.as_deref(), for_runtime)
            .map_err(|error| format!("cannot run {}: {error}", config.program.display()))?;
        Ok(Parts { signals, listener, stdio, runtime })
    }

    fn run(mut self) -> ExitCode {
        loop {
            if let Err(error) = self.wait_and_serve() {
                // Nothing we poll can fail for good; be slow rather than spin.
                let _ = error;
                std::thread::sleep(Duration::from_millis(10));
            }
            if let Some(failure) = self.check_deadlines() {
                return self.fail(&failure);
            }
            if let Phase::Draining { code, since, heard } = self.phase {
                let silent = heard.elapsed() >= DRAIN_SILENCE || since.elapsed() >= DRAIN_TOTAL;
                if self.stdio.outputs.is_empty() || silent {
                    return self.finish(code);
                }
            }
        }
    }

    /// Collects children; a failure ends the supervisor.
    fn reap(&mut self) -> Option<Failure> {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let is = |child: &Child| i64::from(child.id()) == i64::from(pid);
            match &self.phase {
                Phase::Starting { runtime, .. } if is(runtime) => {
                    if let Some(failure) = self.created(status) {
                        return Some(failure);
                    }
                }
                Phase::Starting { .. } => self.reaped.push((pid, status)),
                Phase::Running if pid == self.pid && !self.config.member => self.ended(code_of(status)),
                Phase::Running if self.waiter.as_ref().is_some_and(is) => self.member_ended(),
                Phase::Running | Phase::Draining { .. } => {}
            }
        }
        None
    }

    /// The runtime has returned from `run`.
    fn created(&mut self, status: WaitStatus) -> Option<Failure> {
        let pid = fs::read_to_string(driver::PID_FILE).ok().and_then(|text| text.trim().parse().ok());
        let (Some(0), Some(pid)) = (status.exit_status(), pid) else {
            let number =
                status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0));
            return Some(Failure::from_runtime(Path::new(driver::LOG_FILE), &command_name(), number));
        };
        self.pid = pid;
        self.started_at = clock::now();
        if let Err(error) = self.stdio.receive_terminal(self.config.stdin) {
            return Some(Failure::setup(format!("cannot take over the terminal: {error}")));
        }
        if self.config.member {
            match driver::wait(&self.config) {
                Ok(child) => self.waiter = Some(child),
                Err(error) => return Some(Failure::setup(format!("cannot wait for the container: {error}"))),
            }
        }
        self.phase = Phase::Running;
        let state = record::State {
            state: "running",
            id: &self.config.id,
            supervisor: std::process::id(),
            pid,
            started_at: &self.started_at,
        };
        let _ = record::quick("state.json", &state);
        report(&serde_json::json!({ "pid": pid, "startedAt": self.started_at }));
        if let Some((_, status)) = self.reaped.iter().find(|(ended, _)| *ended == pid && !self.config.member)
        {
            self.ended(code_of(*status));
        }
        self.reaped = Vec::new();
        self.send_stop();
        None
    }

    fn member_ended(&mut self) {
        let mut text = String::new();
        if let Some(output) = self.waiter.as_mut().and_then(|waiter| waiter.stdout.as_mut()) {
            let _ = output.read_to_string(&mut text);
        }
        self.waiter = None;
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        // No answer: the sandbox is gone, and with it this container.
        let exit = answer["exitStatus"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(137);
        self.ended(Code { exit, signal: None });
    }

    fn ended(&mut self, code: Code) {
        let now = Instant::now();
        self.phase = Phase::Draining { code, since: now, heard: now };
    }

    /// Sends the signal of a stop that was asked for, once there is something to send it to.
    fn send_stop(&mut self) {
        let Some(stop) = &mut self.stop else { return };
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        if let Some(signal) = stop.signal.take() {
            stop.deadline = Some(Instant::now() + stop.grace);
            self.signal(signal);
        }
    }

    fn signal(&self, number: i32) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        if driver::takes_signal(&self.config, number) {
            // Ours and not reaped yet, so the number is still its own.
            sys::kill(self.pid, number);
        } else {
            let _ = driver::signal(&self.config, number);
        }
    }

    /// Acts on what is overdue.
    fn check_deadlines(&mut self) -> Option<Failure> {
        let now = Instant::now();
        for client in &mut self.clients {
            client.gone |= client.deadline().is_some_and(|deadline| now >= deadline);
        }
        if let Phase::Starting { runtime, deadline } = &self.phase
            && now >= *deadline
        {
            let group = i32::try_from(runtime.id()).unwrap_or(i32::MAX);
            sys::kill(-group, libc::SIGKILL);
            let limit = Duration::from_millis(self.config.create_timeout_ms);
            return Some(Failure::setup(format!("the runtime did not start the container within {limit:?}")));
        }
        if self.stop.as_ref().and_then(|stop| stop.deadline).is_some_and(|deadline| now >= deadline) {
            if let Some(stop) = &mut self.stop {
                // Again in a second, should the runtime lose it.
                stop.deadline = Some(now + Duration::from_secs(1));
            }
            self.signal(libc::SIGKILL);
        }
        self.reap()
    }

    fn fail(mut self, failure: &Failure) -> ExitCode {
        self.clients.clear();
        give_up(Some(&self.config), failure)
    }

    /// Records the end, tells those who wait, removes what is left.
    fn finish(mut self, code: Code) -> ExitCode {
        let exit = record::Exit {
            exit_code: code.exit,
            signal: code.signal,
            started_at: std::mem::take(&mut self.started_at),
            finished_at: clock::now(),
            oom_killed: code.exit != 0 && crate::cgroup::oom_killed(&self.config.cgroup),
        };
        while record::durable("exit.json", &exit).is_err() {
            // A full disk: the record is the one thing that must not be lost. The agent makes room or kills us.
            std::thread::sleep(Duration::from_secs(1));
        }
        let value = serde_json::to_value(&exit).unwrap_or_default();
        self.tell_end(&value);
        driver::clean(&self.config);
        let _ = fs::remove_file("control.sock");
        let _ = fs::remove_file("state.json");
        ExitCode::SUCCESS
    }
}

fn code_of(status: WaitStatus) -> Code {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(exit), _) => Code { exit, signal: None },
        (None, Some(signal)) => Code { exit: 128 + signal, signal: Some(signal) },
        (None, None) => Code { exit: 255, signal: None },
    }
}
