//! What a command printed and how it ended.

use std::process::Command;

/// A finished command.
#[derive(Debug)]
pub struct Output {
    /// The command line, for messages.
    pub line: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

// === impl Output ===

impl Output {
    /// Runs `command` to its end.
    ///
    /// # Panics
    /// The command cannot be started.
    pub fn of(command: &mut Command) -> Self {
        let line = format!("{command:?}");
        let output = command.output().unwrap_or_else(|error| panic!("start {line}: {error}"));
        Self {
            line,
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Its standard output, where it must have succeeded.
    ///
    /// # Panics
    /// It failed; everything it said is in the message.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}\nstdout: {}\nstderr: {}", self.line, self.out, self.err);
        self.out
    }

    /// Its standard error, where it must have failed.
    ///
    /// # Panics
    /// It succeeded.
    #[track_caller]
    pub fn refused(self) -> String {
        assert_ne!(self.code, 0, "{} succeeded\nstdout: {}", self.line, self.out);
        self.err
    }
}
