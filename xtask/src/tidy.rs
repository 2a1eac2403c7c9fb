//! House rules that clippy does not know: file sizes, module docs, no `mod.rs`, no words of a developer's machine.
//!
//! Function sizes are clippy's `too_many_lines` (clippy.toml). An exception is a line in `tidy.toml` with its reason.

use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Most lines a source file may have without its inline tests.
const FILE_LIMIT: usize = 400;
/// Longest inline test module; a longer one moves to `name/tests.rs`.
const INLINE_TESTS_LIMIT: usize = 120;

/// Fails with every broken rule and prints the ten longest files.
pub(crate) fn run() -> Result<()> {
    let root = crate::metadata::Metadata::load()?.workspace_root;
    let exceptions = exceptions(&root)?;
    let mut sizes = Vec::new();
    let mut broken = Vec::new();
    for file in tracked_sources(&root)? {
        let text =
            fs::read_to_string(root.join(&file)).with_context(|| format!("read {}", file.display()))?;
        let name = file.display().to_string();
        let (code, tests) = measure(&text);
        broken.extend(check(&name, &text, code, tests, exceptions.get(&name).copied()));
        sizes.push((code, name));
    }
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    println!("tidy: {} files; the ten longest without tests:", sizes.len());
    for (lines, name) in sizes.iter().take(10) {
        println!("  {lines:4} {name}");
    }
    ensure!(broken.is_empty(), "tidy:\n  {}", broken.join("\n  "));
    Ok(())
}

fn check(name: &str, text: &str, code: usize, tests: usize, allowed: Option<usize>) -> Vec<String> {
    let mut broken = Vec::new();
    let is_test = name.contains("/tests/") || name.ends_with("/tests.rs") || name.contains("/examples/");
    let limit = allowed.unwrap_or(FILE_LIMIT);
    if !is_test && code > limit {
        broken.push(format!("{name}: {code} lines, the limit is {limit}: split it by subject"));
    }
    if !is_test && tests > INLINE_TESTS_LIMIT {
        broken.push(format!(
            "{name}: {tests} lines of inline tests, the limit is {INLINE_TESTS_LIMIT}: move them to tests.rs"
        ));
    }
    if name.ends_with("/mod.rs") {
        broken.push(format!("{name}: use name.rs beside name/"));
    }
    if !is_test && !text.starts_with("//!") && !text.starts_with("// @generated") {
        broken.push(format!("{name}: starts without a module doc"));
    }
    broken
}

/// Lines of code and lines of the inline test module at the end.
fn measure(text: &str) -> (usize, usize) {
    let total = text.lines().count();
    let marker = text.lines().position(|line| line.trim_end() == "mod tests {");
    match marker {
        Some(at) => (at, total - at),
        None => (total, 0),
    }
}

/// `path = lines # reason`, one per line.
fn exceptions(root: &Path) -> Result<BTreeMap<String, usize>> {
    let text = fs::read_to_string(root.join("tidy.toml")).unwrap_or_default();
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let (path, rest) = line.split_once('=').with_context(|| format!("tidy.toml: no '=' in {line:?}"))?;
        let (lines, reason) =
            rest.split_once('#').with_context(|| format!("tidy.toml: no reason in {line:?}"))?;
        ensure!(!reason.trim().is_empty(), "tidy.toml: no reason for {path}");
        found.insert(path.trim().trim_matches('"').to_owned(), lines.trim().parse()?);
    }
    Ok(found)
}

fn tracked_sources(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git").current_dir(root).args(["ls-files", "-z", "--", "*.rs"]).output()?;
    ensure!(output.status.success(), "git ls-files failed");
    let names = String::from_utf8(output.stdout)?;
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|p| root.join(p).exists())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_named_with_its_size() {
        let text = "//! Doc.\n".repeat(FILE_LIMIT + 1);
        let broken = check("core/x/src/lib.rs", &text, FILE_LIMIT + 1, 0, None);
        assert_eq!(broken, ["core/x/src/lib.rs: 401 lines, the limit is 400: split it by subject"]);
        assert!(check("core/x/src/lib.rs", &text, FILE_LIMIT + 1, 0, Some(500)).is_empty());
    }

    #[test]
    fn inline_tests_do_not_count_as_code() {
        assert_eq!(measure("a\nb\nmod tests {\n}\n"), (2, 2));
    }

    #[test]
    fn a_missing_module_doc_is_refused() {
        assert_eq!(check("a/src/lib.rs", "use x;", 1, 0, None).len(), 1);
    }
}
