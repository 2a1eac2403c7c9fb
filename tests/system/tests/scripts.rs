//! The shell scripts and the systemd unit, without running what they install or start.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use system::Output;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn bash(script: &str) -> Output {
    Output::of(Command::new("bash").current_dir(root()).args(["-c", script]))
}

#[test]
fn every_script_is_well_formed() {
    let listed = fs::read_dir(root().join("scripts")).expect("scripts").filter_map(Result::ok);
    let mut scripts: Vec<PathBuf> = listed.map(|entry| entry.path()).collect();
    scripts.extend(["quickstart", "test", ".ci/run"].map(|name| root().join(name)));
    for script in scripts {
        Output::of(Command::new("bash").arg("-n").arg(&script)).ok();
    }
}

#[test]
fn wrong_arguments_are_told_before_anything_is_done() {
    let said = Output::of(Command::new(root().join("test")).arg("typo"));
    assert_eq!(
        (said.code, said.err.as_str()),
        (2, "test: no suite typo; there are: fast system quickstart\n")
    );
    let said = Output::of(Command::new(root().join("quickstart")).arg("--typo"));
    assert_eq!(said.code, 2, "{said:?}");
    let help = Output::of(Command::new(root().join("quickstart")).arg("--help")).ok();
    assert!(help.contains("./quickstart --kubectl") && !help.contains("set -euo"), "{help}");
}

#[test]
fn a_backports_line_that_is_commented_out_does_not_count() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("sources.list");
    let has = |text: &str| {
        fs::write(&file, text).expect("write");
        bash(&format!(". scripts/install-tools; has_backports {}", file.display())).code == 0
    };
    assert!(has("deb http://deb.debian.org/debian bookworm-backports main\n"));
    assert!(!has("# deb http://deb.debian.org/debian bookworm-backports main\n"));
}

#[test]
fn a_toolchain_that_is_too_old_is_replaced_for_the_scripts_alone() {
    let dir = tempfile::tempdir().expect("dir");
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).expect("bin");
    for (name, says) in [("cargo", "cargo 1.70.0 (x)"), ("rustup", "1.70.0-x86_64\n1.95.0-x86_64")] {
        let file = bin.join(name);
        fs::write(&file, format!("#!/bin/sh\nprintf '%s\\n' '{says}'\n")).expect("write");
        Output::of(Command::new("chmod").arg("+x").arg(&file)).ok();
    }
    let ask = "CARGO_HOME=$1 . scripts/toolchain; echo \"$RUSTUP_TOOLCHAIN $(command -v cargo)\"";
    let mut command = Command::new("bash");
    command.current_dir(root()).env_remove("RUSTUP_TOOLCHAIN").args(["-c", ask, "bash"]).arg(dir.path());
    let chosen = Output::of(&mut command).ok();
    assert_eq!(chosen, format!("1.95.0 {}\n", bin.join("cargo").display()), "{chosen}");
    // Go before 1.21 fetches no toolchain that a module asks for.
    assert_ne!(bash(". scripts/toolchain; at_least 1.19.8 1.21").code, 0);
    bash(". scripts/toolchain; at_least 1.23 1.21 && at_least 1.21 1.21").ok();
}

/// The values of a key in a section of a unit.
fn values<'a>(unit: &'a str, section: &str, key: &str) -> Vec<&'a str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in unit.lines() {
        if let Some(name) = line.strip_prefix('[') {
            inside = name.trim_end_matches(']') == section;
        } else if let Some((_, value)) = line.split_once('=').filter(|(name, _)| inside && *name == key) {
            found.push(value);
        }
    }
    found
}

#[test]
fn the_unit_stays_down_after_down_and_waits_until_it_serves() {
    let unit = fs::read_to_string(root().join("deploy/systemd/agent-sandbox.service")).expect("unit");
    assert!(unit.lines().all(|line| line.is_empty() || line.starts_with(['#', '[']) || line.contains('=')));
    // systemd.service(5): on-failure leaves an exit with 0, which is what `down` makes, alone.
    assert_eq!(values(&unit, "Service", "Restart"), ["on-failure"]);
    assert_eq!(values(&unit, "Service", "Type"), ["notify"]);
    assert_eq!(values(&unit, "Unit", "StartLimitIntervalSec"), ["0"]);
    assert_eq!(values(&unit, "Service", "KillMode"), ["process"], "sandboxes outlive the agent");
    let documents = values(&unit, "Unit", "Documentation");
    let name = documents[0].rsplit('/').next().expect("name");
    assert!(root().join("docs").join(name).is_file(), "{documents:?}");
    let manual = fs::read_to_string(root().join("docs/standalone.md")).expect("docs");
    assert!(manual.contains(documents[0].trim_start_matches("file://")), "it says where to put the file");
}
