//! What a sandbox can do and see, asked from inside: under each driver, made by the command line and from a plain manifest.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use system::{
    Machine, Output, eventually,
    inside::inside,
    manifest::{self, idle},
    outside::{HOST, OUTSIDE, OwnAddress, World, host_addresses, listen_at, listen_everywhere, sh},
    storm::Disk,
};

const DRIVERS: [&str; 2] = ["runc", "gvisor"];

/// A sandbox of each driver from each source; its Pods' names.
fn four(machine: &Machine) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for driver in DRIVERS {
        let made = format!("made-{driver}");
        machine.cli(&["create", &made, "--runtime", driver]).ok();
        let plain = format!("plain-{driver}");
        plain_sandbox(machine, &plain, driver);
        all.extend([(driver, made), (driver, plain)]);
    }
    all
}

fn plain_sandbox(machine: &Machine, name: &str, driver: &str) {
    let spec = json!({ "runtimeClassName": driver, "containers": [idle("work")] });
    machine.create(&manifest::sandbox(name, spec)).ok();
    machine.kubectl(&["wait", "--for=condition=Ready", &format!("sandbox/{name}"), "--timeout=120s"]).ok();
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// What must be false for every key.
#[track_caller]
fn none(found: &Value, what: &str) {
    let map = found.as_object().unwrap_or_else(|| panic!("{what}: {found}"));
    let open: Vec<_> = map.iter().filter(|(_, value)| value.as_bool() != Some(false)).collect();
    assert!(!map.is_empty() && open.is_empty(), "{what}: {open:?}");
}

/// Files of the host that have a name nobody else has.
struct Marked {
    paths: Vec<String>,
    mark: String,
}

impl Marked {
    fn new() -> Self {
        let mark = format!("agent-sandbox-mark-{}", std::process::id());
        let folders = ["/root", "/home", "/etc", "/usr/local/etc", "/var/lib", "/tmp", "/opt", "/srv"];
        let paths: Vec<String> = folders.map(|folder| format!("{folder}/{mark}")).into();
        for path in &paths {
            std::fs::write(path, "of the host").unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        Self { paths, mark }
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[test]
fn a_sandbox_is_confined_and_sees_nothing_of_the_host() {
    let machine = Machine::up();
    let marked = Marked::new();
    let mut stranger = Command::new("sleep").arg("4242.4242").spawn().expect("a process of the host");
    let settings = || {
        ["kernel/core_pattern", "kernel/modprobe", "vm/drop_caches"]
            .map(|name| std::fs::read_to_string(format!("/proc/sys/{name}")).ok())
    };
    let before = settings();
    for (driver, name) in four(&machine) {
        let mut exists = marked.paths.clone();
        exists.extend([
            machine.data().display().to_string(),
            "/run/agent-sandbox".into(),
            "/run/docker.sock".into(),
        ]);
        exists.extend(["/dev/mem", "/dev/kmem", "/dev/kmsg", "/dev/port", "/dev/kvm"].map(str::to_owned));
        exists.push("/var/run/secrets/kubernetes.io/serviceaccount".into());
        let seen = inside(
            &machine,
            &name,
            &json!({
                "do": "look", "exists": exists, "makes": ["/usr", "/usr/bin", "/proc", "/sys", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"],
                "holds": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/acpi", "/proc/scsi",
                          "/sys/firmware", "/sys/kernel/debug", "/sys/kernel/security"],
                "writes": ["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches",
                           "/proc/sys/kernel/modprobe", "/proc/irq/default_smp_affinity", "/sys/power/state",
                           "/sys/fs/cgroup/memory/release_agent", "/sys/kernel/uevent_helper"],
            }),
        );
        let at = format!("{name}: {seen:#}");
        powers(driver, &seen, &at);
        none(&seen["exists"], &format!("{name} sees of the host"));
        none(&seen["holds"], &format!("{name} reads"));
        if driver == "runc" {
            none(&seen["writes"], &format!("{name} writes"));
        }
        none(&seen["makes"], &format!("{name} makes files in"));
        files_and_devices(driver, &seen, &at);
        let processes = seen["processes"].as_object().expect("processes");
        assert!(
            !processes.values().any(|line| line.as_str().unwrap_or_default().contains("4242.4242")),
            "{at}"
        );
        let strangers = ["kubelet", "containerd", "agent-sandbox up", "supervisor run", "runsc", "systemd"];
        let line =
            |word: &str| processes.values().any(|line| line.as_str().unwrap_or_default().contains(word));
        assert!(processes.len() < 12 && !strangers.iter().any(|word| line(word)), "{at}");
        assert_eq!(seen["gain"], "1000", "a setuid program gains nothing: {at}");
        assert!(!at.contains(&marked.mark) || seen["exists"].to_string().contains(&marked.mark), "{at}");
        assert!(!strings(&seen["environ"]).iter().any(|name| name.starts_with("AGENT_SANDBOX")), "{at}");
    }
    assert_eq!(settings(), before, "what gVisor lets a sandbox write is gVisor's own");
    identities(&machine);
    stranger.kill().expect("kill");
    stranger.wait().expect("wait");
    machine.purge();
}

/// Capabilities, seccomp and cgroup, of the first process and of one that exec started.
fn powers(driver: &str, seen: &Value, at: &str) {
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP: containerd's
    // default set less NET_RAW, MKNOD and AUDIT_WRITE.
    let allowed = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31].iter().fold(0_u64, |set, bit| set | 1 << bit);
    for process in ["one", "self"] {
        let field = |name: &str| seen[process][name][0].as_str().unwrap_or_default().to_owned();
        for set in ["CapBnd", "CapEff", "CapPrm"] {
            assert_eq!(u64::from_str_radix(&field(set), 16).ok(), Some(allowed), "{process} {set}: {at}");
        }
        assert_eq!(field("CapAmb").trim_start_matches('0'), "", "{process}: {at}");
        // runsc does not put the container's filter on what exec starts. The filter there is a second line: gVisor answers
        // the calls of either process itself.
        let filter = if driver == "gvisor" && process == "self" { "0" } else { "2" };
        assert_eq!(field("Seccomp"), filter, "{process}: {at}");
        // gVisor does not show the flag in this file; that it holds is what the setuid program shows.
        assert!(field("NoNewPrivs") == "1" || driver == "gvisor", "{process}: {at}");
    }
    assert_eq!(seen["cgroup_self"], seen["cgroup_one"], "exec runs in the sandbox's cgroup: {at}");
    let but_seccomp = |process: &str| {
        let mut fields = seen[process].as_object().cloned().unwrap_or_default();
        fields.remove("Seccomp");
        fields
    };
    assert_eq!(but_seccomp("self"), but_seccomp("one"), "exec has what the first process has: {at}");
}

fn files_and_devices(driver: &str, seen: &Value, at: &str) {
    assert_eq!(strings(&seen["usr_local"]), Vec::<String>::new(), "{at}");
    assert!(!seen["shadow"].as_str().unwrap_or_default().contains('$'), "hashes of the host: {at}");
    let mounts = seen["mounts"].as_array().expect("mounts");
    let usr =
        mounts.iter().find(|mount| mount[0] == "/usr").unwrap_or_else(|| panic!("/usr is a mount: {at}"));
    let options = strings(&usr[2]);
    assert!(options.iter().any(|option| option == "ro"), "{at}");
    let default = ["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts/ptmx"];
    // gVisor's own, which lead to nothing of the host.
    let emulated: &[&str] = if driver == "gvisor" { &["fuse", "net/tun"] } else { &[] };
    for (path, kind) in seen["devices"].as_object().expect("devices") {
        let name = path.trim_start_matches("/dev/");
        let known = default.contains(&name)
            || emulated.contains(&name)
            || name.trim_start_matches("pts/").bytes().all(|b| b.is_ascii_digit());
        assert!(known && kind.as_str().is_some_and(|kind| kind.starts_with("char")), "{path} {kind}: {at}");
    }
}

/// Under runc root is a user of the host that owns nothing, and another one in each sandbox.
fn identities(machine: &Machine) {
    let disk = Disk::new(machine.data(), machine.residue().id());
    let mut bases = BTreeMap::new();
    for name in ["made-runc", "plain-runc"] {
        let uid = machine.get("pod", name)["metadata"]["uid"].as_str().expect("uid").to_owned();
        let pid = disk.pid(&uid).expect("a running container");
        let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).expect("uid_map");
        let map: Vec<u32> = map.split_whitespace().map(|word| word.parse().expect("number")).collect();
        assert!(map[0] == 0 && map[1] >= 65_536 && map[2] == 65_536, "{name}: {map:?}");
        bases.insert(map[1], name);
        let flags = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("mountinfo");
        let usr = flags.lines().find(|line| line.split(' ').nth(4) == Some("/usr")).expect("/usr");
        assert!(["ro", "nosuid", "nodev"].iter().all(|flag| usr.contains(flag)), "{usr}");
    }
    assert_eq!(bases.len(), 2, "a range of its own for each sandbox: {bases:?}");
}

#[test]
fn a_fork_bomb_stays_inside() {
    let machine = Machine::up();
    for (driver, name) in four(&machine) {
        let before = std::fs::read_dir("/proc").expect("proc").count();
        let bombed = machine.kubectl(&["exec", &name, "-q", "--", "python3", "-c", BOMB]);
        let after = std::fs::read_dir("/proc").expect("proc").count();
        assert!(after < before + 1500, "{name}: {before} entries in /proc became {after}");
        assert!(machine.cli(&["ls"]).ok().contains(&name), "the agent is well: {}", bombed.err);
        if driver == "runc" {
            let lived: u32 = bombed.ok().trim().parse().expect("a number");
            assert!((100..1024).contains(&lived), "{name}: {lived} processes lived at once");
            assert_eq!(machine.sh(&name, "echo well"), "well\n");
        }
    }
    machine.purge();
}

/// Forks until it fails, or 3000 live; the children end with their parent's pipe.
const BOMB: &str = r"
import os
r, w = os.pipe()
count = 0
while count < 3000:
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        os.close(w)
        os.read(r, 1)
        os._exit(0)
    count += 1
os.close(w)
print(count)
";

/// Takes memory until it is killed.
const GREEDY: &str =
    "import time\nx = []\nfor _ in range(900):\n    x.append(bytearray(b'x') * (1 << 20))\ntime.sleep(3600)";

fn greedy(name: &str, driver: &str, limit: Option<&str>) -> Value {
    let mut container = json!({
        "name": "work", "image": manifest::IMAGE, "command": ["python3", "-c", GREEDY],
    });
    if let Some(limit) = limit {
        container["resources"] = json!({ "limits": { "memory": limit } });
    }
    manifest::pod(
        name,
        json!({ "runtimeClassName": driver, "restartPolicy": "Never", "containers": [container] }),
    )
}

#[test]
fn a_sandbox_that_takes_more_memory_than_its_limit_is_killed() {
    let machine = Machine::up();
    for driver in DRIVERS {
        let name = format!("greedy-{driver}");
        machine.create(&greedy(&name, driver, Some("128Mi"))).ok();
        let pod = machine.wait_for_pod(&name, "/status/phase", &json!("Failed"));
        let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(state["exitCode"], 137, "{driver}: {state}");
        assert_eq!(state["reason"], "OOMKilled", "{driver}: {state}");
    }
    machine.purge();
}

#[test]
fn all_sandboxes_together_stay_under_the_machines_cap() {
    let machine = Machine::up_with(&["--memory-cap", "400"]);
    let pid = machine.pid();
    for (index, driver) in ["runc", "gvisor", "runc"].iter().enumerate() {
        machine.create(&greedy(&format!("greedy-{index}"), driver, None)).ok();
    }
    for index in 0..3 {
        machine.wait_for_pod(&format!("greedy-{index}"), "/status/phase", &json!("Failed"));
    }
    let group = format!("/sys/fs/cgroup/memory/agent-sandbox-{}", machine.residue().id());
    let number = |file: &str| -> u64 {
        let text = std::fs::read_to_string(format!("{group}/{file}")).expect("the cap's cgroup");
        text.trim().parse().expect("a number")
    };
    assert_eq!(number("memory.limit_in_bytes"), 400 << 20);
    // The kernel books pages in batches: a few may be over for a moment.
    let most = number("memory.max_usage_in_bytes");
    assert!(most <= 404 << 20, "{most} bytes at once");
    assert_eq!(machine.pid(), pid, "the agent is none of them");
    machine.cli(&["create", "modest", "--runtime", "runc"]).ok();
    machine.purge();
}

#[test]
fn nothing_of_the_host_is_reached_over_the_network_and_the_outside_is() {
    let machine = Machine::up();
    let other = Machine::up();
    other.cli(&["create", "theirs", "--runtime", "runc"]).ok();
    let sandboxes = four(&machine);
    let port = listen_everywhere();
    let world = World::with(&["169.254.169.254", "168.63.129.16", "100.100.100.200"]);
    let api = api_port(&machine);
    let theirs = other.get("pod", "theirs")["status"]["podIP"].as_str().expect("address").to_owned();
    // The addresses are reachable from where nothing is closed, so that a refusal below says something.
    let mut addresses = host_addresses();
    addresses.retain(|address| {
        let connect = format!("import socket; socket.create_connection(('{address}', {port}), 5)");
        let reached = Output::of(Command::new("python3").args(["-c", &connect])).code == 0;
        // The gateway of another test's installation may go at any time.
        assert!(reached || !host_addresses().contains(address), "{address} is closed to the host itself");
        reached
    });
    sh("python3 -c \"import socket; socket.create_connection(('169.254.169.254', 80), 5)\"");
    for (driver, name) in &sandboxes {
        let mut targets: Vec<Value> =
            addresses.iter().flat_map(|a| [json!([a, port]), json!([a, api])]).collect();
        targets.extend(["169.254.169.254", "168.63.129.16", "100.100.100.200"].map(|a| json!([a, 80])));
        // Inside, 127.0.0.1 is the sandbox itself: nothing listens there.
        let found = inside(&machine, name, &json!({ "do": "connect", "connect": targets }));
        let open: Vec<_> = found
            .as_object()
            .expect("answers")
            .iter()
            .filter(|(_, said)| said.as_str().is_some_and(|s| s.starts_with("open")))
            .collect();
        assert!(open.is_empty(), "{name} reaches {open:?}");
        let found = inside(&machine, name, &json!({ "do": "connect", "connect": [[OUTSIDE, 80]] }));
        let expected = format!("open {HOST}");
        assert_eq!(found[format!("{OUTSIDE}:80")], expected, "{driver}: the outside sees the host's address");
        let (own, foreign) = (gateway(&machine), gateway(&other));
        let asked = json!({ "do": "ask", "name": "plain-runc", "servers": [own, foreign] });
        assert_eq!(inside(&machine, name, &asked), json!({ own: true, foreign: false }), "{name}: DNS");
        let lookup = "import socket; print(socket.gethostbyname('plain-gvisor'))";
        let address =
            machine.get("pod", "plain-gvisor")["status"]["podIP"].as_str().expect("address").to_owned();
        assert_eq!(
            machine.kubectl(&["exec", name, "-q", "--", "python3", "-c", lookup]).ok().trim(),
            address
        );
        let found = inside(&machine, name, &json!({ "do": "connect", "connect": [[theirs, 80]] }));
        let said = found.to_string();
        assert!(said.contains("TimeoutError"), "{name} reaches another installation's sandbox: {said}");
    }
    drop(world);
    {
        // The same when the metadata service's address is one of the host's own.
        let _metadata = OwnAddress::add("169.254.169.254");
        listen_at("169.254.169.254", 80);
        sh("python3 -c \"import socket; socket.create_connection(('169.254.169.254', 80), 5)\"");
        for (_, name) in &sandboxes {
            let found =
                inside(&machine, name, &json!({ "do": "connect", "connect": [["169.254.169.254", 80]] }));
            assert!(found.to_string().contains("closed"), "{name}: {found}");
        }
    }
    other.purge();
    machine.purge();
}

fn api_port(machine: &Machine) -> u16 {
    let text = std::fs::read_to_string(machine.data().join("up.json")).expect("up.json");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    let server = record["server"].as_str().expect("server");
    server.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

/// The address of an installation's DNS.
fn gateway(machine: &Machine) -> String {
    let text = std::fs::read_to_string(machine.data().join("network.json")).expect("network.json");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    let subnet = record["subnet"].as_str().expect("subnet").to_owned();
    let base =
        subnet.split('/').next().and_then(|base| base.rsplit_once('.')).expect("an address").0.to_owned();
    format!("{base}.1")
}

/// Sends a datagram from a source address in a Pod's namespace, with more power than anything inside has.
fn send(namespace: &str, source: &str, to: &str) {
    let program = format!(
        "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('{source}', 0)); s.sendto(b'x', ('{to}', 7))"
    );
    sh(&format!("nsenter --net={namespace} python3 -c \"{program}\""));
}

#[test]
fn a_forged_source_address_goes_nowhere() {
    let machine = Machine::up();
    let world = World::with(&[]);
    for name in ["forger", "neighbour"] {
        machine.cli(&["create", name, "--runtime", "runc"]).ok();
    }
    let pod = |name: &str| machine.get("pod", name);
    let uid = pod("forger")["metadata"]["uid"].as_str().expect("uid").to_owned();
    let address = |name: &str| pod(name)["status"]["podIP"].as_str().expect("address").to_owned();
    let (own, neighbour, stranger) = (address("forger"), address("neighbour"), "192.0.2.77".to_owned());
    let namespace = format!("/run/agent-sandbox/{}/netns/{uid}", machine.residue().id());
    for forged in [&neighbour, &stranger] {
        sh(&format!("nsenter --net={namespace} ip addr add {forged}/32 dev lo"));
        send(&namespace, forged, OUTSIDE);
    }
    thread::sleep(Duration::from_millis(300));
    assert_eq!(world.sources().trim(), "", "nothing forged arrives");
    send(&namespace, &own, OUTSIDE);
    eventually("its own datagram arrives", || world.sources().trim() == HOST);
    drop(world);
    machine.purge();
}

/// Whether somebody who is nobody on the host can do this.
fn nobody_can(script: &str) -> bool {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("setpriv").success()
}

#[test]
fn other_users_of_the_machine_reach_nothing_of_a_sandbox() {
    let machine = Machine::up();
    let data = machine.data();
    // The test's own directory is closed; an installation's place is not.
    let parent = data.parent().expect("parent");
    std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755)).expect("mode");
    assert!(nobody_can(&format!("test -x {}", data.display())), "names in the data directory can be walked");
    for driver in DRIVERS {
        let name = format!("setuid-{driver}");
        machine.cli(&["create", &name, "--runtime", driver]).ok();
        let script = "cp /usr/bin/id /root/setuid-id && chmod 4755 /root/setuid-id && chmod 755 /root";
        machine.kubectl(&["exec", &name, "-q", "--", "sh", "-c", script]).ok();
    }
    let find = format!("find {} -name setuid-id -perm -4000 -uid 0", data.display());
    let found = sh(&find);
    let files: Vec<&str> = found.lines().collect();
    assert_eq!(files.len(), 2, "the programs are on disk, root's and set-user-id: {found}");
    for file in files {
        assert!(!nobody_can(&format!("test -e {file}")), "{file} is in reach");
    }
    for name in ["pods", "volumes", "roots", "trash", "images", "pki", "store"] {
        let dir = data.join(name);
        assert!(!nobody_can(&format!("ls {0} || cd {0}", dir.display())), "{name} is open");
    }
    let run = format!("/run/agent-sandbox/{}/volumes", machine.residue().id());
    assert!(!nobody_can(&format!("ls {run} || cd {run}")));
    machine.purge();
}

#[test]
fn directories_of_an_older_installation_are_closed_at_the_start() {
    let machine = Machine::up();
    machine.kill();
    for name in ["pods", "volumes", "roots"] {
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(machine.data().join(name), open).expect("mode");
    }
    machine.start().ok();
    for name in ["pods", "volumes", "roots"] {
        let mode = std::fs::metadata(machine.data().join(name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
    machine.purge();
}
