//! The main job, as a person does it: create, use, suspend, resume, expire, delete.

use system::{Machine, Output, eventually};

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

/// An upgrade: `down --keep-running`, the program is replaced by another build, `up`. The build that started the sandboxes is
/// gone from the disk, its supervisors are not.
#[test]
fn sandboxes_outlive_the_build_that_started_them() {
    let machine = Machine::prepare(&[]);
    let built = machine.command().get_program().to_owned();
    let built = std::path::Path::new(&built);
    // Another build: other bytes at another place. What is behind the end of a program is not looked at.
    let install = |name: &str| {
        let place = machine.scratch().join(name);
        std::fs::create_dir(&place).expect("place");
        for program in ["agent-sandbox", "agent-sandbox-supervisor"] {
            std::fs::copy(built.with_file_name(program), place.join(program)).expect("copy");
            let mut file = std::fs::File::options().append(true).open(place.join(program)).expect("open");
            std::io::Write::write_all(&mut file, name.as_bytes()).expect("write");
        }
        place
    };
    let run = |place: &std::path::Path, args: &[&str]| {
        let mut command = std::process::Command::new(place.join("agent-sandbox"));
        Output::of(
            command.env("KUBECONFIG", machine.kubeconfig()).args(args).arg("--data-dir").arg(machine.data()),
        )
    };
    let listen = format!("127.0.0.1:{}", machine.port());
    let up = ["up", "--detach", "--listen", &listen];
    let (old, new) = (install("old"), install("new"));
    run(&old, &up).ok();
    for runtime in ["runc", "gvisor"] {
        machine.cli(&["create", runtime, "--runtime", runtime]).ok();
        machine.cli(&["exec", runtime, "--", "sh", "-c", "echo alive > /tmp/mark"]).ok();
    }
    let started = || machine.cli(&["exec", "runc", "--", "sh", "-c", "cut -d' ' -f22 /proc/1/stat"]).ok();
    let before = started();
    run(&new, &["down", "--keep-running"]).ok();
    std::fs::remove_dir_all(&old).expect("the old build goes");
    run(&new, &up).ok();
    for runtime in ["runc", "gvisor"] {
        eventually("exec works again", || machine.cli(&["exec", runtime, "--", "true"]).code == 0);
        assert_eq!(machine.cli(&["exec", runtime, "--", "cat", "/tmp/mark"]).ok(), "alive\n", "{runtime}");
    }
    assert_eq!(started(), before, "the same process still runs");
    machine.cli(&["suspend", "runc"]).ok();
    machine.cli(&["resume", "runc"]).ok();
    assert_ne!(started(), before, "the new build's own");
    machine.purge();
}

#[test]
fn a_second_up_on_the_same_data_is_refused() {
    let machine = Machine::up();
    let said = machine.start().refused();
    assert!(said.contains("already runs") && said.contains("agent-sandbox down"), "{said}");
    machine.purge();
}
