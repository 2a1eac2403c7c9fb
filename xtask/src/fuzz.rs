//! Runs the fuzz targets of tests/fuzz under libFuzzer, on the stable toolchain.
//!
//! What cargo-fuzz would do without a sanitizer: the compiler's coverage pass is asked for with stable options, and
//! libFuzzer comes from its crate and needs a C++ compiler. (A sanitizer would need nightly; what fuzzing can find in code
//! without `unsafe` are panics, overflows, memory without bound and time without bound, and these need none.)

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::{child, metadata::Metadata};

/// Longer inputs are slower and reach nothing that shorter ones do not.
const LONGEST: u32 = 8192;
/// An input that takes longer, in seconds, is a find.
const PATIENCE: u32 = 20;
/// A process that takes more memory, in MiB, is a find.
const MEMORY: u32 = 1024;

/// The compiler's coverage pass, as libFuzzer reads it; and checks of arithmetic.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// What to fuzz and for how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Targets; all if none is named.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Afterwards brings what covers more into the corpus that CI replays, and takes out of it what adds nothing.
    #[arg(long)]
    keep: bool,
}

/// Fuzzes, one target after another. Everything found is in the corpus afterwards, so that the test fails until it is
/// fixed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = Metadata::load()?.workspace_root;
    let known = targets(&root)?;
    for name in &options.targets {
        ensure!(known.contains(name), "no fuzz target {name}; there are: {}", known.join(", "));
    }
    let names = if options.targets.is_empty() { &known } else { &options.targets };
    let program = build(&root)?;
    let mut found = Vec::new();
    for name in names {
        let target = Target { program: &program, root: &root, name };
        if !target.fuzz(options.seconds)? {
            found.push(name.as_str());
        }
        if options.keep {
            target.keep()?;
        }
    }
    ensure!(found.is_empty(), "found something in {}: see tests/fuzz/corpus", found.join(", "));
    Ok(())
}

/// Each target has a folder in the corpus, as a test of tests/fuzz says.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folders = fs::read_dir(root.join("tests/fuzz/corpus")).context("read tests/fuzz/corpus")?;
    let name = |folder: std::io::Result<fs::DirEntry>| Ok(folder?.file_name().to_string_lossy().into_owned());
    let mut names = folders.map(name).collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn build(root: &Path) -> Result<PathBuf> {
    let version = Command::new("rustc").arg("-vV").output().context("start rustc")?;
    let version = String::from_utf8(version.stdout)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let folder = root.join("target/fuzz");
    // The target is named so that build scripts and macros are not instrumented.
    let status = child::cargo()
        .args([
            "build",
            "--locked",
            "--profile",
            "fuzz",
            "-p",
            "fuzz",
            "--features",
            "libfuzzer",
            "--target",
            host,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", FLAGS)
        .status()?;
    ensure!(status.success(), "the fuzzer was not built; it needs a C++ compiler (Debian: g++)");
    Ok(folder.join(host).join("fuzz/fuzz"))
}

struct Target<'a> {
    program: &'a Path,
    root: &'a Path,
    name: &'a str,
}

// === impl Target ===

impl Target<'_> {
    /// What CI replays.
    fn corpus(&self) -> PathBuf {
        self.root.join("tests/fuzz/corpus").join(self.name)
    }

    /// What earlier runs came upon; larger.
    fn grown(&self) -> PathBuf {
        self.root.join("target/fuzz/corpus").join(self.name)
    }

    fn command(&self) -> Command {
        let mut command = child::command(self.program);
        command.env("FUZZ_TARGET", self.name).current_dir(self.root);
        command.arg(format!("-max_len={LONGEST}"));
        command
    }

    /// Whether nothing was found.
    fn fuzz(&self, seconds: u64) -> Result<bool> {
        let (grown, corpus) = (self.grown(), self.corpus());
        fs::create_dir_all(&grown)?;
        fs::create_dir_all(&corpus)?;
        println!("== {} for {seconds} s", self.name);
        let status = self
            .command()
            .args([format!("-max_total_time={seconds}"), format!("-timeout={PATIENCE}")])
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-artifact_prefix={}/found-", corpus.display()))
            .args(["-print_final_stats=1", "-reload=0"])
            .args([&grown, &corpus])
            .status()
            .context("start the fuzzer")?;
        Ok(status.success())
    }

    /// Replaces the corpus by the smallest that covers as much as both. What was once found stays.
    fn keep(&self) -> Result<()> {
        let smallest = self.root.join("target/fuzz/smallest").join(self.name);
        let _ = fs::remove_dir_all(&smallest);
        fs::create_dir_all(&smallest)?;
        let merged =
            self.command().arg("-merge=1").args([&smallest, &self.corpus(), &self.grown()]).status()?;
        ensure!(merged.success(), "{}: the corpora could not be merged", self.name);
        for file in fs::read_dir(self.corpus())? {
            let file = file?;
            if !file.file_name().to_string_lossy().starts_with("found-") {
                fs::remove_file(file.path())?;
            }
        }
        for file in fs::read_dir(&smallest)? {
            let file = file?;
            fs::copy(file.path(), self.corpus().join(file.file_name()))?;
        }
        Ok(())
    }
}
