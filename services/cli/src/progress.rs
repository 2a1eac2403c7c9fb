//! A spinner on standard error for what takes longer than a moment; plain lines where it is no terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

/// On a terminal, a spinner for less would only flicker.
const FLASH: Duration = Duration::from_millis(400);
/// Nothing is said of what is over sooner.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines that are no terminal's come no closer together than this.
const PACE: Duration = Duration::from_secs(5);

/// Shows what is waited for; gone when dropped.
pub struct Progress {
    on_terminal: bool,
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
    /// Shows nothing yet: what is over at once needs no spinner.
    pub fn start() -> Self {
        let lines = Lines::start(Instant::now());
        Self { on_terminal: std::io::stderr().is_terminal(), bar: None, lines }
    }

    /// Says what is being waited for. Without a terminal it is a line now and then; see [`Progress::tick`].
    pub fn say(&mut self, text: &str) {
        text.clone_into(&mut self.lines.text);
        self.tick();
    }

    /// Shows what was said last if its time has come. To be called about once a second.
    pub fn tick(&mut self) {
        let now = Instant::now();
        if self.on_terminal {
            if now.duration_since(self.lines.started) >= FLASH {
                self.bar.get_or_insert_with(spinner).set_message(self.lines.text.clone());
            }
        } else if let Some(line) = self.lines.due(now) {
            eprintln!("{line}");
        }
    }
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    let bar = ProgressBar::new_spinner();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
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
