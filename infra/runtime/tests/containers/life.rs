//! Exit codes, signals, stopping, memory and process limits.
use crate::support::{DRIVERS, Host, exec, text, until};
use runtime::Driver;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_container_ends_with_its_own_exit_code() {
    let host = Host::new().await;
    for driver in DRIVERS {
        for code in [0, 7, 255] {
            let (exit, output) =
                host.run(host.script(driver, &format!("echo out; echo err >&2; exit {code}"))).await;
            assert_eq!(exit, code, "{driver:?}");
            assert!(output.contains("out\n") && output.contains("err\n"), "{driver:?}: {output:?}");
        }
    }
    host.finish();
}

#[tokio::test]
async fn a_signal_ends_it_with_128_and_its_number() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let container = host.start(host.script(driver, "sleep 100")).await;
        container.signal(9).await.expect("signals");
        let exit = container.wait().await.expect("exit");
        assert_eq!((exit.exit_code, exit.signal), (137, Some(9)), "{driver:?}");
        assert!(!exit.oom_killed && !exit.lost && exit.finished_at >= exit.started_at);
    }
    host.finish();
}

#[tokio::test]
async fn stop_lets_a_program_finish_its_work() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request =
            host.script(driver, "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
        let log = request.log.path.clone();
        let container = host.start(request).await;
        until(&log, "ready").await;
        let begin = Instant::now();
        let exit = container.stop(15, Duration::from_secs(20)).await.expect("stops");
        assert_eq!(exit.exit_code, 3, "{driver:?}");
        assert!(text(&log).contains("bye"));
        assert!(begin.elapsed() < Duration::from_secs(5), "{driver:?} took {:?}", begin.elapsed());
    }
    host.finish();
}

#[tokio::test]
async fn stop_kills_after_the_grace_period() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request = host.script(driver, "trap '' TERM; echo ready; while :; do sleep 1; done");
        let log = request.log.path.clone();
        let container = host.start(request).await;
        until(&log, "ready").await;
        let begin = Instant::now();
        let exit = container.stop(15, Duration::from_millis(500)).await.expect("stops");
        assert_eq!(exit.exit_code, 137, "{driver:?}");
        assert!(begin.elapsed() >= Duration::from_millis(500) && begin.elapsed() < Duration::from_secs(4));
    }
    host.finish();
}

#[tokio::test]
async fn stop_during_creation_ends_the_container() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request = host.script(driver, "sleep 100");
        let dir = request.dir.clone();
        let runtimes = host.runtimes.clone();
        let starting = tokio::time::timeout(Duration::from_millis(8), runtimes.start(request));
        let began = starting.await;
        assert!(began.is_err(), "{driver:?} was faster than the test");
        let runtime::Adopted::Running(container) = host.runtimes.adopt(&dir).await.expect("adopts") else {
            panic!("not running")
        };
        let exit = container.stop(15, Duration::from_millis(100)).await.expect("stops");
        assert!(matches!(exit.exit_code, 137 | 143), "{driver:?}: {exit:?}");
    }
    host.finish();
}

#[tokio::test]
async fn init_passes_signals_on_and_reaps_orphans() {
    let host = Host::new().await;
    for driver in DRIVERS {
        // As process 1, sleep would ignore TERM until the grace period is over.
        let container = host.start(host.with_init(driver, json!({ "command": ["sleep", "100"] }))).await;
        exec(&container, "(sleep 0.1 &) ; true").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (_, zombies, _) = exec(&container, "cat /proc/[0-9]*/stat | grep -c ') Z ' ; true").await;
        assert_eq!(zombies.trim(), "0", "{driver:?}");
        let begin = Instant::now();
        let exit = container.stop(15, Duration::from_secs(20)).await.expect("stops");
        assert_eq!(exit.exit_code, 143, "{driver:?}");
        assert!(begin.elapsed() < Duration::from_secs(3), "{driver:?} {:?}", begin.elapsed());
        let (code, output) =
            host.run(host.with_init(driver, json!({ "command": ["sh", "-c", "exit 9"] }))).await;
        assert_eq!(code, 9, "{driver:?} {output}");
        let (code, output) =
            host.run(host.with_init(driver, json!({ "command": ["no-such-program"] }))).await;
        assert_eq!(code, 127, "{driver:?}");
        assert!(output.contains("exec: \"no-such-program\": executable file not found in $PATH"), "{output}");
    }
    host.finish();
}

#[tokio::test]
async fn too_much_memory_is_an_oom_kill_of_the_container_alone() {
    let host = Host::new().await;
    let limits = json!({ "limits": { "memory": "96Mi" } });
    for driver in DRIVERS {
        let script = "x = bytearray(400 << 20)\nprint(len(x))";
        let request =
            host.request(driver, json!({ "command": ["python3", "-c", script], "resources": limits }));
        let container = host.start(request).await;
        let exit = container.wait().await.expect("exit");
        assert_eq!((exit.exit_code, exit.oom_killed), (137, true), "{driver:?}: {exit:?}");
    }
    host.finish();
}

#[tokio::test]
async fn a_fork_bomb_stays_inside() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let container = host.start(host.script(driver, "sleep 100")).await;
        let bomb = "import os,time\nn=0\ntry:\n  while n<5000:\n    if os.fork()==0: time.sleep(60)\n    n+=1\nexcept OSError as e: print('stopped at', n, e.errno)\n";
        let mut run = container
            .exec(&runtime::ExecRequest {
                command: vec!["python3".into(), "-c".into(), bomb.into()],
                env: vec![],
                cwd: None,
                stdin: false,
                tty: false,
                size: None,
            })
            .expect("execs");
        let _ = tokio::time::timeout(Duration::from_secs(8), run.wait()).await;
        let pids = container.stats().pids;
        assert!(pids <= 1024, "{driver:?}: {pids}");
        if driver == Driver::Runc {
            assert!(pids > 900, "the bomb went off: {pids}");
        }
        container.stop(9, Duration::ZERO).await.expect("stops");
    }
    host.finish();
}

#[tokio::test]
async fn stats_show_what_a_container_uses() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request = host.request(driver, json!({ "command": ["python3", "-c", "x=bytearray(64<<20); x[::4096]=b'1'*len(x[::4096]); print('ready', flush=True); import time; time.sleep(100)"] }));
        let log = request.log.path.clone();
        let container = host.start(request).await;
        until(&log, "ready").await;
        let stats = container.stats();
        assert!(stats.memory_bytes > 60 << 20, "{driver:?} {stats:?}");
        assert!(
            stats.working_set_bytes <= stats.memory_bytes && stats.cpu_nanos > 1_000_000 && stats.pids > 0
        );
        container.stop(9, Duration::ZERO).await.expect("stops");
    }
    host.finish();
}
