//! How much one client may ask. Pure but for the counts it keeps.
//!
//! **Invariant:** clients that take what they can, be they hundreds, do not keep another from being answered: a few are kept for
//! each, and the more of the rest is used, the less of it one client gets.
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

/// Queries a second that one client may ask for long.
const RATE: f64 = 500.0;
/// Queries it may ask at once.
const BURST: f64 = 1000.0;
/// Queries of one client that may wait for the outside.
const WAITING: usize = 64;
/// TCP connections of one client.
const CONNECTIONS: usize = 16;
/// Queries that may wait, and connections that may be open, for all clients together: two budgets.
const AT_ONCE: usize = 2048;
/// How many of them are there for whoever wants more than a few.
const SHARED: usize = 512;
/// The few that every client gets as long as there are any.
const OWN: usize = 4;
/// Clients remembered before idle ones are forgotten.
const REMEMBERED: usize = 4096;

/// The limits of all clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    clients: HashMap<Ipv4Addr, Client>,
    waiting: Budget,
    connections: Budget,
}

/// What all clients use of one thing.
#[derive(Debug, Default)]
struct Budget {
    used: usize,
}

#[derive(Debug)]
struct Client {
    tokens: f64,
    at: Instant,
    waiting: usize,
    connections: usize,
}

/// What a [`Turn`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A query that waits for the outside.
    Waiting,
    /// An open connection.
    Connection,
}

/// One use of a limited thing; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Turn {
    limits: Limits,
    client: Ipv4Addr,
    kind: Kind,
}

// === impl Limits ===

impl Limits {
    /// Whether a client may ask one more query now.
    pub(crate) fn allow(&self, client: Ipv4Addr, now: Instant) -> bool {
        let clients = &mut self.state.lock().clients;
        if clients.len() >= REMEMBERED {
            clients.retain(|_, c| c.waiting > 0 || c.connections > 0 || c.refilled(now) < BURST);
        }
        let client = clients.entry(client).or_insert_with(|| Client::new(now));
        client.tokens = client.refilled(now);
        client.at = now;
        if client.tokens < 1.0 {
            return false;
        }
        client.tokens -= 1.0;
        true
    }

    /// Counts one use, or refuses it.
    pub(crate) fn enter(&self, client: Ipv4Addr, kind: Kind, now: Instant) -> Option<Turn> {
        let state = &mut *self.state.lock();
        let counts = state.clients.entry(client).or_insert_with(|| Client::new(now));
        let (count, most) = counts.count(kind);
        let budget = match kind {
            Kind::Waiting => &mut state.waiting,
            Kind::Connection => &mut state.connections,
        };
        if *count >= most.min(budget.share()) {
            return None;
        }
        budget.used += 1;
        *count += 1;
        Some(Turn { limits: self.clone(), client, kind })
    }
}

// === impl Budget ===

impl Budget {
    /// What one client may use now.
    fn share(&self) -> usize {
        if self.used >= AT_ONCE { 0 } else { OWN.max(SHARED.saturating_sub(self.used) / 4) }
    }
}

// === impl Client ===

impl Client {
    fn new(now: Instant) -> Client {
        Client { tokens: BURST, at: now, waiting: 0, connections: 0 }
    }

    fn refilled(&self, now: Instant) -> f64 {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        (self.tokens + earned).min(BURST)
    }

    fn count(&mut self, kind: Kind) -> (&mut usize, usize) {
        match kind {
            Kind::Waiting => (&mut self.waiting, WAITING),
            Kind::Connection => (&mut self.connections, CONNECTIONS),
        }
    }
}

// === impl Turn ===

impl Drop for Turn {
    fn drop(&mut self) {
        let state = &mut *self.limits.state.lock();
        let Some(client) = state.clients.get_mut(&self.client) else { return };
        *client.count(self.kind).0 -= 1;
        let budget = match self.kind {
            Kind::Waiting => &mut state.waiting,
            Kind::Connection => &mut state.connections,
        };
        budget.used -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

    #[test]
    fn a_flood_is_cut_off_and_only_for_the_one_who_floods() {
        let (limits, now) = (Limits::default(), Instant::now());
        let allowed = (0..5000).filter(|_| limits.allow(A, now)).count();
        assert_eq!(allowed, 1000);
        assert!(limits.allow(B, now));
        assert!(!limits.allow(A, now));
        assert!(limits.allow(A, now + Duration::from_millis(10)));
    }

    #[test]
    fn turns_are_counted_per_client_and_given_back() {
        let (limits, now) = (Limits::default(), Instant::now());
        let turns: Vec<_> = (0..WAITING).map(|_| limits.enter(A, Kind::Waiting, now).unwrap()).collect();
        assert!(limits.enter(A, Kind::Waiting, now).is_none());
        assert!(limits.enter(A, Kind::Connection, now).is_some());
        assert!(limits.enter(B, Kind::Waiting, now).is_some());
        drop(turns);
        assert!(limits.enter(A, Kind::Waiting, now).is_some());
    }

    #[test]
    fn however_many_take_all_they_can_one_more_gets_its_share() {
        for (floods, kind) in [(16, Kind::Waiting), (64, Kind::Connection), (300, Kind::Waiting)] {
            let (limits, now) = (Limits::default(), Instant::now());
            let mut taken = Vec::new();
            for client in 0..floods {
                let client = Ipv4Addr::from(0x0a00_0100 + client);
                taken.extend((0..100).map_while(|_| limits.enter(client, kind, now)));
            }
            let own: Vec<_> = (0..OWN).map_while(|_| limits.enter(B, kind, now)).collect();
            assert_eq!(own.len(), OWN, "{floods} of {kind:?} took {}", taken.len());
            drop(own);
            drop(taken);
            let state = limits.state.lock();
            assert_eq!((state.waiting.used, state.connections.used), (0, 0));
        }
    }
}
