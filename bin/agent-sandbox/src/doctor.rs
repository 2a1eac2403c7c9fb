//! `doctor`: what isolation this machine offers, what stands in the way, and what to install for more.

use crate::{
    certificates,
    place::{DEFAULT_DATA_DIR, Place},
    standalone,
};
use clap::Args;
use cli::{Result, say};
use net::Severity;
use runtime::{Driver, Found};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Shown under `doctor --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox doctor
  agent-sandbox doctor -o json
The exit code is 1 where something must be mended before sandboxes can run.";

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Data directory
    #[arg(long, default_value = DEFAULT_DATA_DIR, env = "AGENT_SANDBOX_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long, short, value_parser = ["json"])]
    output: Option<String>,
}

/// How much a line of the report matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Good,
    Warning,
    Bad,
}

/// One line of the report.
#[derive(Debug)]
struct Check {
    grade: Grade,
    what: String,
    fix: Option<String>,
}

/// The number is the exit code: 1 where something must be mended before sandboxes can run.
pub(crate) async fn perform(args: DoctorArgs) -> Result<u8> {
    let mut checks = host();
    checks.extend(isolation(&args.data_dir).await);
    let running = Place::existing(&args.data_dir).ok().and_then(|place| place.running());
    checks.extend(running.and_then(|running| running.default_runtime).map(|class| by_default(&class)));
    checks.extend(network(&args.data_dir).await);
    checks.extend(certificates(&args.data_dir));
    let bad = checks.iter().any(|check| check.grade == Grade::Bad);
    if args.output.is_some() {
        let items: Vec<_> = checks.iter().map(Check::document).collect();
        say!(
            "{}",
            serde_json::to_string_pretty(&json!({"healthy": !bad, "checks": items})).unwrap_or_default()
        );
    } else {
        checks.iter().for_each(Check::print);
        say!(
            "\n{}",
            if bad {
                "Mend what is marked FAIL, then run this again."
            } else {
                "Ready: start with 'agent-sandbox up --detach'."
            }
        );
    }
    Ok(u8::from(bad))
}

// === impl Check ===

impl Check {
    fn good(what: impl Into<String>) -> Self {
        Self { grade: Grade::Good, what: what.into(), fix: None }
    }

    fn warning(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { grade: Grade::Warning, what: what.into(), fix: Some(fix.into()) }
    }

    fn bad(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { grade: Grade::Bad, what: what.into(), fix: Some(fix.into()) }
    }

    fn word(&self) -> &'static str {
        match self.grade {
            Grade::Good => "ok",
            Grade::Warning => "warn",
            Grade::Bad => "FAIL",
        }
    }

    fn document(&self) -> serde_json::Value {
        json!({"grade": self.word(), "what": self.what, "fix": self.fix})
    }

    fn print(&self) {
        say!("{:5} {}", self.word(), self.what);
        if let Some(fix) = &self.fix {
            say!("      -> {fix}");
        }
    }
}

fn host() -> Vec<Check> {
    let mut checks = Vec::new();
    let root = rustix::process::geteuid().is_root();
    checks.push(if root {
        Check::good("running as root")
    } else {
        Check::bad("not running as root: sandboxes need it", "run this with sudo")
    });
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    checks.push(Check::good(format!("kernel {release}")));
    checks.push(cgroups());
    let namespaces = Path::new("/proc/self/ns/user").exists();
    checks.push(if namespaces {
        Check::good("user namespaces: root in a runc sandbox is nobody on the host")
    } else {
        Check::bad("the kernel has no user namespaces", "use a kernel with CONFIG_USER_NS")
    });
    if Path::new("/dev/kvm").exists() {
        checks.push(Check::good("/dev/kvm exists (not used yet: microVM isolation is to come)"));
    }
    checks
}

fn cgroups() -> Check {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return Check::good("cgroup v2");
    }
    match root.join("memory").exists() {
        true => Check::good("cgroup v1 (hybrid)"),
        false => Check::bad(
            "no memory cgroup: limits cannot be enforced",
            "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1)",
        ),
    }
}

/// What the running installation gives a sandbox that names no isolation.
fn by_default(class: &str) -> Check {
    let line = format!("sandboxes that name no runtimeClassName get {class}");
    if class == "runc" {
        return Check::warning(
            format!("{line}: a SHARED KERNEL, not for code you do not trust"),
            "install gVisor and start again without --default-runtime runc, or say --runtime gvisor",
        );
    }
    Check::good(line)
}

async fn isolation(data: &Path) -> Vec<Check> {
    let run =
        Place::existing(data).map_or_else(|_| PathBuf::from("/run/agent-sandbox/doctor"), |place| place.run);
    let mut checks = Vec::new();
    let supervisor = standalone::supervisor();
    let tried = supervisor.is_ok();
    if !tried {
        let what = "agent-sandbox-supervisor is not beside this program";
        checks.push(Check::bad(what, "install both binaries side by side ('scripts/build' makes them)"));
    }
    // Without it the runtimes can still be told of, this program standing in for it; they cannot be tried.
    let supervisor = supervisor.unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let runtimes = match runtime::Runtimes::detect(runtime::Config::new("doctor", run, supervisor)).await {
        Ok(runtimes) => runtimes,
        Err(error) => {
            checks.push(Check::bad(format!("look for runtimes: {error}"), "mend what the message names"));
            return checks;
        }
    };
    checks.extend(runtimes.found().flat_map(|found| if tried { report(found) } else { untried(found) }));
    if !tried {
        return checks;
    }
    if runtimes.driver(Driver::Runsc).is_none() {
        checks.push(Check::warning(
            "gVisor (runsc) is not installed: only a shared kernel is on offer",
            "scripts/install-tools run, or install runsc from bookworm-backports",
        ));
    }
    if runtimes.found().all(|found| found.broken.is_some()) {
        checks.push(Check::bad("no runtime works", "scripts/install-tools run installs runc and gVisor"));
    }
    checks
}

/// A runtime whose sandboxes need the supervisor, which is missing.
fn untried(found: &Found) -> Vec<Check> {
    let line =
        format!("{} {} is installed; not tried without the supervisor", found.path.display(), found.version);
    vec![Check::good(line)]
}

fn report(found: &Found) -> Vec<Check> {
    let (class, verdict) = match found.driver {
        Driver::Runsc => ("gvisor", "a kernel of its own in user space: for code you do not trust"),
        Driver::Runc => ("runc", "a SHARED KERNEL: not for code you do not trust"),
    };
    let released = found.released.as_ref().map_or_else(String::new, |month| format!(", released {month}"));
    let line = format!(
        "runtimeClassName {class}: {} {}{released}; {}; {verdict}",
        found.path.display(),
        found.version,
        found.isolation
    );
    let mut checks = match &found.broken {
        None => vec![Check::good(line)],
        Some(why) => vec![Check::warning(
            format!("{line}; does not work: {why}"),
            "reinstall it, or use the other runtime",
        )],
    };
    checks.extend(found.warnings.iter().map(|warning| {
        Check::warning(format!("{class}: {warning}"), "scripts/install-tools run installs the tested version")
    }));
    checks
}

async fn network(data: &Path) -> Vec<Check> {
    let config = match Place::existing(data) {
        Ok(place) => standalone::network(&place),
        Err(_) => {
            net::Config::new("doctor", "/run/agent-sandbox/doctor", "/run/agent-sandbox/doctor/network.json")
        }
    };
    let findings = net::Network::survey(&config).await;
    if findings.is_empty() {
        return vec![Check::good("network: nothing of this host stands in the way")];
    }
    let check = |finding: net::Finding| Check {
        grade: if finding.severity == Severity::Problem { Grade::Bad } else { Grade::Warning },
        what: finding.what,
        fix: Some(finding.fix).filter(|fix| !fix.is_empty()),
    };
    findings.into_iter().map(check).collect()
}

/// Until when the certificates are good; nothing where there are none yet.
fn certificates(data: &Path) -> Option<Check> {
    let report = certificates::report(&Place::existing(data).ok()?)?;
    Some(match report.problem {
        Some((what, fix)) => Check::warning(what, fix),
        None => Check::good(format!("certificates: {}", report.line)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_kernel_is_called_what_it_is() {
        assert_eq!(by_default("gvisor").grade, Grade::Good);
        let default = by_default("runc");
        assert!(default.grade == Grade::Warning && default.what.contains("SHARED KERNEL"));
        let found = Found {
            driver: Driver::Runc,
            path: PathBuf::from("/usr/sbin/runc"),
            version: "1.1.5".to_owned(),
            released: None,
            isolation: "shared kernel".to_owned(),
            platform: None,
            applies_seccomp: true,
            broken: None,
            warnings: vec!["old".to_owned()],
        };
        let checks = report(&found);
        assert!(checks[0].what.contains("SHARED KERNEL"));
        assert_eq!(checks[1].grade, Grade::Warning);
    }
}
