//! Which streams there are and which of their directions are open. Pure: it decides, [`super::connection`] does.

use super::frame::status;
use std::collections::HashMap;

/// What becomes of a stream that the client wants to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be opened.
    Open,
    /// It is reset with this status.
    Refuse(u32),
    /// Nothing is said: the client has been told, or has said, that no new streams come.
    Ignore,
}

/// The streams of one connection. `I` is where a stream's data goes.
#[derive(Debug)]
pub(super) struct State<I> {
    streams: HashMap<u32, Entry<I>>,
    last: u32,
    most: usize,
    gone_away: bool,
}

#[derive(Debug)]
struct Entry<I> {
    input: I,
    input_open: bool,
    output_open: bool,
}

// === impl State ===

impl<I> State<I> {
    pub(super) fn new(most: usize) -> Self {
        Self { streams: HashMap::new(), last: 0, most, gone_away: false }
    }

    /// Judges a SYN_STREAM. Clients' numbers are odd and only ever rise.
    pub(super) fn judge(&mut self, id: u32) -> Verdict {
        if self.gone_away {
            return Verdict::Ignore;
        }
        if id.is_multiple_of(2) || id <= self.last {
            return Verdict::Refuse(status::PROTOCOL_ERROR);
        }
        self.last = id;
        if self.streams.len() >= self.most {
            return Verdict::Refuse(status::REFUSED_STREAM);
        }
        Verdict::Open
    }

    /// Opens a stream.
    pub(super) fn open(&mut self, id: u32, input: I, input_open: bool, output_open: bool) {
        if input_open || output_open {
            self.streams.insert(id, Entry { input, input_open, output_open });
        }
    }

    /// Where data for this stream goes, while data may come.
    pub(super) fn input(&self, id: u32) -> Option<&I> {
        self.streams.get(&id).filter(|entry| entry.input_open).map(|entry| &entry.input)
    }

    /// The client sends no more data on this stream; what its data went to, if it was open.
    pub(super) fn finish_input(&mut self, id: u32) -> Option<&mut I> {
        self.close(id, |entry| &mut entry.input_open);
        self.streams.get_mut(&id).map(|entry| &mut entry.input)
    }

    /// We send no more data on this stream.
    pub(super) fn finish_output(&mut self, id: u32) {
        self.close(id, |entry| &mut entry.output_open);
    }

    /// Whether data may be sent on this stream.
    pub(super) fn sends(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|entry| entry.output_open)
    }

    /// Ends a stream at once; where its data went.
    pub(super) fn reset(&mut self, id: u32) -> Option<I> {
        self.streams.remove(&id).map(|entry| entry.input)
    }

    /// No new streams are taken from now on.
    pub(super) fn go_away(&mut self) {
        self.gone_away = true;
    }

    /// Whether nothing can come any more.
    pub(super) fn is_over(&self) -> bool {
        self.gone_away && self.streams.is_empty()
    }

    /// The last stream that was looked at.
    pub(super) fn last(&self) -> u32 {
        self.last
    }

    /// Ends all streams.
    pub(super) fn clear(&mut self) -> Vec<I> {
        self.gone_away = true;
        self.streams.drain().map(|(_, entry)| entry.input).collect()
    }

    fn close(&mut self, id: u32, direction: impl Fn(&mut Entry<I>) -> &mut bool) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        *direction(entry) = false;
        if !entry.input_open && !entry.output_open {
            self.streams.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_odd_and_rise() {
        let mut state = State::<()>::new(10);
        let mut judge = |id| state.judge(id);
        assert_eq!(judge(2), Verdict::Refuse(status::PROTOCOL_ERROR));
        assert_eq!(judge(1), Verdict::Open);
        assert_eq!(judge(1), Verdict::Refuse(status::PROTOCOL_ERROR));
        assert_eq!(judge(9), Verdict::Open);
        assert_eq!(judge(7), Verdict::Refuse(status::PROTOCOL_ERROR));
    }

    #[test]
    fn a_stream_is_forgotten_once_both_directions_are_closed_and_makes_room() {
        let mut state = State::new(1);
        assert_eq!(state.judge(1), Verdict::Open);
        state.open(1, (), true, true);
        assert_eq!(state.judge(3), Verdict::Refuse(status::REFUSED_STREAM));
        state.finish_input(1);
        assert!(state.input(1).is_none() && state.sends(1), "half closed");
        assert_eq!(state.judge(5), Verdict::Refuse(status::REFUSED_STREAM));
        state.finish_output(1);
        assert_eq!(state.judge(7), Verdict::Open);
    }

    #[test]
    fn after_a_go_away_streams_end_and_none_begin() {
        let mut state = State::new(8);
        state.open(1, (), true, true);
        state.go_away();
        assert_eq!(state.judge(3), Verdict::Ignore);
        assert!(!state.is_over());
        state.reset(1);
        assert!(state.is_over());
    }
}
