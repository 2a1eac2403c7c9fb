//! A spinner on standard error for what takes longer than a moment; plain lines where it is no terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

/// Nothing is said of what is over sooner.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines that are no terminal's come no closer together than this.
const PACE: Duration = Duration::from_secs(5);

/// Shows what is waited for; gone when dropped.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    lines: Lines,
}

/// Which texts become lines, and when.
struct Lines {
    started: Instant,
    printed: Option<(Instant, String)>,
    text: String,
}

// === impl Progress ===

impl Progress {
    /// A spinner that says nothing until the first [`Progress::say`].
    pub(crate) fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            let bar = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, lines: Lines::start(Instant::now()) }
    }

    /// Says what is being waited for. Without a terminal it is a line now and then; see [`Progress::tick`].
    pub(crate) fn say(&mut self, text: &str) {
        text.clone_into(&mut self.lines.text);
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.tick(),
        }
    }

    /// Prints what was said last if its time has come. To be called about once a second.
    pub(crate) fn tick(&mut self) {
        if self.bar.is_none()
            && let Some(line) = self.lines.due(Instant::now())
        {
            eprintln!("{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

// === impl Lines ===

impl Lines {
    fn start(now: Instant) -> Self {
        Self { started: now, printed: None, text: String::new() }
    }

    /// The text to print now, if any: after the first second, only a new one, and never two within five seconds.
    fn due(&mut self, now: Instant) -> Option<&str> {
        let wait = match &self.printed {
            None => now.duration_since(self.started) < PATIENCE,
            Some((at, text)) => *text == self.text || now.duration_since(*at) < PACE,
        };
        if wait || self.text.is_empty() {
            return None;
        }
        self.printed = Some((now, self.text.clone()));
        Some(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_text_is_printed_after_a_second_and_changes_every_five() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut lines = Lines::start(start);
        lines.text = "pulling".to_owned();
        assert_eq!(lines.due(at(0)), None, "what is over at once is not announced");
        assert_eq!(lines.due(at(1)), Some("pulling"), "it was said before the first second was over");
        assert_eq!(lines.due(at(8)), None, "nothing is said twice");
        lines.text = "starting".to_owned();
        assert_eq!(lines.due(at(9)), Some("starting"));
        lines.text = "waiting".to_owned();
        assert_eq!(lines.due(at(10)), None);
        assert_eq!(lines.due(at(14)), Some("waiting"));
    }
}
