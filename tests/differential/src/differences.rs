//! The list of known differences with their reasons: the table in `docs/kubernetes-differences.md`.
//!
//! A row is `| id | cells | where | Kubernetes | here | why |`. Cells and places are patterns in backticks, in which `*` is any text;
//! a difference belongs to the first row that matches both.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::compare::Difference;

/// The document.
pub const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kubernetes-differences.md");

/// One row.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name in the table of cells.
    pub id: String,
    cells: Vec<String>,
    places: Vec<String>,
}

/// Differences by the row that explains them.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Cell -> the rows that explain its differences.
    pub explained: BTreeMap<String, Vec<String>>,
    /// Those of no row.
    pub unexplained: Vec<Difference>,
    /// Rows of no difference.
    pub stale: Vec<String>,
}

/// Reads the document.
///
/// # Errors
/// A document that is not there, a row without its parts, two rows of one name.
pub fn load() -> Result<Vec<Known>> {
    let text = std::fs::read_to_string(DOCUMENT).context("read docs/kubernetes-differences.md")?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Known>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let known: Vec<Known> = rows.map(row).collect::<Result<_>>()?;
    for (at, row) in known.iter().enumerate() {
        ensure!(!known[..at].iter().any(|other| other.id == row.id), "two rows {}", row.id);
    }
    Ok(known)
}

fn row(line: &str) -> Result<Known> {
    let columns: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
    let [id, cells, places, real, ours, why] = columns[..] else {
        anyhow::bail!("six columns are needed: {line}");
    };
    ensure!(![real, ours, why].contains(&""), "an empty column: {line}");
    let quoted =
        |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let id = quoted(id).pop().with_context(|| format!("no name: {line}"))?;
    Ok(Known { id, cells: quoted(cells), places: quoted(places) })
}

/// Sorts differences by the rows that explain them.
pub fn judge(differences: &[Difference], known: &[Known]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut used = vec![false; known.len()];
    for difference in differences {
        let Some(at) = known.iter().position(|row| row.explains(difference)) else {
            verdict.unexplained.push(difference.clone());
            continue;
        };
        used[at] = true;
        let ids = verdict.explained.entry(difference.cell.clone()).or_default();
        if !ids.contains(&known[at].id) {
            ids.push(known[at].id.clone());
        }
    }
    let stale = known.iter().zip(used).filter(|(_, used)| !used).map(|(row, _)| row.id.clone());
    verdict.stale = stale.collect();
    verdict
}

/// Whether a text fits a pattern in which `*` is any text.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| fits(rest, &text[at..]))
}

// === impl Known ===

impl Known {
    fn explains(&self, difference: &Difference) -> bool {
        self.cells.iter().any(|pattern| fits(pattern, &difference.cell))
            && self.places.iter().any(|pattern| fits(pattern, &difference.path))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const TEXT: &str = "# Title\n| Id | Cells | Where | Kubernetes | Here | Why |\n|--|--|--|--|--|--|\n\
        | `a` | `create/*/pods` `get/plain/*` | `body/spec/*` | 1 | 2 | because |\n\
        | `b` | `*` | `code` | 3 | 4 | so |\n";

    fn difference(cell: &str, path: &str) -> Difference {
        Difference {
            cell: cell.to_owned(),
            step: String::new(),
            path: path.to_owned(),
            ours: Value::Null,
            real: Value::Null,
        }
    }

    #[test]
    fn every_difference_needs_a_row_and_every_row_a_difference() {
        let known = parse(TEXT).unwrap();
        let found =
            [difference("create/plain/pods", "body/spec/x"), difference("create/plain/pods", "media")];
        let verdict = judge(&found, &known);
        assert_eq!(verdict.explained["create/plain/pods"], ["a"]);
        assert_eq!(verdict.unexplained, found[1..]);
        assert_eq!(verdict.stale, ["b"]);
    }

    #[test]
    fn a_row_without_a_reason_is_refused() {
        assert!(parse("| `a` | `x` | `y` | 1 | 2 |  |").is_err());
        assert!(parse("| `a` | `x` | `y` | 1 | 2 |").is_err());
    }
}
