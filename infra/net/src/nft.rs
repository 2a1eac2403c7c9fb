//! Runs nft. Changes that arrive while it runs are applied together by the next run.
use crate::Error;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::thread;
use tokio::sync::{mpsc, oneshot};

/// Changes that wait for one run of nft, at most.
const QUEUE: usize = 1024;

type Change = (Vec<Value>, oneshot::Sender<Result<(), Error>>);

/// A queue of changes to the firewall, worked off by one thread.
#[derive(Clone, Debug)]
pub(crate) struct Nft {
    queue: mpsc::Sender<Change>,
}

// === impl Nft ===

impl Nft {
    /// Starts the thread; it ends when the last handle is dropped. Its network namespace is the caller's.
    pub(crate) fn start() -> Result<Nft, Error> {
        let (queue, changes) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("nft".to_owned()).spawn(move || work(changes));
        thread.map_err(|source| Error::Kernel { what: "start a thread".to_owned(), source })?;
        Ok(Nft { queue })
    }

    /// Applies a change; when this returns, packets are judged by it.
    pub(crate) async fn apply(&self, commands: Vec<Value>) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let gone = || Error::Firewall("its thread has ended".to_owned());
        self.queue.send((commands, done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Applies commands in one transaction.
pub(crate) fn apply(commands: &[Value]) -> Result<(), Error> {
    run(&["-j", "-f", "-"], &json!({"nftables": commands}).to_string()).map(|_| ())
}

/// Everything in the kernel's nftables that nft understands.
pub(crate) fn ruleset() -> Result<Value, Error> {
    let text = run(&["-j", "-a", "list", "ruleset"], "")?;
    serde_json::from_slice(&text).map_err(|e| Error::Firewall(format!("its answer is not JSON: {e}")))
}

fn work(mut changes: mpsc::Receiver<Change>) {
    while let Some(first) = changes.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < QUEUE
            && let Ok(next) = changes.try_recv()
        {
            batch.push(next);
        }
        settle(batch);
    }
}

/// Applies a batch. If that fails, each change alone, so that a bad one does not fail its neighbours.
fn settle(batch: Vec<Change>) {
    let together: Vec<_> = batch.iter().flat_map(|(commands, _)| commands.clone()).collect();
    let all = apply(&together).is_ok();
    for (commands, done) in batch {
        let result = if all { Ok(()) } else { apply(&commands) };
        // Nobody waits any more: the change stands all the same.
        done.send(result).ok();
    }
}

fn run(arguments: &[&str], input: &str) -> Result<Vec<u8>, Error> {
    let missing = Error::Missing { program: "nft", fix: "apt-get install nftables" };
    let failed = |e: std::io::Error| Error::Firewall(e.to_string());
    let mut command = Command::new("nft");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing),
        spawned => spawned.map_err(failed)?,
    };
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(failed)?;
    }
    let Output { status, stdout, stderr } = child.wait_with_output().map_err(failed)?;
    if status.success() {
        return Ok(stdout);
    }
    Err(Error::Firewall(String::from_utf8_lossy(&stderr).trim().to_owned()))
}
