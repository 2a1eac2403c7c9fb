//! Asks a runtime what it is and whether it works here.

use crate::{
    detect::{Config, Found},
    leftover, process,
    types::Driver,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::process::Command;

/// Longest time a platform may take to run a trivial container: one that works needs a fifth of a second, and one
/// that does not may hang for minutes.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Platforms from the fastest. `kvm` is never tried unasked: where it is present and broken it hangs the machine's CPU.
const PLATFORMS: &[&str] = &["systrap", "ptrace"];

/// A release older than this many months is called old.
const OLD_MONTHS: u64 = 12;

/// Release months of runc versions.
const RUNC_RELEASES: &[(&str, &str)] = &[
    ("1.0.", "2021-06"),
    ("1.1.0", "2022-01"),
    ("1.1.1", "2022-03"),
    ("1.1.2", "2022-05"),
    ("1.1.3", "2022-06"),
    ("1.1.4", "2022-08"),
    ("1.1.5", "2023-03"),
    ("1.1.7", "2023-04"),
    ("1.1.9", "2023-08"),
    ("1.1.12", "2024-01"),
    ("1.1.13", "2024-06"),
    ("1.1.14", "2024-09"),
    ("1.1.15", "2024-10"),
    ("1.2.", "2024-10"),
    ("1.3.", "2025-04"),
];

/// What was found by probing, remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    key: String,
    platform: Option<String>,
    error: Option<String>,
}

pub(crate) async fn examine(config: &Config, driver: Driver, path: PathBuf) -> Found {
    let mut found = Found {
        driver,
        path,
        version: String::new(),
        released: None,
        isolation: "shared kernel".to_owned(),
        platform: None,
        applies_seccomp: true,
        broken: None,
        warnings: Vec::new(),
    };
    match process::output(Command::new(&found.path).arg("--version"), config.command_timeout).await {
        Ok(output) => found.version = version(&String::from_utf8_lossy(&output.stdout)),
        Err(error) => found.broken = Some(format!("{}: {error}", found.path.display())),
    }
    found.released = release(driver, &found.version);
    warn_of_age(&mut found);
    if driver == Driver::Runsc && found.broken.is_none() {
        choose_platform(config, &mut found).await;
    }
    found
}

/// `runc version 1.1.5+ds1` and `runsc version 0.0~20240729.0`: the third word of the first line.
fn version(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split_whitespace().nth(2).unwrap_or(line).trim_start_matches("release-").to_owned()
}

fn release(driver: Driver, version: &str) -> Option<String> {
    match driver {
        Driver::Runsc => {
            let at = version.find("20")?;
            let date: String = version[at..].chars().take_while(char::is_ascii_digit).collect();
            (date.len() == 8).then(|| format!("{}-{}", &date[..4], &date[4..6]))
        }
        Driver::Runc => {
            let plain: String = version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let series = |known: &str| known.ends_with('.') && plain.starts_with(known);
            RUNC_RELEASES
                .iter()
                .rev()
                .find(|(known, _)| plain == *known || series(known))
                .map(|(_, month)| (*month).to_owned())
        }
    }
}

fn warn_of_age(found: &mut Found) {
    let Some(age) = found.released.as_deref().and_then(age_in_months) else { return };
    if age > OLD_MONTHS {
        let (name, advice) = match found.driver {
            Driver::Runc => ("runc", "its distribution may carry fixes back; keep it updated"),
            Driver::Runsc => {
                ("runsc", "newer releases close holes and are faster: install one from gvisor.dev")
            }
        };
        let released = found.released.as_deref().unwrap_or_default();
        found
            .warnings
            .push(format!("{name} {} is from {released}, {age} months old: {advice}", found.version));
    }
}

fn age_in_months(released: &str) -> Option<u64> {
    let (year, month) = released.split_once('-')?;
    let then = year.parse::<u64>().ok()? * 12 + month.parse::<u64>().ok()?;
    let days = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs() / 86_400;
    // Months since 1970, counted with the mean length of a month: good enough for "old".
    Some((1970 * 12 + 1 + days * 100 / 3044).saturating_sub(then))
}

async fn choose_platform(config: &Config, found: &mut Found) {
    let result = match &config.platform {
        Some(platform) => Ok(platform.clone()),
        None => remembered(config, found).await,
    };
    match result {
        Ok(platform) => {
            found.isolation = format!("gVisor ({platform})");
            if platform == "ptrace" {
                found.warnings.push(
                    "gVisor runs on its slow ptrace platform; a runsc from 2023 or later has systrap"
                        .to_owned(),
                );
            }
            found.platform = Some(platform);
        }
        Err(error) => found.broken = Some(error),
    }
}

async fn remembered(config: &Config, found: &Found) -> Result<String, String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let key = format!("{} {} {}", found.path.display(), found.version, kernel.trim());
    let known = config.probe_cache.as_ref().and_then(|file| fs::read(file).ok());
    let known = known.and_then(|text| serde_json::from_slice::<Remembered>(&text).ok());
    if let Some(Remembered { key: old, platform: Some(platform), .. }) = known
        && old == key
    {
        return Ok(platform);
    }
    let result = probe(config, &found.path).await;
    if let Some(file) = &config.probe_cache {
        let record = Remembered { key, platform: result.clone().ok(), error: result.clone().err() };
        let _ = fs::write(file, serde_json::to_vec(&record).unwrap_or_default());
    }
    result
}

/// The first platform on which a program really runs.
async fn probe(config: &Config, program: &Path) -> Result<String, String> {
    let mut last = String::new();
    for platform in PLATFORMS {
        match try_platform(config, program, platform).await {
            Ok(()) => return Ok((*platform).to_owned()),
            Err(error) => last = error,
        }
    }
    Err(format!("gVisor does not work on this machine: {last}"))
}

/// Runs the supervisor's `true` in an otherwise empty sandbox without network.
async fn try_platform(config: &Config, program: &Path, platform: &str) -> Result<(), String> {
    let dir = config.run_dir.join(leftover::name("probe", platform));
    let result = async {
        let target = dir.join("rootfs/supervisor");
        fs::create_dir_all(dir.join("rootfs")).map_err(|error| error.to_string())?;
        fs::copy(&config.supervisor, &target).map_err(|error| error.to_string())?;
        fs::write(dir.join("config.json"), probe_spec().to_string()).map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg("--root").arg(dir.join("root")).arg(format!("--platform={platform}"));
        command.args(["--network=none", "--ignore-cgroups", "--overlay2=none", "run", "--bundle"]).arg(&dir);
        command.arg(format!("probe-{}", std::process::id())).process_group(0);
        let output = process::output(&mut command, PROBE_TIMEOUT).await.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        Err(text.lines().last().unwrap_or("it failed without a word").to_owned())
    };
    let result = result.await;
    let _ = fs::remove_dir_all(&dir);
    result
}

fn probe_spec() -> serde_json::Value {
    json!({
        "ociVersion": "1.0.2",
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["/supervisor", "true"], "env": [], "cwd": "/" },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": { "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_dates_are_found_in_versions() {
        let check = |driver, text: &str, expect: Option<&str>| {
            assert_eq!(release(driver, &version(text)).as_deref(), expect, "{text}");
        };
        check(Driver::Runc, "runc version 1.1.5+ds1\ncommit: x", Some("2023-03"));
        check(Driver::Runc, "runc version 1.1.12", Some("2024-01"));
        check(Driver::Runc, "runc version 1.3.9", Some("2025-04"));
        check(Driver::Runc, "runc version 9.9.9", None);
        check(Driver::Runsc, "runsc version 0.0~20240729.0", Some("2024-07"));
        check(Driver::Runsc, "runsc version release-20221219.0", Some("2022-12"));
        check(Driver::Runsc, "runsc version unknown", None);
    }
}
