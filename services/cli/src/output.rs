//! `-o json|yaml|wide|name` and kubectl-like tables.

use crate::failure::{Failure, Result};
use clap::ValueEnum;
use serde::Serialize;
use std::{
    fmt,
    io::{ErrorKind, Write as _, stdout},
};

/// Prints a line to standard output, as `println!` does; a reader that is gone ends this process quietly instead of
/// panicking, as SIGPIPE ends most programs.
#[macro_export]
macro_rules! say {
    () => { $crate::print(format_args!("\n")) };
    ($($words:tt)*) => { $crate::print(format_args!("{}\n", format_args!($($words)*))) };
}
pub(crate) use say;

/// Writes to standard output; see [`say!`].
///
/// # Panics
/// Standard output fails in another way than that nobody reads it, as with `println!`.
pub fn print(text: fmt::Arguments<'_>) {
    match stdout().lock().write_fmt(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            std::process::exit(i32::from(crate::failure::BROKEN_PIPE))
        }
        written => written.expect("standard output takes what is written"),
    }
}

/// A number of bytes for people.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// How objects are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON, as stored
    Json,
    /// YAML, as stored
    Yaml,
    /// The table with more columns
    Wide,
    /// `sandbox.agents.x-k8s.io/<name>`, one a line
    Name,
}

/// Prints one value as JSON or YAML.
pub(crate) fn document(value: &impl Serialize, format: Format) -> Result<()> {
    let text = match format {
        Format::Yaml => {
            serde_saphyr::to_string(value).map_err(|error| Failure::new(format!("print as YAML: {error}")))?
        }
        _ => serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(format!("print as JSON: {error}")))?,
    };
    say!("{}", text.trim_end());
    Ok(())
}

/// Prints rows under headers with three spaces between columns, as kubectl does; no trailing blanks.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>]) {
    print(format_args!("{}", layout(headers, rows)));
}

fn layout(headers: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = headers.iter().map(|&header| header.to_owned()).collect();
    let widths: Vec<usize> = (0..headers.len())
        .map(|column| {
            std::iter::once(&head).chain(rows).map(|row| row[column].chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("   ").trim_end())
    };
    std::iter::once(&head).chain(rows).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let rows = [vec!["a".to_owned(), "Ready".to_owned()], vec!["longer".to_owned(), String::new()]];
        assert_eq!(layout(&["NAME", "STATUS"], &rows), "NAME     STATUS\na        Ready\nlonger\n");
    }
}
