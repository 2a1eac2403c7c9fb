//! One line of a container log.

use jiff::Timestamp;

/// A parsed line.
pub(super) struct Line<'a> {
    stamp: &'a [u8],
    pub(super) stream: &'a [u8],
    whole: bool,
    content: &'a [u8],
}

// === impl Line ===

impl<'a> Line<'a> {
    /// Takes a line apart; none if it is not one.
    pub(super) fn parse(raw: &'a [u8]) -> Option<Self> {
        let mut parts = raw.splitn(4, |byte| *byte == b' ');
        let (stamp, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let content = parts.next().unwrap_or_default();
        Some(Self { stamp, stream, whole: !tag.starts_with(b"P"), content })
    }

    pub(super) fn time(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.stamp).ok()?.parse().ok()
    }

    /// What the reader sees of it; the first part of a longer line has no end.
    pub(super) fn text(&self, timestamps: bool) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.content.len() + 40);
        if timestamps {
            text.extend_from_slice(self.stamp);
            text.push(b' ');
        }
        text.extend_from_slice(self.content);
        if self.whole {
            text.push(b'\n');
        }
        text
    }
}
