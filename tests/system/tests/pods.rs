//! What a Pod may ask for, and gets: judged through kubectl, from outside.

use serde_json::{Value, json};
use std::{io::Write as _, process::Stdio, time::Instant};
use system::{
    Machine, Output, eventually,
    manifest::{IMAGE, container, idle, pod, with},
};

const RUNTIMES: [&str; 2] = ["runc", "gvisor"];

fn delete(machine: &Machine, name: &str) {
    machine.kubectl(&["delete", "pod", name, "--timeout=60s"]).ok();
}

/// The status of the Pod's first container.
fn status(machine: &Machine, name: &str) -> Value {
    machine.get("pod", name)["status"]["containerStatuses"][0].clone()
}

#[test]
fn init_containers_run_in_order_before_several_containers_that_share_the_pod() {
    let machine = Machine::shared();
    for runtime in RUNTIMES {
        let name = format!("several-{runtime}");
        let mounts = json!({"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]});
        let step = |name: &str, script: &str| with(container(name, script), mounts.clone());
        let serve = "cd /shared && exec python3 -m http.server 8000 --bind 127.0.0.1";
        let spec = json!({
            "runtimeClassName": runtime,
            "volumes": [{"name": "shared", "emptyDir": {}}],
            "initContainers": [step("first", "echo 1 >> /shared/order"), step("second", "echo 2 >> /shared/order")],
            "containers": [step("web", serve), with(idle("side"), mounts.clone())],
        });
        machine.ready_pod(&pod(&name, spec));
        let in_side = ["exec", &name, "-c", "side", "--", "python3", "-c"];
        let fetch =
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/order').read().decode())";
        let mut seen = String::new();
        eventually("one container reaches the other on 127.0.0.1", || {
            let output = machine.kubectl(&[&in_side[..], &[fetch]].concat());
            seen = output.out;
            output.code == 0
        });
        assert_eq!(seen.trim(), "1\n2", "{runtime}");
        let ready = machine.kubectl(&["get", "pod", &name, "--no-headers"]).ok();
        assert!(ready.contains("2/2"), "{ready}");
        delete(&machine, &name);
    }
}

#[test]
fn a_failing_init_container_is_shown_and_nothing_else_starts() {
    let machine = Machine::shared();
    let spec = json!({
        "restartPolicy": "Never", "initContainers": [container("setup", "echo no; exit 9")],
        "containers": [idle("work")],
    });
    machine.create(&pod("init-fails", spec)).ok();
    machine.wait_for("pod", "init-fails", "/status/phase", &json!("Failed"));
    // kubectl's word for it.
    assert!(machine.kubectl(&["get", "pod", "init-fails"]).ok().contains("Init:Error"));
    assert_eq!(machine.kubectl(&["logs", "init-fails", "-c", "setup"]).ok(), "no\n");
    delete(&machine, "init-fails");
}

#[test]
fn readiness_of_each_kind_decides_ready() {
    let machine = Machine::shared();
    let often = |probe: Value| with(json!({"periodSeconds": 1}), probe);
    let serve = "mkdir -p /w && cd /w && exec python3 -m http.server 8080";
    let cases = [
        ("by-http", often(json!({"httpGet": {"path": "/ok", "port": 8080}})), "echo yes > /w/ok"),
        ("by-exec", often(json!({"exec": {"command": ["test", "-e", "/w/ok"]}})), "echo yes > /w/ok"),
        (
            "by-tcp",
            often(json!({"tcpSocket": {"port": 9090}})),
            "(cd /w; setsid python3 -m http.server 9090 >/dev/null 2>&1 &)",
        ),
    ];
    for (name, probe, remedy) in cases {
        let probed = with(container("web", serve), json!({"readinessProbe": probe}));
        machine.create(&pod(name, json!({"containers": [probed]}))).ok();
        machine.wait_for("pod", name, "/status/phase", &json!("Running"));
        eventually("the failing probe is in an event", || {
            machine.events(name).contains("Readiness probe failed")
        });
        assert_eq!(status(&machine, name)["ready"], json!(false), "{name}");
        machine.sh(name, remedy);
        machine.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=30s"]).ok();
        machine.kubectl(&["delete", "pod", name, "--wait=false"]).ok();
    }
}

#[test]
fn liveness_restarts_and_startup_holds_it_back() {
    let machine = Machine::shared();
    let alive =
        json!({"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1});
    let started = with(alive.clone(), json!({"failureThreshold": 30}));
    let script = "echo run; sleep 3; touch /tmp/alive; trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let probed = with(container("work", script), json!({"livenessProbe": alive, "startupProbe": started}));
    machine.create(&pod("lively", json!({"containers": [probed]}))).ok();
    machine.wait_for("pod", "lively", "/status/containerStatuses/0/started", &json!(true));
    assert_eq!(status(&machine, "lively")["restartCount"], 0, "the slow start was not taken for death");
    machine.sh("lively", "rm /tmp/alive");
    machine.wait_for("pod", "lively", "/status/containerStatuses/0/restartCount", &json!(1));
    assert!(machine.events("lively").contains("Liveness probe failed"), "{}", machine.events("lively"));
    machine.kubectl(&["delete", "pod", "lively", "--wait=false"]).ok();
}

#[test]
fn a_crashing_container_is_restarted_with_growing_pauses_and_keeps_its_last_words() {
    let machine = Machine::shared();
    machine.create(&pod("crash", json!({"containers": [container("work", "echo last words; exit 5")]}))).ok();
    let reason = "/status/containerStatuses/0/state/waiting/reason";
    machine.wait_for("pod", "crash", reason, &json!("CrashLoopBackOff"));
    let status = status(&machine, "crash");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 5, "{status}");
    assert!(machine.events("crash").contains("Back-off restarting failed container work"));
    eventually("there is a previous run", || status_restarts(&machine, "crash") >= 1);
    assert_eq!(machine.kubectl(&["logs", "crash", "--previous"]).ok(), "last words\n");
    delete(&machine, "crash");
}

fn status_restarts(machine: &Machine, name: &str) -> u64 {
    status(machine, name)["restartCount"].as_u64().unwrap_or(0)
}

#[test]
fn deletion_runs_the_hook_and_then_gives_the_grace_period() {
    let machine = Machine::shared();
    let script = "trap 'echo got TERM; sleep 1; echo tidied' TERM; echo up; while :; do sleep 0.1; done";
    let hook =
        json!({"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1"]}}}});
    let spec =
        json!({"terminationGracePeriodSeconds": 4, "containers": [with(container("work", script), hook)]});
    machine.ready_pod(&pod("graceful", spec));
    let log = machine
        .kubectl_command()
        .args(["logs", "-f", "graceful"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("logs");
    let started = Instant::now();
    delete(&machine, "graceful");
    let took = started.elapsed().as_secs_f64();
    assert!((3.5..20.0).contains(&took), "a process that will not end is killed after the 4 s: {took}");
    let seen = String::from_utf8(log.wait_with_output().expect("logs").stdout).expect("text");
    assert_eq!(seen, "up\nhook\ngot TERM\ntidied\n");
}

#[test]
fn config_maps_secrets_and_the_downward_api_come_as_files_and_environment() {
    let machine = Machine::shared();
    machine.kubectl(&["create", "configmap", "settings", "--from-literal=color=blue"]).ok();
    machine.kubectl(&["create", "secret", "generic", "keys", "--from-literal=token=s3cret"]).ok();
    let env = json!([
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
        {"name": "BOTH", "value": "$(COLOR)-$(POD)"},
    ]);
    let volumes = json!([
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "about", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]);
    let mounts: Vec<Value> = ["settings", "keys", "about", "disk", "memory"]
        .map(|name| json!({"name": name, "mountPath": format!("/{name}")}))
        .to_vec();
    for runtime in RUNTIMES {
        let name = format!("config-{runtime}");
        let more = json!({"env": env, "volumeMounts": mounts, "resources": {"limits": {"memory": "256Mi"}}});
        let spec = json!({"runtimeClassName": runtime, "volumes": volumes, "containers": [with(idle("work"), more)]});
        let mut object = pod(&name, spec);
        object["metadata"]["labels"] = json!({"team": "rl"});
        machine.ready_pod(&object);
        let ip = machine.get("pod", &name)["status"]["podIP"].as_str().expect("ip").to_owned();
        let seen = machine.sh(&name, "echo $COLOR $TOKEN $POD $IP $LIMIT $BOTH");
        assert_eq!(seen.trim(), format!("blue s3cret {name} {ip} 268435456 blue-{name}"));
        assert_eq!(machine.sh(&name, "cat /settings/color /keys/token"), "blues3cret", "{runtime}");
        assert_eq!(machine.sh(&name, "cat /about/labels").trim(), r#"team="rl""#);
        assert!(machine.kubectl(&["exec", &name, "--", "sh", "-c", "echo x > /settings/color"]).code != 0);
        assert_eq!(machine.sh(&name, "echo d > /disk/f && cat /disk/f"), "d\n");
        let fill = machine.kubectl(&["exec", &name, "--", "sh", "-c", "head -c 4M /dev/zero > /memory/f"]);
        assert!(
            fill.code != 0 && fill.err.contains("No space left"),
            "{runtime}: memory is capped: {fill:?}"
        );
        machine.kubectl(&["delete", "pod", &name, "--wait=false"]).ok();
    }
}

#[test]
fn a_missing_config_map_is_waited_for_and_named() {
    let machine = Machine::shared();
    let env = json!({"envFrom": [{"configMapRef": {"name": "later"}}]});
    machine.create(&pod("waits", json!({"containers": [with(idle("work"), env)]}))).ok();
    let waiting = "/status/containerStatuses/0/state/waiting/reason";
    let seen = machine.wait_for("pod", "waits", waiting, &json!("CreateContainerConfigError"));
    let message = seen["status"]["containerStatuses"][0]["state"]["waiting"]["message"].clone();
    assert_eq!(message, json!(r#"configmap "later" not found"#), "the kubelet's words");
    machine.kubectl(&["create", "configmap", "later", "--from-literal=A=b"]).ok();
    machine.kubectl(&["wait", "--for=condition=Ready", "pod/waits", "--timeout=60s"]).ok();
    assert_eq!(machine.sh("waits", "echo $A"), "b\n");
    delete(&machine, "waits");
}

#[test]
fn more_memory_than_the_limit_is_told_as_oom_killed() {
    let machine = Machine::shared();
    for runtime in RUNTIMES {
        let name = format!("oom-{runtime}");
        let eat = json!({
            "command": ["python3", "-c", "x = bytearray(400 << 20)\nprint(len(x))"],
            "resources": {"limits": {"memory": "128Mi"}},
        });
        let spec = json!({"runtimeClassName": runtime, "restartPolicy": "Never", "containers": [with(idle("work"), eat)]});
        machine.create(&pod(&name, spec)).ok();
        machine.wait_for("pod", &name, "/status/phase", &json!("Failed"));
        let ended = status(&machine, &name)["state"]["terminated"].clone();
        assert_eq!(
            (&ended["reason"], &ended["exitCode"]),
            (&json!("OOMKilled"), &json!(137)),
            "{runtime}: {ended}"
        );
        delete(&machine, &name);
    }
}

#[test]
fn logs_follow_tail_and_keep_time() {
    let machine = Machine::shared();
    let script = "for i in 1 2 3 4 5; do echo line $i; done; sleep 2; echo late; sleep 1";
    machine
        .create(&pod("talks", json!({"restartPolicy": "Never", "containers": [container("work", script)]})))
        .ok();
    machine.wait_for("pod", "talks", "/status/phase", &json!("Running"));
    assert_eq!(machine.kubectl(&["logs", "talks", "--tail=2"]).ok(), "line 4\nline 5\n");
    let followed = machine.kubectl(&["logs", "-f", "talks"]).ok();
    assert_eq!(followed, "line 1\nline 2\nline 3\nline 4\nline 5\nlate\n", "followed to the end");
    let stamped = machine.kubectl(&["logs", "talks", "--timestamps", "--tail=1"]).ok();
    assert!(stamped.starts_with("20") && stamped.ends_with("Z late\n"), "{stamped}");
    assert_eq!(machine.kubectl(&["logs", "talks", "--limit-bytes=6"]).ok(), "line 1");
    delete(&machine, "talks");
}

/// Until the terminal has a size, at most five seconds.
const WAIT_FOR_SIZE: &str =
    r#"i=0; while [ "$(stty size)" = "0 0" ] && [ $i -lt 100 ]; do i=$((i+1)); sleep 0.05; done"#;

#[test]
fn exec_has_a_terminal_standard_input_and_exit_codes() {
    let machine = Machine::shared();
    for runtime in RUNTIMES {
        let name = format!("exec-{runtime}");
        machine.ready_pod(&pod(&name, json!({"runtimeClassName": runtime, "containers": [idle("work")]})));
        // script(1) gives kubectl a terminal of its own. kubectl tells the size after the command has begun, here as in Kubernetes.
        let kubectl = machine.kubectl_command();
        let line = format!(
            "{} --context agent-sandbox exec -it {name} -- sh -c '{WAIT_FOR_SIZE}; test -t 0 && test -t 1 && stty size; exit 4'",
            kubectl.get_program().to_string_lossy()
        );
        let mut script = machine.tool("script");
        script.args(["-qec", &format!("stty rows 33 cols 77; {line}"), "/dev/null"]);
        let seen = Output::of(&mut script);
        assert_eq!(seen.code, 4, "{seen:?}");
        assert!(seen.out.contains("33 77"), "{runtime}: the terminal has the size of the caller's: {seen:?}");

        let mut wc = machine.kubectl_command();
        wc.args(["exec", "-i", &name, "--", "wc", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut wc = wc.spawn().expect("kubectl");
        wc.stdin.take().expect("stdin").write_all(&vec![b'x'; 300_000]).expect("write");
        let counted = wc.wait_with_output().expect("kubectl").stdout;
        assert_eq!(String::from_utf8_lossy(&counted).trim(), "300000", "{runtime}");
        assert_eq!(machine.kubectl(&["exec", &name, "--", "sh", "-c", "kill -9 $$"]).code, 137, "{runtime}");
        machine.kubectl(&["delete", "pod", &name, "--wait=false"]).ok();
    }
}

#[test]
fn kubectl_cp_brings_files_in_and_out() {
    let machine = Machine::shared();
    for runtime in RUNTIMES {
        let name = format!("copy-{runtime}");
        machine.ready_pod(&pod(&name, json!({"runtimeClassName": runtime, "containers": [idle("work")]})));
        let (from, to) = (
            machine.scratch().join(format!("in-{runtime}")),
            machine.scratch().join(format!("out-{runtime}")),
        );
        let bytes: Vec<u8> = (0..2_000_000_u32).map(|i| u8::try_from(i * 7 % 251).expect("byte")).collect();
        std::fs::write(&from, &bytes).expect("write");
        machine.kubectl(&["cp", &from.display().to_string(), &format!("{name}:/tmp/f")]).ok();
        machine.kubectl(&["cp", &format!("{name}:/tmp/f"), &to.display().to_string()]).ok();
        assert!(std::fs::read(&to).expect("read") == bytes, "{runtime}: the copy is the same");
        machine.kubectl(&["delete", "pod", &name, "--wait=false"]).ok();
    }
}

#[test]
fn names_of_services_resolve_to_their_pods() {
    let machine = Machine::shared();
    let web = container("web", "cd /tmp && exec python3 -m http.server 8080");
    let mut object =
        pod("web-0", json!({"containers": [with(web, json!({"ports": [{"containerPort": 8080}]}))]}));
    object["metadata"]["labels"] = json!({"app": "web"});
    machine.ready_pod(&object);
    machine.kubectl(&["expose", "pod", "web-0", "--name=web", "--port=8080", "--cluster-ip=None"]).ok();
    let address = machine.get("pod", "web-0")["status"]["podIP"].as_str().expect("ip").to_owned();
    for runtime in RUNTIMES {
        let asker = format!("asker-{runtime}");
        machine.ready_pod(&pod(&asker, json!({"runtimeClassName": runtime, "containers": [idle("work")]})));
        for name in ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"] {
            let lookup = format!("python3 -c \"import socket; print(socket.gethostbyname('{name}'))\"");
            let mut seen = String::new();
            eventually(&format!("{name} resolves in {runtime}"), || {
                seen = machine.kubectl(&["exec", &asker, "--", "sh", "-c", &lookup]).out;
                !seen.is_empty()
            });
            assert_eq!(seen.trim(), address, "{name}");
        }
        let fetch = "python3 -c \"import urllib.request as u; print(u.urlopen('http://web:8080/').status)\"";
        assert_eq!(machine.sh(&asker, fetch), "200\n", "{runtime}");
        machine.kubectl(&["delete", "pod", &asker, "--wait=false"]).ok();
    }
    machine.kubectl(&["delete", "pod,service", "-l", "app=web", "--wait=false"]).ok();
}

#[test]
fn an_image_name_of_the_built_in_image_needs_no_registry() {
    let machine = Machine::shared();
    let spec =
        json!({"restartPolicy": "Never", "containers": [{"name": "w", "image": IMAGE, "command": ["true"]}]});
    machine.create(&pod("built-in", spec)).ok();
    machine.wait_for("pod", "built-in", "/status/phase", &json!("Succeeded"));
    assert!(machine.kubectl(&["get", "pod", "built-in"]).ok().contains("Completed"));
    delete(&machine, "built-in");
}
