//! Figures, their limits, and the verdict.

use anyhow::{Result, ensure};
use std::time::Duration;

/// A series of durations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<Duration>);

/// What was measured, in order.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    ours: String,
    raw: String,
    limit: String,
    kept: bool,
}

// === impl Series ===

impl Series {
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The `percent`th percentile, nearest rank.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    fn text(&self) -> String {
        format!(
            "p50 {} p90 {} max {}",
            ms(self.percentile(50)),
            ms(self.percentile(90)),
            ms(self.percentile(100))
        )
    }
}

/// Milliseconds with one decimal.
pub(crate) fn ms(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

// === impl Report ===

impl Report {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Two series, and the most that the first one's median may be.
    pub(crate) fn compare(&mut self, what: &str, ours: &Series, raw: &Series, limit: Duration, rule: &str) {
        let kept = ours.percentile(50) <= limit;
        self.add(what, ours.text(), raw.text(), format!("{} ({rule})", ms(limit)), kept);
    }

    /// A figure with its limit in words.
    pub(crate) fn add(&mut self, what: &str, ours: String, raw: String, limit: String, kept: bool) {
        println!("{} {what}: {ours}; raw {raw}; limit {limit}", if kept { "ok  " } else { "MISS" });
        self.rows.push(Row { what: what.to_owned(), ours, raw, limit, kept });
    }

    /// The table for SPECIFICATION.md.
    pub(crate) fn print(&self) {
        println!("\n| measured | ours | raw runtime | limit | kept |\n|---|---|---|---|---|");
        for row in &self.rows {
            let kept = if row.kept { "yes" } else { "no" };
            println!("| {} | {} | {} | {} | {kept} |", row.what, row.ours, row.raw, row.limit);
        }
    }

    /// Fails where a limit was missed.
    pub(crate) fn verdict(&self) -> Result<()> {
        let missed: Vec<&str> =
            self.rows.iter().filter(|row| !row.kept).map(|row| row.what.as_str()).collect();
        ensure!(missed.is_empty(), "over the limit: {}", missed.join(", "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut series = Series::default();
        (1..=10).for_each(|n| series.push(Duration::from_millis(n)));
        assert_eq!(series.percentile(50), Duration::from_millis(5));
        assert_eq!(series.percentile(90), Duration::from_millis(9));
        assert_eq!(series.percentile(100), Duration::from_millis(10));
    }
}
