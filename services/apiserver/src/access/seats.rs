//! How many requests are answered at the same time, shared fairly between users.
//!
//! A user holds at most his share of the seats, so one who asks without end leaves the rest to others; those who wait are
//! seated in turn, one request of each user. Whose line is full is told to come again (429).
//!
//! **Invariant:** a seat comes back when it is dropped, whatever became of its request.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use wire::Status;

/// All lines together are at most as long as so many of one user.
const LINES: usize = 16;
/// How long one waits, as in Kubernetes.
const PATIENCE: Duration = Duration::from_secs(15);
/// What a client is told to wait before it tries again, in seconds.
const RETRY_AFTER: u32 = 1;

/// All seats of one sort.
#[derive(Debug)]
pub(super) struct Seats {
    state: Mutex<State>,
    /// The most that one user holds.
    share: usize,
    /// Requests of one user that wait.
    line: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    users: HashMap<Arc<str>, User>,
    /// Users with a line, each once; the first is next.
    turns: VecDeque<Arc<str>>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct User {
    held: usize,
    line: VecDeque<oneshot::Sender<Seat>>,
}

/// The place of one request.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    user: Arc<str>,
}

// === impl Seats ===

impl Seats {
    /// So many seats, of which one user holds at most his share, and a line for each user.
    pub(super) fn new(total: usize, share: usize, line: usize) -> Arc<Self> {
        let state = State { free: total.max(1), users: HashMap::new(), turns: VecDeque::new(), waiting: 0 };
        Arc::new(Self { state: Mutex::new(state), share: share.max(1), line })
    }

    /// A seat for a request of this user, now or when it is his turn.
    pub(super) async fn take(self: &Arc<Self>, user: &str) -> Result<Seat, Status> {
        let turn = {
            let mut state = self.state.lock();
            let (user, held, line) = match state.users.get_key_value(user) {
                Some((known, own)) => (Arc::clone(known), own.held, own.line.len()),
                None => (user.into(), 0, 0),
            };
            if state.free > 0 && held < self.share && line == 0 {
                state.seat(&user);
                return Ok(Seat { seats: Arc::clone(self), user });
            }
            if line >= self.line || state.waiting >= LINES * self.line {
                return Err(full());
            }
            state.wait(&user)
        };
        match tokio::time::timeout(PATIENCE, turn).await {
            Ok(Ok(seat)) => Ok(seat),
            _ => Err(full()),
        }
    }

    /// Takes a seat back and seats who is next.
    fn give_back(self: &Arc<Self>, user: &Arc<str>) {
        let mut seated = Vec::new();
        {
            let mut state = self.state.lock();
            state.free += 1;
            if let Some(own) = state.users.get_mut(user) {
                own.held -= 1;
                if own.held == 0 && own.line.is_empty() {
                    state.users.remove(user);
                }
            }
            state.seat_next(self.share, &mut seated);
        }
        // Outside of the lock: the seat of one who has gone comes back through here.
        for (turn, user) in seated {
            drop(turn.send(Seat { seats: Arc::clone(self), user }));
        }
    }
}

// === impl State ===

impl State {
    fn seat(&mut self, user: &Arc<str>) {
        self.free -= 1;
        self.users.entry(Arc::clone(user)).or_default().held += 1;
    }

    fn wait(&mut self, user: &Arc<str>) -> oneshot::Receiver<Seat> {
        let (sender, receiver) = oneshot::channel();
        let own = self.users.entry(Arc::clone(user)).or_default();
        if own.line.is_empty() {
            self.turns.push_back(Arc::clone(user));
        }
        own.line.push_back(sender);
        self.waiting += 1;
        receiver
    }

    /// Seats those whose turn it is while seats are free: one request of each user after the other.
    fn seat_next(&mut self, share: usize, seated: &mut Vec<(oneshot::Sender<Seat>, Arc<str>)>) {
        let mut full_shares = 0;
        while self.free > 0 && full_shares < self.turns.len() {
            let Some(user) = self.turns.pop_front() else { return };
            let Some(own) = self.users.get_mut(&user) else { continue };
            if own.held >= share {
                self.turns.push_back(user);
                full_shares += 1;
                continue;
            }
            let Some(turn) = own.line.pop_front() else { continue };
            self.waiting -= 1;
            if !own.line.is_empty() {
                self.turns.push_back(Arc::clone(&user));
            }
            if !turn.is_closed() {
                self.seat(&user);
                seated.push((turn, user));
            } else if self.users.get(&user).is_some_and(|own| own.held == 0 && own.line.is_empty()) {
                self.users.remove(&user);
            }
            full_shares = 0;
        }
    }
}

// === impl Seat ===

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.give_back(&self.user);
    }
}

fn full() -> Status {
    Status::too_many_requests("Too many requests, please try again later.", RETRY_AFTER)
}

#[cfg(test)]
mod tests;
