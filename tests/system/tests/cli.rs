//! Every verb of the command line, its formats, its exit codes and what it says when something is wrong.

use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use system::{
    Machine, Output, eventually,
    manifest::{idle, sandbox, with},
};

fn runc<'a>(verb: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    [verb, &["--runtime", "runc"], rest].concat()
}

#[test]
fn ls_prints_a_table_names_json_and_yaml() {
    let machine = Machine::shared();
    machine.cli(&runc(&["create", "listed", "--label", "team=rl"], &[])).ok();
    let table = machine.cli(&["ls"]).ok();
    assert!(table.starts_with("NAME") && table.contains("STATUS") && table.contains("RUNTIME"), "{table}");
    let row = table.lines().find(|line| line.starts_with("listed ")).expect("row");
    assert!(row.contains("Ready") && row.contains("runc"), "{row}");
    let wide = machine.cli(&["ls", "listed", "-o", "wide"]).ok();
    assert!(wide.contains("agent-sandbox/host") && wide.contains("IP"), "{wide}");
    let names = machine.cli(&["ls", "-l", "team=rl", "-o", "name"]).ok();
    assert_eq!(names, "sandbox.agents.x-k8s.io/listed\n");
    let one: Value = serde_json::from_str(&machine.cli(&["ls", "listed", "-o", "json"]).ok()).expect("JSON");
    assert_eq!((&one["kind"], &one["metadata"]["name"]), (&json!("Sandbox"), &json!("listed")));
    let all: Value =
        serde_json::from_str(&machine.cli(&["ls", "-l", "team=rl", "-o", "json"]).ok()).expect("JSON");
    assert_eq!((&all["kind"], all["items"].as_array().map(Vec::len)), (&json!("List"), Some(1)));
    let yaml = machine.cli(&["ls", "listed", "-o", "yaml"]).ok();
    assert!(yaml.contains("kind: Sandbox") && yaml.contains("  name: listed"), "{yaml}");
    assert!(machine.cli(&["ls", "-A"]).ok().starts_with("NAMESPACE"));
    assert!(
        machine.cli(&["-n", "kube-system", "ls"]).err.contains("No sandboxes found in kube-system namespace")
    );
    machine.cli(&["rm", "listed", "--wait"]).ok();
    assert_eq!(machine.kubectl(&["get", "pods", "-l", "team=rl", "-o", "name"]).ok(), "");
}

#[test]
fn create_checks_without_creating_and_prints_the_object() {
    let machine = Machine::shared();
    let dry = machine
        .cli(&runc(&["create", "dry"], &["--dry-run", "-o", "yaml", "--volume", "data:/data:2Gi"]))
        .ok();
    assert!(dry.contains("storage: 2Gi") && dry.contains("mountPath: /data"), "{dry}");
    assert_eq!(machine.cli(&["ls", "dry"]).code, 1);
    let made = machine.cli(&runc(&["create", "made"], &["-v", "--expires", "2h", "-o", "json"]));
    assert!(made.err.contains("shared kernel"), "{}", made.err);
    let made: Value = serde_json::from_str(&made.ok()).expect("JSON");
    assert_eq!(made["spec"]["shutdownPolicy"], "Delete");
    let said = machine.cli(&["create", "made"]).refused();
    assert!(said.contains(r#"sandboxes.agents.x-k8s.io "made" already exists"#), "{said}");
    machine.cli(&["rm", "made"]).ok();
}

#[test]
fn suspend_and_resume_keep_volumes_and_files() {
    let machine = Machine::shared();
    for runtime in ["runc", "gvisor"] {
        let name = format!("sleeper-{runtime}");
        machine.cli(&["create", &name, "--runtime", runtime, "--volume", "data:/data"]).ok();
        machine.cli(&["exec", &name, "--", "sh", "-c", "echo v > /data/f; echo l > /root/f"]).ok();
        assert!(machine.cli(&["suspend", &name]).ok().contains("suspended"));
        let said = machine.cli(&["exec", &name, "--", "true"]).refused();
        assert!(said.contains("suspended") && said.contains("agent-sandbox resume"), "{said}");
        let said = machine.cli(&["logs", &name]).refused();
        assert!(said.contains("suspended") && said.contains("agent-sandbox resume"), "{said}");
        assert!(machine.cli(&["why", &name]).ok().contains(&format!("agent-sandbox resume {name}")));
        machine.cli(&["resume", &name]).ok();
        assert_eq!(
            machine.cli(&["exec", &name, "--", "cat", "/data/f", "/root/f"]).ok(),
            "v\nl\n",
            "{runtime}"
        );
        machine.cli(&["rm", &name, "--wait"]).ok();
    }
}

#[test]
fn expire_keeps_or_deletes_and_can_be_taken_back() {
    let machine = Machine::shared();
    machine.cli(&runc(&["create", "brief", "--volume", "data:/data"], &[])).ok();
    machine.cli(&["exec", "brief", "--", "sh", "-c", "echo kept > /data/f"]).ok();
    machine.cli(&["expire", "brief", "1h"]).ok();
    assert!(machine.cli(&["expire", "brief", "never"]).ok().contains("does not expire"));
    machine.cli(&["expire", "brief", "now", "--keep"]).ok();
    eventually("it has expired", || machine.cli(&["ls", "brief"]).ok().contains("Expired"));
    eventually("its pod is gone", || machine.kubectl(&["get", "pod", "brief"]).code != 0);
    assert!(machine.cli(&["why", "brief"]).ok().contains("agent-sandbox expire brief 1h"));
    // What `why` says to type must not turn "kept" into "deleted".
    assert!(machine.cli(&["expire", "brief", "1h"]).ok().contains("stopped and kept"));
    eventually("it runs again", || machine.cli(&["exec", "brief", "--", "true"]).code == 0);
    assert_eq!(machine.cli(&["exec", "brief", "--", "cat", "/data/f"]).ok(), "kept\n");
    machine.cli(&["expire", "brief", "now", "--delete"]).ok();
    eventually("it is deleted", || machine.cli(&["ls", "brief"]).code != 0);
    let said = machine.cli(&["expire", "brief", "1h"]).refused();
    assert!(said.contains("brief") && said.contains("agent-sandbox ls"), "{said}");
}

#[test]
fn logs_follow_and_show_the_previous_run() {
    let machine = Machine::shared();
    let script = "echo one; echo two; sleep 1; echo three; sleep 1; exit 1";
    machine.cli(&runc(&["create", "chatty", "--no-wait"], &["--", "sh", "-c", script])).ok();
    eventually("it has started", || machine.cli(&["logs", "chatty"]).out.contains("one"));
    assert_eq!(machine.cli(&["logs", "-f", "chatty"]).ok(), "one\ntwo\nthree\n");
    eventually("it is started again, so that there is a previous run", || {
        machine.cli(&["logs", "chatty", "--tail", "1", "--previous"]).out == "three\n"
    });
    assert!(machine.cli(&["logs", "nobody"]).refused().contains("nobody"));
    machine.cli(&["rm", "chatty", "--wait"]).ok();
}

#[test]
fn exec_passes_standard_input_and_ends_with_the_command() {
    let machine = Machine::shared();
    for runtime in ["runc", "gvisor"] {
        let name = format!("worker-{runtime}");
        machine.cli(&["create", &name, "--runtime", runtime]).ok();
        let seen = fed(&machine, &["exec", "-i", &name, "--", "tr", "a-z", "A-Z"], "hello\n");
        assert_eq!((seen.code, seen.out.as_str()), (0, "HELLO\n"), "{seen:?}");
        assert_eq!(machine.cli(&["exec", &name, "--", "sh", "-c", "exit 42"]).code, 42);
        assert_eq!(machine.cli(&["exec", &name, "--", "no-such-command"]).code, 127, "{runtime}");
        assert_eq!(
            machine.cli(&["exec", &name, "--", "/etc/passwd"]).code,
            126,
            "{runtime}: it is no program"
        );
        // Nobody closes this input; the command's end is the end.
        let started = Instant::now();
        let mut open = machine.command();
        open.args(["exec", "-i", &name, "--", "true"]).stdin(Stdio::piped());
        let mut open = open.spawn().expect("exec");
        let _input = open.stdin.take();
        assert!(open.wait().expect("wait").success());
        assert!(started.elapsed() < Duration::from_secs(10));
        machine.cli(&["rm", &name]).ok();
    }
}

fn fed(machine: &Machine, args: &[&str], input: &str) -> Output {
    let mut command = machine.command();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start");
    child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("write");
    let output = child.wait_with_output().expect("wait");
    Output {
        line: format!("{args:?}"),
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn shell_opens_in_a_terminal() {
    let machine = Machine::shared();
    machine.cli(&runc(&["create", "cosy"], &[])).ok();
    let said = machine.cli(&["shell", "cosy"]).refused();
    assert!(said.contains("no terminal") && said.contains("exec -i"), "{said}");
    let binary = machine.command().get_program().to_string_lossy().into_owned();
    let typed = format!(
        "(sleep 2; echo 'echo $((6*7)); exit 5'; sleep 2) | script -qec '{binary} shell cosy' /dev/null"
    );
    let seen = Output::of(machine.tool("bash").args(["-c", &typed]));
    assert_eq!(seen.code, 5, "{seen:?}");
    assert!(seen.out.contains("42"), "{seen:?}");
    machine.cli(&["rm", "cosy"]).ok();
}

#[test]
fn run_passes_standard_input_and_the_exit_code() {
    let machine = Machine::shared();
    for runtime in ["runc", "gvisor"] {
        let seen = fed(&machine, &["run", "-i", "--runtime", runtime, "--", "wc", "-l"], "a\nb\nc\n");
        assert_eq!((seen.code, seen.out.trim()), (0, "3"), "{seen:?}");
    }
    let many = machine.cli(&runc(&["run"], &["--", "seq", "1", "20000"])).ok();
    assert_eq!(many.lines().count(), 20_000, "no line of the output is lost");
    assert_eq!(many.lines().last(), Some("20000"));
    let said = machine.cli(&["run"]).refused();
    assert!(said.contains("no command of its own"), "{said}");
    let env =
        machine.cli(&runc(&["run", "-e", "A=b c", "-w", "/tmp"], &["--", "sh", "-c", "echo $A; pwd"])).ok();
    assert_eq!(env, "b c\n/tmp\n");
}

#[test]
fn an_interrupted_run_deletes_its_sandbox_at_once() {
    let machine = Machine::shared();
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut command = machine.command();
        command.args(runc(&["run", "--name", "broken-off"], &["--", "sleep", "1000"]));
        let mut client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run");
        eventually("it runs", || machine.cli(&["exec", "broken-off", "--", "true"]).code == 0);
        Output::of(Command::new("kill").args([signal, &client.id().to_string()])).ok();
        assert_eq!(client.wait().expect("wait").code(), Some(code));
        eventually("nothing is left of it", || machine.kubectl(&["get", "pod", "broken-off"]).code != 0);
    }
}

#[test]
fn rm_takes_names_selectors_and_all_and_waits_for_what_they_own() {
    let machine = Machine::shared();
    for name in ["a1", "a2", "a3"] {
        let volume = ["--label", "set=a", "--volume", "data:/data"];
        machine.cli(&runc(&["create", name], &volume)).ok();
    }
    machine.cli(&["rm", "a1", "--wait"]).ok();
    assert_eq!(
        machine.kubectl(&["get", "pod/a1", "pvc/data-a1", "--ignore-not-found", "-o", "name"]).ok(),
        ""
    );
    let said = machine.cli(&["rm", "a1", "a2"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("sandbox/a2 deleted") && said.err.contains("a1"), "{said:?}");
    machine.cli(&["rm", "a1", "--force"]).ok();
    assert!(machine.cli(&["rm", "-l", "set=a", "--wait"]).ok().contains("sandbox/a3 deleted"));
    assert_eq!(machine.cli(&["ls", "-l", "set=a", "-o", "name"]).ok(), "");
    assert_eq!(machine.cli(&["rm"]).code, 2, "something must be named");
    machine.cli(&runc(&["-n", "kube-public", "create", "b1"], &[])).ok();
    assert!(machine.cli(&["-n", "kube-public", "rm", "--all", "--wait"]).ok().contains("sandbox/b1 deleted"));
}

#[test]
fn apply_takes_files_and_standard_input_and_waits() {
    let machine = Machine::shared();
    let first = sandbox("applied-1", json!({"containers": [idle("work")]}));
    let second = sandbox("applied-2", json!({"containers": [idle("work")]}));
    let both = format!("{first}\n---\n{second}\n");
    let seen = fed(&machine, &["apply", "-f", "-", "--wait"], &both).ok();
    // All are applied before the first is waited for: it may need one of the others.
    assert!(seen.starts_with("sandbox/applied-1 applied\nsandbox/applied-2 applied\n"), "{seen}");
    assert!(seen.contains("sandbox/applied-1 ready") && seen.contains("sandbox/applied-2 ready"), "{seen}");
    let file = machine.scratch().join("again.json");
    fs::write(&file, first.to_string()).expect("write");
    machine.cli(&["apply", "-f", &file.display().to_string()]).ok();
    let broken = "apiVersion: [\n";
    assert!(
        fed(&machine, &["apply", "-f", "-"], broken).refused().contains("line"),
        "where the YAML is wrong"
    );
    machine.cli(&["rm", "applied-1", "applied-2"]).ok();
}

#[test]
fn images_are_imported_listed_used_and_removed() {
    let machine = Machine::shared();
    let layout = machine.scratch().join("tiny.tar");
    make_layout(&machine.scratch().join("tiny"), &layout);
    let file = layout.display().to_string();
    let said = machine.cli(&["image", "import", &file, "local.test/tiny:1"]).ok();
    assert!(said.contains("image/local.test/tiny:1 ready (sha256:"), "{said}");
    assert_eq!(
        machine
            .cli(&["image", "ls", "-o", "name"])
            .ok()
            .lines()
            .filter(|&line| line == "local.test/tiny:1")
            .count(),
        1
    );
    let table = machine.cli(&["image", "ls"]).ok();
    assert!(table.starts_with("REFERENCE") && table.contains("local.test/tiny:1"), "{table}");
    for runtime in ["runc", "gvisor"] {
        let seen = machine.cli(&["run", "--runtime", runtime, "--image", "local.test/tiny:1"]);
        assert_eq!((seen.code, seen.out.as_str()), (0, "hello from tiny\n"), "{seen:?}");
    }
    machine.cli(&runc(&["create", "user", "--image", "local.test/tiny:1"], &["--", "sleep", "1000"])).ok();
    let row = machine.cli(&["image", "ls"]).ok();
    assert!(row.lines().any(|line| line.starts_with("local.test/tiny:1") && line.ends_with("yes")), "{row}");
    let said = machine.cli(&["image", "rm", "local.test/tiny:1"]).ok();
    assert!(said.contains("removed (still in use"), "{said}");
    assert_eq!(machine.cli(&["exec", "user", "--", "sh", "-c", "echo alive"]).ok(), "alive\n");
    machine.cli(&["rm", "user", "--wait"]).ok();
    assert!(!machine.cli(&["image", "ls"]).ok().contains("tiny"));
    assert!(machine.cli(&["image", "rm", "local.test/tiny:1"]).refused().contains("local.test/tiny:1"));
    let said = machine.cli(&["image", "pull", "registry.invalid/nothing:1"]).refused();
    assert!(said.contains("registry.invalid"), "{said}");
    // A layout that is a directory goes as it is.
    let layout = machine.scratch().join("tiny/layout").display().to_string();
    machine.cli(&["image", "import", &layout, "local.test/tiny:2"]).ok();
    let seen = machine.cli(&runc(&["run", "--image", "local.test/tiny:2"], &[])).ok();
    assert_eq!(seen, "hello from tiny\n");
    let plain = machine.scratch().display().to_string();
    let said = machine.cli(&["image", "import", &plain, "local.test/tiny:3"]).refused();
    assert!(said.contains("is no OCI layout"), "{said}");
    let torn = machine.scratch().join("torn.tar");
    fs::write(&torn, b"this is no tar").expect("write");
    let said = machine.cli(&["image", "import", &torn.display().to_string(), "local.test/torn:1"]).refused();
    assert!(said.contains("local.test/torn:1"), "{said}");
}

/// An OCI layout with one layer: sh, sleep and the libraries they need, of this host.
fn make_layout(dir: &Path, tar: &Path) {
    let (root, blobs) = (dir.join("root"), dir.join("layout/blobs/sha256"));
    fs::create_dir_all(&blobs).expect("blobs");
    for file in ["/bin/sh", "/bin/sleep"].into_iter().chain(LIBRARIES) {
        let to = root.join(&file[1..]);
        fs::create_dir_all(to.parent().expect("parent")).expect("directory");
        fs::copy(file, to).expect("copy");
    }
    let layer = dir.join("layer.tar");
    Output::of(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&layer).args([
        "--owner=0",
        "--group=0",
        ".",
    ]))
    .ok();
    let layer = blob(&blobs, "application/vnd.oci.image.layer.v1.tar", &fs::read(layer).expect("layer"));
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Cmd": ["/bin/sh", "-c", "echo hello from tiny"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = blob(&blobs, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
    let manifest = blob(&blobs, kind, manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(dir.join("layout/index.json"), index.to_string()).expect("index");
    fs::write(dir.join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("layout");
    Output::of(Command::new("tar").arg("-C").arg(dir.join("layout")).arg("-cf").arg(tar).arg(".")).ok();
}

/// What sh and sleep are linked to on Debian.
const LIBRARIES: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"];

fn blob(blobs: &Path, kind: &str, bytes: &[u8]) -> Value {
    let temporary = blobs.join("new");
    fs::write(&temporary, bytes).expect("blob");
    let sum = Output::of(Command::new("sha256sum").arg(&temporary)).ok();
    let hex = sum.split(' ').next().expect("sum");
    fs::rename(&temporary, blobs.join(hex)).expect("rename");
    json!({"mediaType": kind, "digest": format!("sha256:{hex}"), "size": bytes.len()})
}

#[test]
fn why_names_the_cause_and_the_remedy() {
    let machine = Machine::shared();
    let crash = with(idle("work"), json!({"command": ["sh", "-c", "echo oops; exit 7"]}));
    machine.create(&sandbox("broken", json!({"containers": [crash]}))).ok();
    let mut why = String::new();
    eventually("it is in back-off", || {
        why = machine.cli(&["why", "broken"]).ok();
        why.contains("CrashLoopBackOff")
    });
    assert!(why.contains("TIME") && why.contains("BackOff: Back-off restarting failed container"), "{why}");
    assert!(why.contains("agent-sandbox logs --previous broken"), "{why}");
    machine.cli(&["rm", "broken"]).ok();
    machine.cli(&runc(&["create", "fine"], &[])).ok();
    assert!(machine.cli(&["why", "fine"]).ok().contains("nothing is wrong"));
    machine.cli(&["rm", "fine"]).ok();
    let said = machine.cli(&["why", "nobody"]).refused();
    assert!(said.contains("nobody") && said.contains("agent-sandbox ls"), "{said}");
}

#[test]
fn what_needs_no_server_works_without() {
    let machine = Machine::shared();
    assert!(machine.cli(&["version"]).ok().starts_with("agent-sandbox "));
    for shell in ["bash", "zsh", "fish"] {
        assert!(machine.cli(&["completion", shell]).ok().contains("agent-sandbox"), "{shell}");
    }
    let script = machine.scratch().join("completion.bash");
    fs::write(&script, machine.cli(&["completion", "bash"]).ok()).expect("write");
    Output::of(Command::new("bash").arg("-n").arg(&script)).ok();
    assert_eq!(machine.cli(&["no-such-verb"]).code, 2);
    let nowhere = Output::of(machine.command().env("KUBECONFIG", "/nonexistent").args(["ls"]));
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.err.contains("agent-sandbox up --detach"), "{}", nowhere.err);
    let unreachable = machine.scratch().join("unreachable");
    let config = fs::read_to_string(machine.kubeconfig()).expect("kubeconfig");
    fs::write(&unreachable, config.replace(&machine.port().to_string(), "1")).expect("write");
    let said = Output::of(machine.command().env("KUBECONFIG", &unreachable).args(["ls"])).refused();
    assert!(said.contains("does not answer") && said.contains("agent-sandbox up --detach"), "{said}");
}

#[test]
fn doctor_and_status_tell_what_there_is() {
    let machine = Machine::shared();
    let data = machine.data().display().to_string();
    let doctor = machine.cli(&["doctor", "--data-dir", &data]).ok();
    assert!(
        doctor.contains("runc") && doctor.contains("gVisor") && doctor.contains("shared kernel"),
        "{doctor}"
    );
    let doctor: Value =
        serde_json::from_str(&machine.cli(&["doctor", "-o", "json", "--data-dir", &data]).ok())
            .expect("JSON");
    assert_eq!(doctor["healthy"], json!(true), "{doctor}");
    let status: Value =
        serde_json::from_str(&machine.cli(&["status", "-o", "json", "--data-dir", &data]).ok())
            .expect("JSON");
    assert_eq!(status["running"], json!(true), "{status}");
    assert!(machine.cli(&["status", "--data-dir", &data]).ok().contains("sandboxes"));
    assert_eq!(machine.cli(&["status", "--data-dir", "/nonexistent"]).code, 3);
}

#[test]
fn the_container_is_chosen_and_named_as_kubectl_does() {
    let machine = Machine::shared();
    let both = json!({"containers": [idle("main"), idle("side")]});
    let file = machine.scratch().join("pair.json");
    fs::write(&file, sandbox("pair", both).to_string()).expect("write");
    machine.cli(&["apply", "--wait", "-f", &file.display().to_string()]).ok();
    let seen = machine.cli(&["exec", "pair", "--", "true"]);
    assert_eq!((seen.code, seen.err.as_str()), (0, "Defaulted container \"main\" out of: main, side\n"));
    assert_eq!(machine.cli(&["exec", "pair", "-c", "side", "--", "true"]).err, "");
    for verb in [&["exec", "pair", "-c", "sidd", "--", "true"][..], &["logs", "pair", "-c", "sidd"]] {
        let said = machine.cli(verb).refused();
        assert!(said.contains("no container \"sidd\"") && said.contains("main, side"), "{said}");
    }
    assert_eq!(machine.cli(&["exec", "nobody", "--", "true"]).code, 125, "not the command's own");
    machine.cli(&["rm", "pair"]).ok();
}

#[test]
fn a_verb_over_several_names_acts_on_all_and_tells_each_failure() {
    let machine = Machine::shared();
    for name in ["many-1", "many-2"] {
        machine.cli(&runc(&["create", name], &[])).ok();
    }
    let seen = machine.cli(&["suspend", "many-1", "nobody", "many-2", "nothing"]);
    assert_eq!(seen.code, 1);
    assert!(
        seen.out.contains("sandbox/many-1 suspended") && seen.out.contains("sandbox/many-2 suspended"),
        "{seen:?}"
    );
    for expected in ["\"nobody\" does not exist", "\"nothing\" does not exist", "2 of 4 failed"] {
        assert!(seen.err.contains(expected), "{seen:?}");
    }
    // Resumed and judged by what its conditions say of this generation, not of the one before.
    machine.cli(&["resume", "many-1", "many-2"]).ok();
    for name in ["many-1", "many-2"] {
        machine.cli(&["exec", name, "--", "true"]).ok();
    }
    machine.cli(&["rm", "many-1", "many-2"]).ok();
}

#[test]
fn an_expiry_leaves_the_policy_alone() {
    let machine = Machine::shared();
    let policy = |name: &str| {
        let text = machine.cli(&["ls", name, "-o", "json"]).ok();
        serde_json::from_str::<Value>(&text).expect("JSON")["spec"]["shutdownPolicy"].clone()
    };
    machine.cli(&runc(&["create", "kept"], &[])).ok();
    assert!(
        machine.cli(&["expire", "kept", "1h"]).ok().contains("is deleted"),
        "what create makes is deleted"
    );
    machine.cli(&["expire", "kept", "now", "--keep"]).ok();
    eventually("it has expired", || machine.cli(&["ls", "kept"]).ok().contains("Expired"));
    // What `why` says to type must not turn "kept" into "deleted".
    machine.cli(&["expire", "kept", "1h"]).ok();
    assert_eq!(policy("kept"), "Retain");
    machine.cli(&["expire", "kept", "now", "--delete"]).ok();
    eventually("it is deleted", || machine.cli(&["ls", "kept"]).code != 0);
    assert_eq!(machine.cli(&["expire", "kept", "soon"]).code, 2, "a wrong time is a wrong command line");
}

#[test]
fn doctor_tells_of_a_missing_supervisor_and_goes_on() {
    let machine = Machine::shared();
    let alone = machine.scratch().join("agent-sandbox");
    fs::copy(machine.command().get_program(), &alone).expect("copy");
    let said = Output::of(Command::new(&alone).args(["doctor", "--data-dir", "/nonexistent"]));
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("FAIL  agent-sandbox-supervisor") && said.out.contains("is installed; not tried"),
        "{said:?}"
    );
}
