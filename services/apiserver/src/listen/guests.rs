//! Who is connected, and who has to go when there are too many.
//!
//! A connection begins as a stranger's and becomes a known client's with the certificate or token that proves one. The two are
//! counted apart, so no number of strangers keeps a known client out. Nobody waits for a place: a newcomer takes that of
//! the oldest stranger from the address that has most of them, or of the known client that has been idle longest.
//!
//! **Invariant:** a request that is being answered is never cut off for somebody else's.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time;
use tokio_util::sync::CancellationToken;

/// All connections.
#[derive(Debug)]
pub(super) struct Guests {
    places: Mutex<Places>,
    strangers: usize,
    known: usize,
}

#[derive(Debug, Default)]
struct Places {
    /// Numbers connections, and the moments at which they fall idle.
    clock: u64,
    /// By number, so in the order of arrival.
    strangers: BTreeMap<u64, (IpAddr, CancellationToken)>,
    known: HashMap<u64, Known>,
}

#[derive(Debug)]
struct Known {
    leave: CancellationToken,
    /// Requests being answered.
    busy: usize,
    idle_since: u64,
}

/// The place of one connection; given up when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    guests: Arc<Guests>,
    number: u64,
    /// Somebody else needs the place.
    pub(super) leave: CancellationToken,
    known: AtomicBool,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Seat>);

// === impl Guests ===

impl Guests {
    pub(super) fn new(strangers: usize, known: usize) -> Self {
        Self { places: Mutex::default(), strangers: strangers.max(1), known: known.max(1) }
    }

    /// A place for a newcomer, if need be that of another stranger.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Seat {
        let leave = CancellationToken::new();
        let mut places = self.places.lock();
        if places.strangers.len() >= self.strangers {
            places.send_away_a_stranger();
        }
        let number = places.tick();
        places.strangers.insert(number, (peer, leave.clone()));
        Seat { guests: self.clone(), number, leave, known: AtomicBool::new(false) }
    }

    /// Makes room when the system itself has none left.
    pub(super) fn make_room(&self) {
        self.places.lock().send_away_a_stranger();
    }
}

// === impl Places ===

impl Places {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn send_away_a_stranger(&mut self) {
        let mut by_peer: HashMap<IpAddr, (usize, u64)> = HashMap::new();
        for (number, (peer, _)) in &self.strangers {
            by_peer.entry(*peer).or_insert((0, *number)).0 += 1;
        }
        let oldest = by_peer.into_values().max_by_key(|(count, oldest)| (*count, u64::MAX - oldest));
        if let Some((_, (_, leave))) = oldest.and_then(|(_, oldest)| self.strangers.remove_entry(&oldest)) {
            leave.cancel();
        }
    }

    /// Whether a known client that was idle has gone.
    fn send_away_an_idler(&mut self) -> bool {
        let idle = self.known.iter().filter(|(_, known)| known.busy == 0);
        let longest = idle.min_by_key(|(_, known)| known.idle_since).map(|(number, _)| *number);
        let gone = longest.and_then(|number| self.known.remove(&number));
        gone.is_some_and(|known| {
            known.leave.cancel();
            true
        })
    }
}

// === impl Seat ===

impl Seat {
    /// The stranger has proved who it is. False if all known clients are busy and there is no place for one more.
    pub(super) fn is_known_now(&self) -> bool {
        if self.is_known() {
            return true;
        }
        let mut places = self.guests.places.lock();
        let sent_away = !places.strangers.contains_key(&self.number);
        if sent_away || (places.known.len() >= self.guests.known && !places.send_away_an_idler()) {
            return false;
        }
        places.strangers.remove(&self.number);
        let idle_since = places.tick();
        let known = Known { leave: self.leave.clone(), busy: 0, idle_since };
        places.known.insert(self.number, known);
        self.known.store(true, Ordering::Release);
        true
    }

    /// Whether it has proved who it is.
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// Ends after so long if the stranger is one still then; else never.
    pub(super) async fn overstays(&self, allowed: Duration) {
        if !self.is_known() {
            time::sleep(allowed).await;
        }
        if self.is_known() {
            std::future::pending().await
        }
    }

    /// A request has come; its answer ends when what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        if let Some(known) = self.guests.places.lock().known.get_mut(&self.number) {
            known.busy += 1;
        }
        Busy(self.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut places = self.guests.places.lock();
        places.strangers.remove(&self.number);
        places.known.remove(&self.number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut places = self.0.guests.places.lock();
        let now = places.tick();
        if let Some(known) = places.known.get_mut(&self.0.number) {
            known.busy -= 1;
            known.idle_since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn the_oldest_stranger_of_the_busiest_address_makes_room() {
        let guests = Arc::new(Guests::new(3, 1));
        let lone = guests.enter(peer(1));
        let (first, second) = (guests.enter(peer(2)), guests.enter(peer(2)));
        let third = guests.enter(peer(2));
        assert!(first.leave.is_cancelled());
        assert!(!lone.leave.is_cancelled() && !second.leave.is_cancelled() && !third.leave.is_cancelled());
        drop(second);
        let fourth = guests.enter(peer(3));
        assert!(!lone.leave.is_cancelled() && !third.leave.is_cancelled() && !fourth.leave.is_cancelled());
    }

    #[test]
    fn a_known_client_takes_the_place_of_the_one_idle_longest_and_of_no_busy_one() {
        let guests = Arc::new(Guests::new(8, 2));
        let [first, second, third, fourth] = [1, 2, 3, 4].map(|last| Arc::new(guests.enter(peer(last))));
        assert!(first.is_known_now() && second.is_known_now());
        drop(first.begin());
        assert!(third.is_known_now());
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
        let busy = (first.begin(), third.begin());
        assert!(!fourth.is_known_now());
        drop(busy.1);
        assert!(fourth.is_known_now());
        assert!(third.leave.is_cancelled() && !first.leave.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_who_proves_himself_in_time_may_stay() {
        let guests = Arc::new(Guests::new(8, 2));
        let (known, stranger) = (guests.enter(peer(1)), guests.enter(peer(1)));
        assert!(known.is_known_now() && known.is_known_now(), "every request proves it again");
        let (allowed, long) = (Duration::from_secs(30), Duration::from_secs(3600));
        assert!(time::timeout(long, known.overstays(allowed)).await.is_err());
        assert!(time::timeout(long, stranger.overstays(allowed)).await.is_ok());
    }
}
