//! The table of cells for readers: `CELLS.md`, written from the rows and what was found.

use std::fmt::Write as _;

use crate::{
    differences::Verdict,
    table::{Row, Table},
};

/// The document.
pub const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/CELLS.md");

/// The document's text.
pub fn cells(table: &Table, verdict: &Verdict) -> String {
    let total = table.cells().count();
    let differing = table.cells().filter(|cell| verdict.explained.contains_key(&cell.name())).count();
    let mut text = format!(
        "# Cells of the differential suite\n\nWritten by `cargo xtask differential table`; a test compares. {total} cells: {} answer as \
         kube-apiserver does, {differing} differ.\n\n`=`: the same. A name: that row of \
         [kubernetes-differences.md](../../docs/kubernetes-differences.md). Empty: no such cell.\n",
        total - differing,
    );
    let mut verbs: Vec<&str> = Vec::new();
    for row in &table.rows {
        if !verbs.contains(&row.verb.as_str()) {
            verbs.push(&row.verb);
        }
    }
    for verb in verbs {
        let rows: Vec<&Row> = table.rows.iter().filter(|row| row.verb == verb).collect();
        section(&mut text, table, verdict, verb, &rows);
    }
    text
}

fn section(text: &mut String, table: &Table, verdict: &Verdict, verb: &str, rows: &[&Row]) {
    let used = |at: &usize| rows.iter().any(|row| row.kinds.contains(at));
    let columns: Vec<usize> = (0..table.kinds.len()).filter(used).collect();
    let names: Vec<&str> = columns.iter().map(|at| table.kinds[*at].name.as_str()).collect();
    let _ = write!(text, "\n## {verb}\n\n| option | {} |\n", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(columns.len()));
    for row in rows {
        let marks: Vec<String> = columns.iter().map(|at| mark(table, verdict, row, *at)).collect();
        let _ = writeln!(text, "| {} | {} |", row.option, marks.join(" | "));
    }
}

fn mark(table: &Table, verdict: &Verdict, row: &Row, at: usize) -> String {
    if !row.kinds.contains(&at) {
        return String::new();
    }
    let cell = crate::table::Cell { row, sample: &table.kinds[at] };
    verdict.explained.get(&cell.name()).map_or_else(|| "=".to_owned(), |ids| ids.join(" "))
}
