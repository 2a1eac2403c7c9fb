//! What the real server answered, kept for machines that do not have it: one file per kind below `recorded/`, one line per
//! answer, and `about.json`, which tells of which server.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::play::{Answer, Answers};

/// The folder.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recorded")
}

/// Replaces the folder's content.
///
/// # Errors
/// A folder that cannot be written.
pub fn write(answers: &Answers, version: &Value, etcd: &str) -> Result<()> {
    let folder = folder();
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for (cell, answers) in answers {
        let file = files.entry(cell.rsplit('/').next().unwrap_or_default()).or_default();
        for answer in answers {
            let _ = writeln!(file, "{}", serde_json::to_string(&(cell, answer))?);
        }
    }
    for (kind, text) in files {
        fs::write(folder.join(format!("{kind}.jsonl")), text)?;
    }
    let about = serde_json::json!({
        "etcd": etcd,
        "made by": "cargo xtask differential record",
        "version": version,
    });
    fs::write(folder.join("about.json"), format!("{}\n", serde_json::to_string_pretty(&about)?))?;
    Ok(())
}

/// What is kept.
///
/// # Errors
/// No folder, or files of another form.
pub fn read() -> Result<Answers> {
    let mut answers = Answers::new();
    for entry in fs::read_dir(folder()).context("read recorded/")? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            let (cell, answer): (String, Answer) =
                serde_json::from_str(line).with_context(|| path.display().to_string())?;
            answers.entry(cell).or_default().push(answer);
        }
    }
    Ok(answers)
}
