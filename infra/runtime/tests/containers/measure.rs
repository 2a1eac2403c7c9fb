//! What a supervisor costs. Run with `--ignored --nocapture`; numbers are for people, the limit is a promise.
use crate::support::{DRIVERS, Host, exec_words, supervisor};
use runtime::{Config, Driver, Runtimes};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
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

/// Least and median of some milliseconds: on a busy machine the least says more.
fn median(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    format!("{:.1}/{:.1}", times[0], times[times.len() / 2])
}

/// Stands before the runtime and writes down how long it took, in microseconds.
const STOPWATCH: &str = "#!/bin/bash\nbegin=${EPOCHREALTIME/./}\n\"@RUNTIME@\" \"$@\"\ncode=$?\necho $((${EPOCHREALTIME/./}-begin)) >>\"@TIMES@\"\nexit $code\n";

#[tokio::test]
#[ignore = "a measurement: needs a quiet machine"]
async fn start_and_exec_against_the_bare_runtime() {
    let mut host = Host::new().await;
    let times = host.dir.join("times");
    let watched = host.dir.join("bin");
    fs::create_dir(&watched).expect("bin");
    for name in ["runc", "runsc"] {
        let driver = if name == "runc" { Driver::Runc } else { Driver::Runsc };
        let real = host.runtimes.driver(driver).expect("found").path.to_string_lossy().into_owned();
        let text = STOPWATCH.replace("@RUNTIME@", &real).replace("@TIMES@", &times.to_string_lossy());
        fs::write(watched.join(name), text).expect("stopwatch");
        fs::set_permissions(watched.join(name), fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let plain = host.runtimes.clone();
    let mut config = Config::new(host.instance.clone(), host.dir.join("run"), supervisor());
    config.platform = Some("systrap".into());
    config.search = vec![watched];
    let timed = Runtimes::detect(config).await.expect("detects");
    for driver in DRIVERS {
        let (mut start, mut inner, mut end, mut own_exec, mut raw_exec) =
            (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..15 {
            let _ = fs::remove_file(&times);
            host.runtimes = timed.clone();
            let begin = Instant::now();
            let container = host.start(host.script(driver, "sleep 100")).await;
            let total = begin.elapsed().as_secs_f64() * 1e3;
            let micros: f64 = fs::read_to_string(&times).expect("times").trim().parse().expect("number");
            inner.push(micros / 1e3);
            start.push(total - micros / 1e3);
            container.stop(9, Duration::ZERO).await.expect("stops");
            host.runtimes = plain.clone();
            let container = host.start(host.script(driver, "sleep 100")).await;
            // The first exec also loads the program: compare the second with the third.
            exec_words(&container, &["/bin/true"]).await;
            let begin = Instant::now();
            let (exit, ..) = exec_words(&container, &["/bin/true"]).await;
            own_exec.push(begin.elapsed().as_secs_f64() * 1e3);
            assert_eq!(exit.code, 0);
            let begin = Instant::now();
            raw(&host, driver, &["exec", container.id(), "/bin/true"]);
            raw_exec.push(begin.elapsed().as_secs_f64() * 1e3);
            let begin = Instant::now();
            container.stop(9, Duration::ZERO).await.expect("stops");
            end.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        println!(
            "{driver:?}: start: runtime {} ms and {} ms around it (the stopwatch's own 3 ms included); \
             exec {} ms, bare {} ms; kill to clean {} ms (least/median of 15)",
            median(inner),
            median(start),
            median(own_exec),
            median(raw_exec),
            median(end),
        );
    }
    host.finish();
}

fn raw(host: &Host, driver: Driver, args: &[&str]) {
    let found = host.runtimes.driver(driver).expect("found");
    let name = if driver == Driver::Runc { "runc" } else { "runsc" };
    let output = Command::new(&found.path)
        .arg("--root")
        .arg(host.dir.join("run").join(name))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    assert!(output.status.success());
}
