//! What a container wrote before the one client that it was made for came: `run -it` attaches when the container runs
//! already, and must not miss the prompt.
//!
//! **Invariant:** what is kept is bounded, and waiting for the client holds the container up once, for a moment.

use crate::control::{Client, STDERR, STDOUT};
use crate::log::Stream;
use std::time::{Duration, Instant};

/// Bytes that are kept. A container that writes more first waits for its client.
const MOST: usize = 64 << 10;
/// How long it waits; then the oldest is dropped. The log has everything.
const PATIENCE: Duration = Duration::from_secs(2);

/// Output before the first attach.
#[derive(Debug)]
pub(super) struct Early {
    kept: Option<Vec<(Stream, Vec<u8>)>>,
    size: usize,
    full_since: Option<Instant>,
}

// === impl Early ===

impl Early {
    /// `expected` is whether a client will attach: the container has a terminal, or an input that is closed with its client.
    pub(super) fn new(expected: bool) -> Early {
        Early { kept: expected.then(Vec::new), size: 0, full_since: None }
    }

    pub(super) fn keep(&mut self, stream: Stream, data: &[u8]) {
        let Some(kept) = &mut self.kept else { return };
        kept.push((stream, data.to_vec()));
        self.size += data.len();
        if self.size < MOST {
            return;
        }
        if self.full_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
            self.size -= kept.remove(0).1.len();
        }
    }

    /// Whether output is to wait in the kernel's pipe, and until when.
    pub(super) fn holds_up_until(&self) -> Option<Instant> {
        let until = self.full_since? + PATIENCE;
        (self.size >= MOST && self.kept.is_some() && Instant::now() < until).then_some(until)
    }

    /// The first client gets it all; nothing is kept from now on.
    pub(super) fn give(&mut self, client: &mut Client) {
        for (stream, data) in self.kept.take().into_iter().flatten() {
            client.frame(if stream == Stream::Stdout { STDOUT } else { STDERR }, &data);
        }
        (self.size, self.full_since) = (0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read as _, os::unix::net::UnixStream};

    fn given(early: &mut Early) -> Vec<u8> {
        let (mut near, far) = UnixStream::pair().expect("pair");
        let mut client = Client::new(far).expect("client");
        early.give(&mut client);
        drop(client);
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).expect("read");
        heard
    }

    #[test]
    fn the_first_client_gets_what_was_written_before_it_and_the_second_does_not() {
        let mut early = Early::new(true);
        early.keep(Stream::Stdout, b"$ ");
        early.keep(Stream::Stderr, b"!");
        assert_eq!(
            given(&mut early),
            [&[STDOUT, 0, 0, 0, 2][..], b"$ ", &[STDERR, 0, 0, 0, 1], b"!"].concat()
        );
        early.keep(Stream::Stdout, b"later");
        assert!(given(&mut early).is_empty());
    }

    #[test]
    fn a_full_store_holds_the_container_up_for_a_moment() {
        let mut early = Early::new(true);
        early.keep(Stream::Stdout, &[0; MOST - 1]);
        assert!(early.holds_up_until().is_none());
        early.keep(Stream::Stdout, b"x");
        assert!(early.holds_up_until().is_some());
        early.full_since = Instant::now().checked_sub(PATIENCE);
        assert!(early.holds_up_until().is_none(), "nobody came: the container goes on");
        early.keep(Stream::Stdout, b"y");
        assert!(early.size < MOST, "the oldest was dropped");
    }

    #[test]
    fn where_no_client_is_expected_nothing_is_kept() {
        let mut early = Early::new(false);
        early.keep(Stream::Stdout, &[0; 2 * MOST]);
        assert!(early.holds_up_until().is_none() && given(&mut early).is_empty());
    }
}
