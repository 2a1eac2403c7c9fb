//! The agent dies, the containers do not.
use crate::support::{DRIVERS, Host, detect, exec, text, until};
use runtime::{Adopted, Driver};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// Not a test: the agent that is killed. Starts one container for each driver and waits for death.
#[tokio::test]
#[ignore = "run by `containers_outlive_an_agent_that_is_killed`"]
async fn agent_to_be_killed() {
    let Ok(dir) = std::env::var("AGENT_TEST_DIR") else { return };
    let host = Host::at(PathBuf::from(&dir), std::env::var("AGENT_TEST_INSTANCE").expect("instance")).await;
    let mut records = Vec::new();
    for driver in DRIVERS {
        let script = "echo before; while [ ! -e /place/go ]; do sleep 0.05; done; echo after; exit 42";
        let words = serde_json::json!({ "command": ["/bin/sh", "-c", script] });
        let name = format!("app-{driver:?}").to_lowercase();
        let container = host.start(host.build(driver, &name, words, &podspec::Role::Alone, false)).await;
        records.push(container.dir().to_string_lossy().into_owned());
    }
    std::fs::write(format!("{dir}/started"), records.join("\n")).expect("tells");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn containers_outlive_an_agent_that_is_killed_and_keep_code_and_log() {
    let instance = format!("a{:05x}", std::process::id() & 0xf_ffff);
    let dir = PathBuf::from(format!("/tmp/as-runtime-{instance}"));
    let mut agent = Command::new(std::env::current_exe().expect("exe"))
        .args(["--exact", "adoption::agent_to_be_killed", "--ignored"])
        .env("AGENT_TEST_DIR", &dir)
        .env("AGENT_TEST_INSTANCE", &instance)
        .stdout(Stdio::null())
        .spawn()
        .expect("agent");
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !dir.join("started").exists() {
        assert!(std::time::Instant::now() < deadline, "the agent never started");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.kill().expect("kill -9");
    agent.wait().expect("dead");
    let runtimes = detect(&dir, &instance).await;
    let host =
        Host { runtimes, netns: format!("as-rt-{instance}"), instance, volumes: Default::default(), dir };
    let started = std::fs::read_to_string(host.dir.join("started")).expect("records");
    for record in started.lines().map(PathBuf::from) {
        let Adopted::Running(container) = host.runtimes.adopt(&record).await.expect("adopts") else {
            panic!("{} is lost", record.display())
        };
        exec(&container, "touch /place/go").await;
        let exit = container.wait().await.expect("exit");
        assert_eq!(exit.exit_code, 42, "{:?}", container.driver());
        let output = text(&record.join("log"));
        assert!(output.contains("before\n") && output.contains("after\n"), "{output:?}");
        // Again, from the record alone.
        assert!(
            matches!(host.runtimes.adopt(&record).await.expect("adopts"), Adopted::Exited(e) if e.exit_code == 42)
        );
    }
    host.finish();
}

#[tokio::test]
async fn a_container_whose_supervisor_was_killed_is_lost_and_cleaned_up() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let container = host.start(host.script(driver, "sleep 100")).await;
        let state = std::fs::read_to_string(container.dir().join("state.json")).expect("state");
        let state: serde_json::Value = serde_json::from_str(&state).expect("json");
        Command::new("kill").args(["-9", &state["supervisor"].to_string()]).status().expect("kill");
        let exit = container.wait().await.expect("exit");
        assert!(exit.lost && exit.exit_code == 137, "{driver:?}: {exit:?}");
        assert!(matches!(host.runtimes.adopt(container.dir()).await.expect("adopts"), Adopted::Lost(_)));
    }
    assert!(matches!(host.runtimes.adopt(&host.dir.join("never")).await.expect("adopts"), Adopted::Absent));
    // Torn when the agent died while it wrote it: there never was a supervisor.
    let torn = host.dir.join("torn");
    std::fs::create_dir(&torn).expect("directory");
    std::fs::write(torn.join("config.json"), "{\"id\": ").expect("writes");
    assert!(matches!(host.runtimes.adopt(&torn).await.expect("adopts"), Adopted::Lost(_)));
    host.finish();
}

#[tokio::test]
async fn sweep_removes_what_is_not_kept_and_nothing_else() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request = host.script(driver, "echo up; sleep 100");
        let log = request.log.path.clone();
        let kept = host.start(request).await;
        until(&log, "up").await;
        let mut other = host.script(driver, "sleep 100");
        other.spec["linux"]["cgroupsPath"] = format!("/agent-sandbox-{}/other/app", host.instance).into();
        let orphan = host.start(other).await;
        // Another agent: it knows neither.
        let agent = detect(&host.dir, &host.instance).await;
        let swept = agent.sweep(&BTreeSet::from([kept.id().to_owned()])).await;
        assert_eq!(swept.containers, BTreeSet::from([orphan.id().to_owned()]), "{swept:?}");
        assert!(swept.failed.is_empty(), "{swept:?}");
        let (exit, out, _) = exec(&kept, "echo alive").await;
        assert_eq!((exit.code, out.as_str()), (0, "alive\n"), "{driver:?}");
        assert_eq!(agent.sweep(&BTreeSet::from([kept.id().to_owned()])).await, Default::default());
        kept.stop(9, Duration::ZERO).await.expect("stops");
    }
    host.finish();
}

#[tokio::test]
async fn the_memory_of_all_sandboxes_together_is_capped() {
    let host = Host::new().await;
    host.runtimes.prepare_cgroups(Some(128 << 20)).expect("caps");
    let script = "x = bytearray(300 << 20)\nprint(len(x))";
    let request = host.request(Driver::Runc, serde_json::json!({ "command": ["python3", "-c", script] }));
    let exit = host.start(request).await.wait().await.expect("exit");
    assert_eq!((exit.exit_code, exit.oom_killed), (137, true));
    host.finish();
}

#[tokio::test]
async fn a_supervisor_that_cannot_be_reached_for_a_while_keeps_its_container() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let script = "while [ ! -e /place/go ]; do sleep 0.05; done; exit 42";
        let container = host.start(host.script(driver, script)).await;
        let (socket, away) = (container.dir().join("control.sock"), container.dir().join("away.sock"));
        std::fs::rename(&socket, &away).expect("hides the socket");
        let waiting = container.wait();
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(500), &mut waiting).await;
        assert!(early.is_err(), "{driver:?}: {early:?}");
        // Another agent cannot reach it either, and must not take it for dead.
        let agent = detect(&host.dir, &host.instance).await;
        let bring_back = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            std::fs::rename(&away, &socket).expect("brings it back");
        };
        let (adopted, ()) = tokio::join!(agent.adopt(container.dir()), bring_back);
        assert!(matches!(adopted.expect("adopts"), Adopted::Running(_)));
        exec(&container, "touch /place/go").await;
        let exit = waiting.await.expect("exit");
        assert_eq!((exit.exit_code, exit.lost), (42, false), "{driver:?}");
    }
    host.finish();
}

#[tokio::test]
async fn a_container_is_stopped_however_many_watch_it() {
    let host = Host::new().await;
    let container = host.start(host.script(Driver::Runc, "trap 'exit 3' TERM; sleep 100 & wait")).await;
    let (mut watching, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        match container.attach(false).await {
            Ok(attach) => watching.push(attach),
            Err(error) => refused.push(error.to_string()),
        }
    }
    assert_eq!(watching.len(), 32);
    assert!(refused.iter().all(|error| error.contains("32 clients are attached already")), "{refused:?}");
    let exit = container.stop(15, Duration::from_secs(5)).await.expect("stops");
    assert_eq!((exit.exit_code, exit.lost), (3, false));
    host.finish();
}

/// Many orphans make the sweep slow enough for a container to be started while it runs.
#[tokio::test]
async fn a_container_that_is_started_while_a_sweep_runs_is_left_alone() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let hierarchies = ["memory", "pids"].map(|name| PathBuf::from("/sys/fs/cgroup").join(name));
        let mut orphans = Vec::new();
        for number in 0..12 {
            let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep");
            for hierarchy in hierarchies.iter().filter(|dir| dir.is_dir()) {
                let name = format!("agent-sandbox-{}/0-orphan/c{number:02}", host.instance);
                let dir = hierarchy.join(name);
                std::fs::create_dir_all(&dir).expect("cgroup");
                std::fs::write(dir.join("cgroup.procs"), child.id().to_string()).expect("moves");
            }
            orphans.push(std::thread::spawn(move || child.wait()));
        }
        let request = host.script(driver, "echo up; sleep 100");
        let start = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            host.start(request).await
        };
        let keep = BTreeSet::new();
        let (swept, container) = tokio::join!(host.runtimes.sweep(&keep), start);
        assert!(swept.cgroups.len() >= 12, "{swept:?}");
        assert!(swept.containers.is_empty(), "{swept:?}");
        let (exit, out, _) = exec(&container, "echo alive").await;
        assert_eq!((exit.code, out.as_str()), (0, "alive\n"), "{driver:?}");
        container.stop(9, Duration::ZERO).await.expect("stops");
        orphans.into_iter().for_each(|orphan| drop(orphan.join()));
    }
    host.finish();
}
