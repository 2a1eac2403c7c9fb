//! The table of cells: `cells.txt`, one row per verb and option, each over the kinds it names.
//!
//! ```text
//! verb | option | kinds | step ;; step ;; ...
//! ```

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use crate::{
    sample::{self, Sample},
    step::Step,
};

const KINDS: &str = include_str!("../kinds.yaml");
const CELLS: &str = include_str!("../cells.txt");
/// Most letters of a namespace's name.
const LONGEST: usize = 63;

/// One row: the same question for several kinds.
#[derive(Clone, Debug)]
pub struct Row {
    /// `create`.
    pub verb: String,
    /// `dry-run`.
    pub option: String,
    /// The requests.
    pub steps: Vec<Step>,
    /// Positions of its kinds.
    pub kinds: Vec<usize>,
}

/// All rows and kinds.
#[derive(Clone, Debug)]
pub struct Table {
    /// The columns.
    pub kinds: Vec<Sample>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One cell.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    /// Its row.
    pub row: &'a Row,
    /// Its column.
    pub sample: &'a Sample,
}

// === impl Table ===

impl Table {
    /// Reads both files.
    ///
    /// # Errors
    /// A row that cannot be read, a kind that no row names, two rows of one name.
    pub fn load() -> Result<Self> {
        let kinds = sample::load(KINDS)?;
        let mut rows = Vec::new();
        for line in CELLS.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            rows.push(Row::parse(line, &kinds).with_context(|| format!("cells.txt: {line}"))?);
        }
        let names: BTreeSet<_> = rows.iter().map(|row| (&row.verb, &row.option)).collect();
        ensure!(names.len() == rows.len(), "cells.txt: two rows of one name");
        Ok(Self { kinds, rows })
    }

    /// All cells, row by row.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.rows.iter().flat_map(|row| row.kinds.iter().map(|at| Cell { row, sample: &self.kinds[*at] }))
    }
}

// === impl Row ===

impl Row {
    fn parse(line: &str, kinds: &[Sample]) -> Result<Self> {
        let columns: Vec<&str> = line.splitn(4, " | ").map(str::trim).collect();
        let [verb, option, wanted, steps] = columns[..] else { anyhow::bail!("four columns are needed") };
        let mut found = Vec::new();
        for (at, kind) in kinds.iter().enumerate() {
            let mut taken = false;
            for word in wanted.split_whitespace() {
                match word.strip_prefix('-') {
                    Some(word) if kind.is(word) => taken = false,
                    None if kind.is(word) => taken = true,
                    _ => {}
                }
            }
            found.extend(taken.then_some(at));
        }
        for word in wanted.split_whitespace().map(|word| word.trim_start_matches('-')) {
            ensure!(kinds.iter().any(|kind| kind.is(word)), "no kind {word}");
        }
        let steps = steps.split(" ;; ").map(|step| Step::parse(step.trim())).collect::<Result<_>>()?;
        Ok(Self { verb: verb.to_owned(), option: option.to_owned(), steps, kinds: found })
    }
}

// === impl Cell ===

impl Cell<'_> {
    /// `create/dry-run/configmaps`.
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.row.verb, self.row.option, self.sample.name)
    }

    /// The name as that of a namespace.
    pub fn slug(&self) -> String {
        let mut slug = self.name().replace(['/', '.', ':'], "-").to_lowercase();
        slug.truncate(LONGEST);
        slug.trim_end_matches('-').to_owned()
    }
}
