//! Runs the differential suite by hand: `cargo xtask differential [COMMAND] [CELLS]`.
//!
//! `live` compares the embedded server with a real one, `record` also keeps what the real one answered, `replay` compares with
//! what was kept, `table` writes the table of cells. `CELLS` is a pattern such as `create/*/pods`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use differential::{
    compare::{self, Difference},
    differences::{self, fits},
    embedded::Embedded,
    play::{self, Answers},
    recorded, reference,
    reference::Reference,
    report,
    table::Table,
};

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        [] | ["live"] => run("live", "*").await,
        [command] => run(command, "*").await,
        [command, cells] => run(command, cells).await,
        _ => Err(anyhow::anyhow!("usage: differential [live|record|replay|table] [CELLS]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &str, cells: &str) -> Result<()> {
    let table = Table::load()?;
    let wanted = |name: &str| fits(cells, name);
    let real = match command {
        "live" | "record" => live(&table, command == "record", cells).await?,
        "replay" | "table" => recorded::read()?,
        _ => bail!("no command {command}; there are: live, record, replay, table"),
    };
    let embedded = Embedded::start().await?;
    let ours = play::all(&embedded.client, &table, wanted).await;
    embedded.stop().await;
    let ours = ours?;
    let found = compared(&ours, &real);
    let verdict = differences::judge(&found, &differences::load()?);
    if command == "table" {
        std::fs::write(report::DOCUMENT, report::cells(&table, &verdict))?;
    }
    for Difference { cell, step, path, ours, real } in &verdict.unexplained {
        println!("{cell} [{step}] {path}\n  ours {ours}\n  real {real}");
    }
    let unexplained = verdict.unexplained.len();
    println!(
        "{} cells, {} with known differences, {unexplained} unexplained differences",
        ours.len(),
        verdict.explained.len()
    );
    if cells == "*" {
        ensure!(verdict.stale.is_empty(), "rows of no difference: {}", verdict.stale.join(", "));
    }
    ensure!(unexplained == 0, "{unexplained} differences have no row in docs/kubernetes-differences.md");
    Ok(())
}

async fn live(table: &Table, record: bool, cells: &str) -> Result<Answers> {
    let reference = Reference::start(&reference::assets()?).await?;
    println!("real server: {} with {}", reference.version["gitVersion"], reference.etcd);
    let real = play::all(&reference.client, table, |name| fits(cells, name)).await?;
    if record {
        ensure!(cells == "*", "only the whole table is recorded");
        recorded::write(&real, &reference.version, &reference.etcd)?;
    }
    Ok(real)
}

fn compared(ours: &Answers, real: &Answers) -> Vec<Difference> {
    let none = Vec::new();
    ours.iter().flat_map(|(cell, ours)| compare::cell(cell, ours, real.get(cell).unwrap_or(&none))).collect()
}
