//! One installation beside others and beside other people's files: who may use it, what is deleted, what comes back.

use serde_json::{Value, json};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixDatagram,
    },
    path::Path,
    process::Command,
    time::Duration,
};
use system::{Machine, Output, eventually};

/// The binary as somebody without any settings starts it.
fn bare(machine: &Machine, home: &Path) -> Command {
    let mut command = machine.command();
    command.env_remove("KUBECONFIG").env("HOME", home);
    command
}

fn up(command: &mut Command, machine: &Machine) -> Output {
    let listen = format!("127.0.0.1:{}", machine.port());
    Output::of(command.args(["up", "--detach", "--listen", &listen, "--data-dir"]).arg(machine.data()))
}

#[test]
fn under_sudo_the_second_line_of_the_readme_finds_what_the_first_one_wrote() {
    let machine = Machine::prepare(&[]);
    let (root, person) = (machine.scratch().join("root"), machine.scratch().join("person"));
    fs::create_dir_all(&person).expect("home");
    let sudo = |home: &Path| {
        let mut command = bare(&machine, home);
        command.envs([("SUDO_UID", "4242"), ("SUDO_GID", "4242")]).env("SUDO_HOME", &person);
        command
    };
    up(&mut sudo(&root), &machine).ok();
    let written = person.join(".kube/config");
    assert_eq!(fs::metadata(&written).expect("the person's kubeconfig").uid(), 4242);
    Output::of(sudo(&root).args(["ls"])).ok();
    let seen = Output::of(sudo(&root).args(["run", "--runtime", "runc", "--", "echo", "42"])).ok();
    assert_eq!(seen, "42\n");
    // As root without sudo: the one in the data directory.
    Output::of(bare(&machine, &root).env("AGENT_SANDBOX_DATA_DIR", machine.data()).args(["ls"])).ok();
    // The person, who may not read the data directory, sees what runs.
    let mut own = bare(&machine, &person);
    std::os::unix::process::CommandExt::uid(&mut own, 4242);
    // The scratch directory is root's own; the binary itself may be out of reach too on some machines.
    fs::set_permissions(machine.scratch(), fs::Permissions::from_mode(0o755)).expect("permissions");
    if let Ok(output) = own.args(["status", "--data-dir"]).arg(machine.data()).output() {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("sandboxes  0:") && said.contains("by default"), "{output:?}");
    }
    machine.purge();
}

#[test]
fn relative_paths_mean_the_directory_that_they_were_typed_in() {
    let machine = Machine::prepare(&[]);
    let listen = format!("127.0.0.1:{}", machine.port());
    let mut command = machine.command();
    command.current_dir(machine.scratch()).env("AGENT_SANDBOX_DATA_DIR", "data").env("KUBECONFIG", "mine");
    let said =
        Output::of(command.args(["up", "--detach", "--listen", &listen, "--allow-host-path", "shared"])).ok();
    assert!(machine.data().join("store").is_dir(), "{said}");
    assert!(machine.scratch().join("mine").is_file(), "{said}");
    machine.purge();
}

#[test]
fn a_purge_leaves_what_is_not_ours_and_says_so() {
    let machine = Machine::up();
    let note = machine.data().join("note.txt");
    fs::write(&note, "not of agent-sandbox").expect("write");
    let mut down = machine.command();
    let said = Output::of(down.args(["down", "--purge", "--yes", "--data-dir"]).arg(machine.data())).ok();
    assert!(said.contains("left there") && said.contains(&note.display().to_string()), "{said}");
    let left: Vec<_> = fs::read_dir(machine.data()).expect("data").filter_map(Result::ok).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // Nobody's directory any more: neither used nor deleted.
    let refused = machine.start().refused();
    assert!(refused.contains("not empty") && refused.contains("--data-dir"), "{refused}");
    let mut down = machine.command();
    let refused =
        Output::of(down.args(["down", "--purge", "--yes", "--data-dir"]).arg(machine.data())).refused();
    assert!(refused.contains("nothing was deleted") && note.exists(), "{refused}");
    fs::remove_dir_all(machine.data()).expect("remove");
}

#[test]
fn a_directory_that_somebody_else_made_is_purged_all_the_same() {
    // What ./quickstart does under sudo: mktemp as the person, up as root.
    let machine = Machine::prepare(&[]);
    fs::create_dir(machine.data()).expect("data");
    std::os::unix::fs::chown(machine.data(), Some(4242), Some(4242)).expect("chown");
    machine.start().ok();
    let data = machine.data();
    let mut down = machine.command();
    Output::of(down.args(["down", "--purge", "--yes", "--data-dir"]).arg(&data)).ok();
    assert!(!data.exists());
}

#[test]
fn two_installations_share_a_kubeconfig() {
    let (one, two) = (Machine::up(), Machine::prepare(&[]));
    let listen = format!("127.0.0.1:{}", two.port());
    let beside = |args: &[&str]| Output::of(one.command().args(args));
    let data = two.data().display().to_string();
    let said = beside(&["up", "--detach", "--listen", &listen, "--data-dir", &data]).ok();
    let name = said.split("(context ").nth(1).and_then(|rest| rest.split(' ').next()).expect("context");
    assert!(name.starts_with("agent-sandbox-"), "{said}");
    one.cli(&["create", "first", "--runtime", "runc"]).ok();
    assert_eq!(beside(&["--context", name, "ls", "-o", "name"]).ok(), "", "it is the other server");
    beside(&["down", "--purge", "--yes", "--data-dir", &data]).ok();
    assert!(one.cli(&["ls"]).ok().contains("first"), "the first one's context stays");
    one.purge();
}

#[test]
fn the_service_manager_is_told_once_it_serves_and_the_default_is_public() {
    let machine = Machine::prepare(&["--default-runtime", "runc"]);
    let socket = machine.scratch().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("bind");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    let listen = format!("127.0.0.1:{}", machine.port());
    let mut command = machine.command();
    command.env("NOTIFY_SOCKET", &socket).args([
        "up",
        "--detach",
        "--default-runtime",
        "runc",
        "--listen",
        &listen,
    ]);
    Output::of(command.arg("--data-dir").arg(machine.data())).ok();
    let mut heard = [0; 32];
    let read = manager.recv(&mut heard).expect("told");
    assert_eq!(&heard[..read], b"READY=1\n");
    machine.cli(&["ls"]).ok();
    // runc is the default here: whoever asks is told that it shares the kernel.
    let said = machine.cli(&["create", "plain", "-v"]).err;
    assert!(said.contains("runc (the default), a shared kernel"), "{said}");
    let wide = machine.cli(&["ls", "-o", "wide"]).ok();
    assert!(wide.contains("runc (default)"), "{wide}");
    let data = machine.data().display().to_string();
    assert!(machine.cli(&["status", "--data-dir", &data]).ok().contains("runc by default, a shared kernel"));
    let doctor = machine.cli(&["doctor", "--data-dir", &data]).ok();
    assert!(doctor.contains("get runc: a SHARED KERNEL"), "{doctor}");
    machine.purge();
}

#[test]
fn the_lock_is_private_and_asking_takes_it_from_nobody() {
    let machine = Machine::up();
    let lock = machine.data().join("lock");
    assert_eq!(fs::metadata(&lock).expect("lock").permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&lock).expect("lock");
    assert_eq!(text.split(' ').next(), Some(machine.pid().to_string().as_str()), "it names its holder");
    // A record that names another process must not be signalled.
    let bystander = Command::new("sleep").arg("1000").spawn();
    let mut bystander = bystander.expect("sleep");
    let path = machine.data().join("up.json");
    let record = fs::read(&path).expect("up.json");
    let mut forged: Value = serde_json::from_slice(&record).expect("JSON");
    forged["pid"] = json!(bystander.id());
    fs::write(&path, forged.to_string()).expect("write");
    let mut down = machine.command();
    Output::of(down.args(["down", "--keep-running", "--data-dir"]).arg(machine.data())).ok();
    assert!(bystander.try_wait().expect("wait").is_none(), "the bystander lives");
    bystander.kill().expect("kill");
    bystander.wait().expect("wait");
    machine.start().ok();
    let limits = fs::read_to_string(format!("/proc/{}/limits", machine.pid())).expect("limits");
    let files: Vec<&str> = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("line")
        .split_whitespace()
        .collect();
    assert_eq!(files[3], files[4], "as many open files as are allowed");
    machine.purge();
}

/// Ends everything of an installation as a loss of power does: the agent, the supervisors, what runs in the sandboxes.
fn lose_power(machine: &Machine) {
    machine.kill();
    let mark = machine.data().display().to_string();
    let id = fs::read_dir("/run/agent-sandbox").expect("run").filter_map(Result::ok);
    let id = id.map(|entry| entry.file_name().to_string_lossy().into_owned()).find(|id| {
        fs::read_dir(format!("/run/agent-sandbox/{id}")).is_ok()
            && processes(&format!("--instance {id}"), &mark)
    });
    let id = id.expect("the installation's id");
    for file in glob_cgroups(&id) {
        for pid in fs::read_to_string(file).unwrap_or_default().lines() {
            Output::of(Command::new("kill").args(["-9", pid]));
        }
    }
    // Pinned network namespaces go with the kernel.
    let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
    let below = format!("/run/agent-sandbox/{id}/");
    for mount in
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|path| path.starts_with(&below))
    {
        Output::of(Command::new("umount").args(["-l", mount]));
    }
    // The run directory is a tmpfs: after a boot it is another one's.
    fs::write(format!("/run/agent-sandbox/{id}/boot"), "another boot\n").expect("boot mark");
}

/// Whether a supervisor of the installation works in its data directory.
fn processes(instance: &str, data: &str) -> bool {
    let all = fs::read_dir("/proc").expect("proc").filter_map(Result::ok);
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .any(|line| line.contains(instance) && line.contains(data))
}

/// Kills the supervisors and gives the process lists of the installation's cgroups.
fn glob_cgroups(id: &str) -> Vec<std::path::PathBuf> {
    let find = format!("find /sys/fs/cgroup -path '*agent-sandbox-{id}*' -name cgroup.procs");
    let listed = Output::of(Command::new("sh").args(["-c", &find])).out;
    let own = fs::read_dir("/proc").expect("proc").filter_map(Result::ok);
    for entry in own {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).replace('\0', " ").contains(&format!("--instance {id}")) {
            Output::of(Command::new("kill").args(["-9", &entry.file_name().to_string_lossy()]));
        }
    }
    listed.lines().map(std::path::PathBuf::from).collect()
}

#[test]
fn sandboxes_come_back_after_a_reboot_also_under_another_host_name() {
    let machine = Machine::up();
    for runtime in ["runc", "gvisor"] {
        let name = format!("sturdy-{runtime}");
        machine.cli(&["create", &name, "--runtime", runtime, "--volume", "data:/data"]).ok();
        machine.cli(&["exec", &name, "--", "sh", "-c", "echo v > /data/f; echo l > /root/f; sync"]).ok();
    }
    for hostname in [None, Some("renamed")] {
        lose_power(&machine);
        match hostname {
            None => machine.start().ok(),
            Some(name) => {
                let binary = machine.command().get_program().to_string_lossy().into_owned();
                let script = format!("hostname {name} && exec \"$@\"");
                let listen = format!("127.0.0.1:{}", machine.port());
                let mut renamed = machine.tool("unshare");
                renamed.args([
                    "--uts", "sh", "-c", &script, "sh", &binary, "up", "--detach", "--listen", &listen,
                ]);
                Output::of(renamed.arg("--data-dir").arg(machine.data())).ok()
            }
        };
        for runtime in ["runc", "gvisor"] {
            let name = format!("sturdy-{runtime}");
            eventually(&format!("{name} runs again ({hostname:?})"), || {
                machine.cli(&["exec", &name, "--", "true"]).code == 0
            });
            let kept = machine.cli(&["exec", &name, "--", "cat", "/data/f", "/root/f"]).ok();
            assert_eq!(kept, "v\nl\n", "{runtime}, {hostname:?}");
        }
    }
    machine.purge();
}
