//! The main job, as a person does it: create, use, suspend, resume, expire, delete.

use system::{Machine, eventually};

#[test]
fn a_sandbox_computes_keeps_its_files_and_goes() {
    let machine = Machine::up();
    machine.cli(&["create", "box", "--runtime", "runc", "--volume", "data:/data"]).ok();
    let out = machine
        .cli(&["exec", "box", "--", "python3", "-c", "print(6*7); open('/data/f','w').write('kept')"])
        .ok();
    assert_eq!(out, "42\n");
    machine.cli(&["exec", "box", "--", "sh", "-c", "echo layer > /root/g"]).ok();
    machine.cli(&["suspend", "box"]).ok();
    assert!(machine.cli(&["ls"]).ok().contains("Suspended"));
    machine.cli(&["resume", "box"]).ok();
    assert_eq!(machine.cli(&["exec", "box", "--", "cat", "/data/f", "/root/g"]).ok(), "keptlayer\n");
    machine.cli(&["expire", "box", "1s"]).ok();
    eventually("the expired sandbox is deleted", || machine.cli(&["ls", "box"]).code != 0);
    machine.purge();
}

#[test]
fn exec_returns_the_commands_own_exit_code_and_streams() {
    let machine = Machine::up();
    machine.cli(&["create", "box", "--runtime", "runc"]).ok();
    let output = machine.cli(&["exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!((output.code, output.out.as_str(), output.err.as_str()), (42, "out\n", "err\n"));
    assert_eq!(machine.cli(&["exec", "box", "--", "no-such-command"]).code, 127);
    machine.purge();
}

#[test]
fn run_streams_returns_the_exit_code_and_leaves_no_sandbox() {
    let machine = Machine::up();
    for runtime in ["runc", "gvisor"] {
        let output =
            machine.cli(&["run", "--runtime", runtime, "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
        assert_eq!(
            (output.code, output.out.as_str(), output.err.as_str()),
            (3, "out\n", "err\n"),
            "{runtime}"
        );
    }
    eventually("no sandbox is left", || machine.cli(&["ls", "-o", "name"]).ok().is_empty());
    machine.purge();
}

#[test]
fn a_killed_run_takes_its_sandbox_with_it() {
    let machine = Machine::up();
    let mut client = machine
        .command()
        .args(["run", "--runtime", "runc", "--name", "doomed", "--", "sleep", "1000"])
        .spawn()
        .expect("run");
    eventually("it runs", || machine.cli(&["exec", "doomed", "--", "true"]).code == 0);
    client.kill().expect("kill -9");
    client.wait().expect("wait");
    let started = std::time::Instant::now();
    eventually("the sandbox is gone", || machine.cli(&["ls", "doomed"]).code != 0);
    assert!(started.elapsed().as_secs() <= 60, "took {:?}", started.elapsed());
    machine.purge();
}

#[test]
fn a_restart_keeps_sandboxes_running() {
    let machine = Machine::up();
    machine.cli(&["create", "box", "--runtime", "runc"]).ok();
    machine.cli(&["create", "glass", "--runtime", "gvisor"]).ok();
    let mark =
        |name: &str| machine.cli(&["exec", name, "--", "sh", "-c", "cut -d' ' -f22 /proc/1/stat"]).ok();
    machine.cli(&["exec", "box", "--", "sh", "-c", "echo alive > /tmp/mark"]).ok();
    let before = mark("box");
    machine.kill();
    machine.start().ok();
    eventually("exec works again", || machine.cli(&["exec", "box", "--", "true"]).code == 0);
    assert_eq!(mark("box"), before, "the same process still runs");
    assert_eq!(machine.cli(&["exec", "box", "--", "cat", "/tmp/mark"]).ok(), "alive\n");
    eventually("gVisor too", || machine.cli(&["exec", "glass", "--", "true"]).code == 0);
    machine.purge();
}

#[test]
fn a_second_up_on_the_same_data_is_refused() {
    let machine = Machine::up();
    let said = machine.start().refused();
    assert!(said.contains("already runs") && said.contains("agent-sandbox down"), "{said}");
    machine.purge();
}
