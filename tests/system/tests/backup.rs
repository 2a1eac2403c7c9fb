//! `backup` and `restore`: what comes back, what is refused, and that nothing that was there is changed.

use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use system::{Machine, Output, eventually};

fn on(machine: &Machine, args: &[&str]) -> Output {
    Output::of(machine.command().args(args).arg("--data-dir").arg(machine.data()))
}

fn revision(of: &Value) -> u64 {
    of["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a resourceVersion")
}

/// The list of config maps, and the revision that it shows.
fn config_maps(machine: &Machine) -> (Vec<String>, u64) {
    let list = machine.kubectl(&["get", "--raw", "/api/v1/namespaces/default/configmaps"]).ok();
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let items = list["items"].as_array().expect("items");
    let names = items.iter().map(|item| item["metadata"]["name"].as_str().expect("name").to_owned());
    (names.collect(), revision(&list))
}

/// Makes a backup while somebody writes, and gives the names that were acknowledged before it began.
fn backup_under_writes(machine: &Machine, file: &str) -> Vec<String> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                machine.kubectl(&["create", "configmap", &format!("busy-{number}")]).ok();
            }
        });
        eventually("somebody writes", || config_maps(machine).0.iter().any(|name| name == "busy-2"));
        let before = config_maps(machine).0;
        let said = on(machine, &["backup", file]);
        stop.store(true, Ordering::Relaxed);
        let said = said.ok();
        assert!(said.contains("certificates and keys, volumes and kept layers"), "{said}");
        assert!(said.contains("suspend a sandbox for a still copy"), "{said}");
        before
    })
}

#[test]
fn everything_comes_back_from_a_backup_that_was_made_under_writes() {
    let machine = Machine::up();
    machine.cli(&["create", "box", "--runtime", "runc", "--volume", "data:/data"]).ok();
    machine
        .cli(&["exec", "box", "--", "sh", "-c", "echo v > /data/f; echo l > /root/g; rm -rf /etc/ssl"])
        .ok();
    machine.kubectl(&["create", "serviceaccount", "bot"]).ok();
    let token = machine.kubectl(&["create", "token", "bot"]).ok();
    let file = machine.scratch().join("box.backup");
    let name = file.display().to_string();
    let acknowledged = backup_under_writes(&machine, &name);
    assert_eq!(fs::metadata(&file).expect("backup").permissions().mode() & 0o777, 0o600);
    let refused = on(&machine, &["backup", &name]).refused();
    assert!(refused.contains("exists already") && refused.contains("--replace"), "{refused}");
    let refused = on(&machine, &["restore", &name]).refused();
    assert!(refused.contains("changes nothing that is there"), "{refused}");
    let (after, last) = config_maps(&machine);
    let old = fs::read(machine.kubeconfig()).expect("kubeconfig");
    on(&machine, &["down", "--purge", "--yes"]).ok();

    let said = on(&machine, &["restore", &name]).ok();
    assert!(said.contains("start it with 'agent-sandbox up") && said.contains("images are not"), "{said}");
    machine.start().ok();
    let (kept, now) = config_maps(&machine);
    assert!(acknowledged.iter().all(|name| kept.contains(name)), "{acknowledged:?} in {kept:?}");
    assert!(kept.iter().all(|name| after.contains(name)), "{kept:?} of {after:?}");
    // Certificates and keys are the same: the kubeconfig and the token of before are good.
    fs::write(machine.kubeconfig(), old).expect("kubeconfig");
    assert!(machine.kubectl(&["auth", "whoami"]).ok().contains("kubernetes-admin"));
    let server = format!("https://127.0.0.1:{}", machine.port());
    let mut bare = machine.kubectl_command();
    bare.env("KUBECONFIG", "/dev/null").args(["--context", "", "--server", &server]);
    let me =
        Output::of(bare.args(["--insecure-skip-tls-verify", "--token", token.trim(), "auth", "whoami"])).ok();
    assert!(me.contains("system:serviceaccount:default:bot"), "{me}");
    // A client that saw more than was backed up cannot go on from there: it has to list again.
    assert!(now > last + 900_000_000, "{now} is far above {last}");
    let path =
        format!("/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=5&resourceVersion={last}");
    let answer = machine.kubectl(&["get", "--raw", &path]).ok();
    assert!(answer.contains("\"code\":410") && answer.contains("Expired"), "{answer}");
    eventually("the sandbox runs again", || machine.cli(&["exec", "box", "--", "true"]).code == 0);
    let script = "cat /data/f /root/g; ls -d /etc/ssl || true";
    assert_eq!(machine.cli(&["exec", "box", "--", "sh", "-c", script]).out, "v\nl\n");
    machine.purge();
}

#[test]
fn without_volumes_sandboxes_come_back_with_empty_ones() {
    let machine = Machine::up();
    machine.cli(&["create", "box", "--runtime", "runc", "--volume", "data:/data"]).ok();
    machine.cli(&["exec", "box", "--", "sh", "-c", "echo v > /data/f; echo l > /root/g"]).ok();
    on(&machine, &["down", "--keep-running"]).ok();
    // It does not run: the same.
    let file = machine.scratch().join("objects");
    let name = file.display().to_string();
    let said = on(&machine, &["backup", "--without-volumes", &name]).ok();
    assert!(said.contains("certificates and keys;"), "{said}");
    let inside = machine.data().join("backup").display().to_string();
    let refused = on(&machine, &["backup", &inside]).refused();
    assert!(refused.contains("lies in the data directory"), "{refused}");
    on(&machine, &["down", "--purge", "--yes"]).ok();
    refused_where_nothing_is_made(&machine, &file);

    // One that was killed in the middle is not taken for a data directory.
    on(&machine, &["restore", &name]).ok();
    fs::write(machine.data().join(".restoring"), "").expect("mark");
    for refused in [machine.start().refused(), on(&machine, &["restore", &name]).refused()] {
        assert!(refused.contains("was not finished") && refused.contains("down --purge"), "{refused}");
    }
    on(&machine, &["down", "--purge", "--yes"]).ok();
    let said = on(&machine, &["restore", &name]).ok();
    assert!(said.contains("sandboxes begin with empty ones"), "{said}");
    machine.start().ok();
    eventually("the sandbox runs again", || machine.cli(&["exec", "box", "--", "true"]).code == 0);
    let seen = machine.cli(&["exec", "box", "--", "sh", "-c", "ls /data /root; echo w > /data/f"]);
    assert!(seen.code == 0 && !seen.out.contains('g') && !seen.out.contains("f\n"), "{seen:?}");
    machine.purge();
}

/// A file that is cut, changed or somebody else's, and a directory that is not empty.
fn refused_where_nothing_is_made(machine: &Machine, file: &Path) {
    let whole = fs::read(file).expect("backup");
    let bad = machine.scratch().join("bad");
    let name = bad.display().to_string();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    let cases: [(&[u8], &str); 4] = [
        (&whole[..whole.len() - 100], "cut off"),
        (&changed, "checksum is wrong"),
        (b"a letter to grandmother, of some length", "is not a backup of agent-sandbox"),
        (b"", "is not a backup of agent-sandbox"),
    ];
    for (bytes, expected) in cases {
        fs::write(&bad, bytes).expect("write");
        for args in [&["restore", &name][..], &["restore", "--check", &name]] {
            let refused = on(machine, args).refused();
            assert!(refused.contains(expected) && refused.contains(&name), "{expected} in {refused}");
        }
        assert!(!machine.data().exists(), "{expected}: nothing was made");
    }
    fs::create_dir(machine.data()).expect("data");
    fs::write(machine.data().join("thesis.tex"), "years of work").expect("write");
    let refused = on(machine, &["restore", &file.display().to_string()]).refused();
    assert!(refused.contains("is not empty"), "{refused}");
    let refused = on(machine, &["backup", &machine.scratch().join("new").display().to_string()]).refused();
    assert!(refused.contains("is not a data directory of agent-sandbox"), "{refused}");
    assert_eq!(fs::read_dir(machine.data()).expect("data").count(), 1);
    fs::remove_dir_all(machine.data()).expect("remove");
    let missing = on(machine, &["restore", "/nowhere/at/all"]).refused();
    assert!(missing.contains("cannot open /nowhere/at/all"), "{missing}");
}
