//! The embedded server against what the real one answered when it was recorded.
#![allow(clippy::unwrap_used, reason = "a test")]

use differential::{compare, differences, embedded::Embedded, play, recorded, report, table::Table};

const LEAST: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_from_kubernetes_is_listed_with_its_reason() {
    let table = Table::load().unwrap();
    let real = recorded::read().unwrap();
    let embedded = Embedded::start().await.unwrap();
    let ours = play::all(&embedded.client, &table, |_| true).await.unwrap();
    embedded.stop().await;
    let cells: Vec<&String> = real.keys().collect();
    assert_eq!(ours.keys().collect::<Vec<_>>(), cells, "record again: cargo xtask differential record");
    assert!(cells.len() >= LEAST, "{} cells", cells.len());
    let found: Vec<_> = ours.iter().flat_map(|(cell, ours)| compare::cell(cell, ours, &real[cell])).collect();
    let verdict = differences::judge(&found, &differences::load().unwrap());
    let unexplained = &verdict.unexplained;
    assert!(
        unexplained.is_empty(),
        "{} differences without a row: {:#?}",
        unexplained.len(),
        unexplained.iter().take(10).collect::<Vec<_>>()
    );
    assert!(verdict.stale.is_empty(), "rows without a difference: {:?}", verdict.stale);
    let kept = std::fs::read_to_string(report::DOCUMENT).unwrap();
    assert!(kept == report::cells(&table, &verdict), "CELLS.md is stale: cargo xtask differential table");
}
