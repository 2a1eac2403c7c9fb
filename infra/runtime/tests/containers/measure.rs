//! What a supervisor costs. Run with `--ignored --nocapture`; numbers are for people, the limit is a promise.
use crate::support::{DRIVERS, Host, exec};
use runtime::Driver;
use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Private memory of a process in KiB.
fn private_kib(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps");
    let fields = ["Private_Clean:", "Private_Dirty:"];
    let value = |line: &str| line.split_whitespace().nth(1).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
    text.lines().filter(|line| fields.iter().any(|field| line.starts_with(field))).map(value).sum()
}

#[tokio::test]
async fn a_supervisor_needs_less_than_300_kib_of_its_own() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request =
            host.script(driver, "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; sleep 100");
        let log = request.log.path.clone();
        let container = host.start(request).await;
        crate::support::until(&log, "1999").await;
        let other = host.script(driver, "sleep 100");
        let mut other = other;
        other.spec["linux"]["cgroupsPath"] = format!("/agent-sandbox-{}/other/app", host.instance).into();
        // A second one, so that pages of the program are shared as they are in real use.
        let second = host.start(other).await;
        let state = fs::read_to_string(container.dir().join("state.json")).expect("state");
        let state: serde_json::Value = serde_json::from_str(&state).expect("json");
        let kib = private_kib(&state["supervisor"].to_string());
        println!("{driver:?}: supervisor private memory {kib} KiB");
        assert!(kib < 300, "{driver:?}: {kib} KiB");
        container.stop(9, Duration::ZERO).await.expect("stops");
        second.stop(9, Duration::ZERO).await.expect("stops");
    }
    host.finish();
}

/// Median of some milliseconds.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::test]
#[ignore = "a measurement: needs a quiet machine"]
async fn start_and_exec_against_the_bare_runtime() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let (mut own, mut own_exec, mut raw_exec) = (vec![], vec![], vec![]);
        for _ in 0..15 {
            let request = host.script(driver, "sleep 100");
            let begin = Instant::now();
            let container = host.start(request).await;
            own.push(begin.elapsed().as_secs_f64() * 1e3);
            let begin = Instant::now();
            let (exit, ..) = exec(&container, "true").await;
            own_exec.push(begin.elapsed().as_secs_f64() * 1e3);
            assert_eq!(exit.code, 0);
            let begin = Instant::now();
            raw(&host, driver, &["exec", container.id(), "/bin/true"]);
            raw_exec.push(begin.elapsed().as_secs_f64() * 1e3);
            container.stop(9, Duration::ZERO).await.expect("stops");
        }
        println!(
            "{driver:?}: start {:.1} ms; exec {:.1} ms, bare exec {:.1} ms (medians of 15)",
            median(own),
            median(own_exec),
            median(raw_exec)
        );
    }
    host.finish();
}

fn raw(host: &Host, driver: Driver, args: &[&str]) {
    let found = host.runtimes.driver(driver).expect("found");
    let name = if driver == Driver::Runc { "runc" } else { "runsc" };
    let status = Command::new(&found.path)
        .arg("--root")
        .arg(host.dir.join("run").join(name))
        .args(args)
        .stdin(Stdio::null())
        .status()
        .expect("runs");
    assert!(status.success());
}
