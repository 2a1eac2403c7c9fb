//! Logs, terminals, exec, attach.
use crate::support::{DRIVERS, Host, exec, exec_words, text, until};
use runtime::{ExecRequest, Output};
use serde_json::json;
use std::{fs, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn logs_are_cri_lines_with_both_streams_and_unfinished_lines() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request = host.script(driver, "echo one; echo two >&2; printf three; sleep 0.2; echo four");
        let log = request.log.path.clone();
        host.run(request).await;
        let raw = fs::read_to_string(&log).expect("log");
        assert!(raw.contains(" stdout F one\n") && raw.contains(" stderr F two\n"), "{driver:?} {raw}");
        assert!(raw.contains(" stdout P three\n") && text(&log).contains("threefour\n"), "{driver:?} {raw}");
        let time = raw.split(' ').next().expect("time");
        assert!(time.len() == 30 && time.ends_with('Z'), "{time}");
    }
    host.finish();
}

#[tokio::test]
async fn logs_are_capped_and_rotated_and_keep_the_end() {
    let host = Host::new().await;
    let mut request =
        host.script(DRIVERS[0], "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
    request.log.max_bytes = 100_000;
    let dir = request.dir.clone();
    host.run(request).await;
    assert!(text(&dir.join("log")).contains("line 19999") || text(&dir.join("log.1")).contains("line 19999"));
    assert!(dir.join("log.2").exists() && !dir.join("log.3").exists());
    for name in ["log", "log.1", "log.2"] {
        assert!(fs::metadata(dir.join(name)).expect("meta").len() < 120_000);
    }
    host.finish();
}

#[tokio::test]
async fn a_container_with_a_terminal_can_be_typed_into_and_resized() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request = host.request(driver, json!({ "command": ["/bin/sh"], "tty": true, "stdin": true }));
        let container = host.start(request).await;
        let mut attach = container.attach(true).await.expect("attaches");
        attach.input.resize(91, 33).await.expect("resizes");
        attach.input.send(b"stty size; test -t 1 && echo is-a-terminal; exit 5\n").await.expect("types");
        let (mut seen, mut exit) = (String::new(), None);
        while let Some(output) = attach.output.next().await.expect("reads") {
            match output {
                Output::Stdout(data) => seen.push_str(&String::from_utf8_lossy(&data)),
                Output::Stderr(_) => panic!("a terminal has one output"),
                Output::Exit(end) => exit = Some(end.exit_code),
            }
        }
        assert_eq!(exit, Some(5), "{driver:?}");
        assert!(seen.contains("33 91") && seen.contains("\nis-a-terminal"), "{driver:?}: {seen:?}");
        container.wait().await.expect("exit");
    }
    host.finish();
}

#[tokio::test]
async fn exec_gives_output_errors_and_code() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let container = host.start(host.script(driver, "sleep 100")).await;
        let (exit, out, err) = exec(&container, "echo out; echo err >&2; exit 6").await;
        assert_eq!((exit.code, out.as_str(), err.as_str()), (6, "out\n", "err\n"), "{driver:?}");
        let (exit, ..) = exec(&container, "kill -9 $$").await;
        assert_eq!(exit.code, 137, "{driver:?}");
        let (exit, ..) = exec_words(&container, &["no-such-program"]).await;
        assert_eq!(exit.code, 127, "{driver:?}: {exit:?}");
        assert!(exit.error.is_some(), "{driver:?}");
        let (exit, ..) = exec_words(&container, &["/etc/passwd"]).await;
        assert_eq!(exit.code, 126, "{driver:?}: {exit:?}");
        container.stop(9, Duration::ZERO).await.expect("stops");
        let left: Vec<_> =
            fs::read_dir(host.dir.join("run/exec")).expect("dir").flatten().map(|e| e.file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    host.finish();
}

#[tokio::test]
async fn exec_reads_input_to_its_end() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let container = host.start(host.script(driver, "sleep 100")).await;
        let request = ExecRequest {
            command: vec!["sh".into(), "-c".into(), "wc -c; echo $X; pwd".into()],
            env: vec![("X".into(), "y".into())],
            cwd: Some("/tmp".into()),
            stdin: true,
            tty: false,
            size: None,
        };
        let mut exec = container.exec(&request).expect("execs");
        let mut stdin = exec.stdin.take().expect("stdin");
        stdin.write_all(&vec![b'x'; 300_000]).await.expect("writes");
        stdin.shutdown().await.expect("closes");
        drop(stdin);
        let mut out = String::new();
        exec.stdout.take().expect("out").read_to_string(&mut out).await.expect("reads");
        assert_eq!(exec.wait().await.expect("ends").code, 0);
        assert_eq!(out, "300000\ny\n/tmp\n", "{driver:?}");
        container.stop(9, Duration::ZERO).await.expect("stops");
    }
    host.finish();
}

#[tokio::test]
async fn exec_with_a_terminal_has_its_size_and_follows_changes() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let container = host.start(host.script(driver, "sleep 100")).await;
        let request = ExecRequest {
            command: vec!["sh".into()],
            env: vec![],
            cwd: None,
            stdin: true,
            tty: true,
            size: Some((101, 31)),
        };
        let mut exec = container.exec(&request).expect("execs");
        let (mut stdin, mut stdout) = (exec.stdin.take().expect("in"), exec.stdout.take().expect("out"));
        let mut seen = String::new();
        stdin.write_all(b"stty size\n").await.expect("types");
        read_until(&mut stdout, &mut seen, "31 101").await;
        exec.resize(77, 22).expect("resizes");
        tokio::time::sleep(Duration::from_millis(100)).await;
        stdin.write_all(b"stty size; exit 4\n").await.expect("types");
        read_until(&mut stdout, &mut seen, "22 77").await;
        stdout.read_to_string(&mut seen).await.expect("ends");
        assert_eq!(exec.wait().await.expect("ends").code, 4, "{driver:?} {seen:?}");
        container.stop(9, Duration::ZERO).await.expect("stops");
    }
    host.finish();
}

async fn read_until(stdout: &mut runtime::ExecOutput, seen: &mut String, needle: &str) {
    let mut chunk = [0; 1024];
    while !seen.contains(needle) {
        let read = tokio::time::timeout(Duration::from_secs(10), stdout.read(&mut chunk)).await;
        let count = read.unwrap_or_else(|_| panic!("no {needle:?} in {seen:?}")).expect("reads");
        assert!(count > 0, "ended without {needle:?}: {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&chunk[..count]));
    }
}

#[tokio::test]
async fn attached_clients_share_output_and_one_feeds_input_until_it_closes() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request = host.request(driver, json!({ "command": ["cat"], "stdin": true, "stdinOnce": true }));
        let container = host.start(request).await;
        let mut first = container.attach(true).await.expect("attaches");
        let mut second = container.attach(false).await.expect("attaches");
        first.input.send(b"hello\n").await.expect("sends");
        first.input.close().await.expect("closes");
        for attach in [&mut first, &mut second] {
            assert_eq!(attach.output.next().await.expect("reads"), Some(Output::Stdout("hello\n".into())));
            assert!(
                matches!(attach.output.next().await.expect("reads"), Some(Output::Exit(exit)) if exit.exit_code == 0)
            );
        }
        container.wait().await.expect("exit");
    }
    host.finish();
}

#[tokio::test]
async fn a_client_that_does_not_read_never_blocks_the_container() {
    let host = Host::new().await;
    let request =
        host.script(DRIVERS[0], "sleep 0.3; head -c 8000000 /dev/zero | tr '\\0' 'x'; echo; echo done");
    let log = request.log.path.clone();
    let container = host.start(request).await;
    let dead = container.attach(false).await.expect("attaches");
    until(&log, "done").await;
    drop(dead);
    assert_eq!(container.wait().await.expect("exit").exit_code, 0);
    host.finish();
}
