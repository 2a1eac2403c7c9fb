//! port-forward, exec, cp, attach and proxy by an unmodified kubectl, in each protocol that it speaks.

use serde_json::json;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};
use system::{
    Machine, Output, eventually,
    manifest::{IMAGE, container, pod, with},
};

const RUNTIMES: [&str; 2] = ["runc", "gvisor"];
const SERVER: &str = include_str!("../../../services/node/tests/server.py");

/// What kubectl is told to speak: SPDY in WebSockets and v5, its default; or SPDY alone.
const TRANSPORTS: [&str; 2] = ["true", "false"];

/// A Pod of this runtime in which the server listens, under the label `app`.
fn served(machine: &Machine, name: &str, runtime: &str) {
    let ports = json!([{"containerPort": 8080, "name": "web"}]);
    let server = json!({"name": "web", "image": IMAGE, "command": ["python3", "-c", SERVER], "ports": ports});
    let mut object = pod(name, json!({"runtimeClassName": runtime, "containers": [server]}));
    object["metadata"]["labels"] = json!({"app": name});
    machine.ready_pod(&object);
    eventually("the server is up", || machine.kubectl(&["logs", name]).ok() == "up\n");
}

fn kubectl(machine: &Machine, websockets: &str) -> Command {
    let mut command = machine.kubectl_command();
    command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
    command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets);
    command
}

/// A running `kubectl port-forward`, killed when dropped.
struct Forward {
    child: Child,
    local: u16,
}

// === impl Forward ===

impl Forward {
    /// Starts it for one port, and waits for the local port that it picks.
    fn start(machine: &Machine, websockets: &str, what: &str, port: &str) -> Self {
        let mut command = kubectl(machine, websockets);
        command.args(["port-forward", what, &format!(":{port}")]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("stdout")).read_line(&mut line).expect("a line");
        // `Forwarding from 127.0.0.1:40000 -> 8080`
        let local = line.split(" -> ").next().and_then(|from| from.rsplit(':').next()?.parse().ok());
        let Some(local) = local else {
            let _ = child.kill();
            panic!("{line}{:?}", child.wait_with_output());
        };
        Self { child, local }
    }

    /// Sends bytes, ends this direction if asked to, and gives all that comes back.
    fn ask(&self, bytes: &[u8], finish: bool) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.local)).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
        stream.write_all(bytes).expect("write");
        if finish {
            stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        }
        let mut back = String::new();
        stream.read_to_string(&mut back).expect("an answer and its end");
        back
    }

    fn get(&self, path: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.0\r\nHost: me\r\n\r\n").as_bytes(), false)
    }

    /// Waits until it ends by itself; what it says about it.
    fn ended(mut self) -> String {
        eventually("kubectl ends", || self.child.try_wait().expect("wait").is_some());
        let mut said = String::new();
        self.child.stderr.take().expect("stderr").read_to_string(&mut said).expect("text");
        said
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn port_forward_carries_http_several_connections_at_once_and_half_closed_ones() {
    let machine = Machine::shared();
    for runtime in RUNTIMES {
        let name = format!("forward-{runtime}");
        served(&machine, &name, runtime);
        for websockets in TRANSPORTS {
            let what = format!("{runtime}, websockets {websockets}");
            // 8081 listens on the Pod's loopback only.
            for port in ["8080", "8081"] {
                let forward = Arc::new(Forward::start(&machine, websockets, &format!("pod/{name}"), port));
                let asks = (0..10).map(|n| {
                    let forward = Arc::clone(&forward);
                    thread::spawn(move || forward.get(&format!("/{n}")))
                });
                for (n, ask) in asks.collect::<Vec<_>>().into_iter().enumerate() {
                    let answer = ask.join().expect("asked");
                    assert!(answer.ends_with(&format!("GET /{n} me None")), "{what}, {port}: {answer}");
                }
            }
            let forward = Forward::start(&machine, websockets, &format!("pod/{name}"), "8082");
            assert_eq!(forward.ask(&vec![b'x'; 1_000_000], true), "1000000 bytes\n", "{what}");
        }
        machine.kubectl(&["delete", "pod", &name, "--wait=false"]).ok();
    }
}

/// Fact: kubectl takes what stands on the error stream for fatal, and ends.
#[test]
fn a_port_where_nobody_listens_is_named() {
    let machine = Machine::shared();
    for runtime in RUNTIMES {
        let name = format!("closed-{runtime}");
        served(&machine, &name, runtime);
        for websockets in TRANSPORTS {
            let forward = Forward::start(&machine, websockets, &format!("pod/{name}"), "9");
            assert_eq!(forward.get("/"), "");
            let said = forward.ended();
            let want = format!("error forwarding port 9 to pod {name}, uid ");
            assert!(said.contains(&want), "{runtime}, websockets {websockets}: {said}");
            assert!(said.contains("dial tcp4 127.0.0.1:9: connect: connection refused"), "{said}");
        }
        machine.kubectl(&["delete", "pod", &name, "--wait=false"]).ok();
    }
}

#[test]
fn exec_and_cp_work_in_each_protocol() {
    let machine = Machine::shared();
    for runtime in RUNTIMES {
        let name = format!("exec-{runtime}");
        served(&machine, &name, runtime);
        for websockets in TRANSPORTS {
            let what = format!("{runtime}, websockets {websockets}");
            let mut exec = kubectl(&machine, websockets);
            let seen =
                Output::of(exec.args(["exec", &name, "--", "sh", "-c", "echo out; echo err >&2; exit 7"]));
            assert_eq!((seen.out.as_str(), seen.code), ("out\n", 7), "{what}: {seen:?}");
            assert!(seen.err.starts_with("err\n"), "{what}: {seen:?}");

            let mut wc = kubectl(&machine, websockets);
            wc.args(["exec", "-i", &name, "--", "wc", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut wc = wc.spawn().expect("kubectl");
            wc.stdin.take().expect("stdin").write_all(&vec![b'x'; 300_000]).expect("write");
            let counted = wc.wait_with_output().expect("kubectl").stdout;
            assert_eq!(String::from_utf8_lossy(&counted).trim(), "300000", "{what}");

            let file = |end: &str| machine.scratch().join(format!("{runtime}-{websockets}-{end}"));
            let bytes: Vec<u8> =
                (0..2_000_000_u32).map(|i| u8::try_from(i * 7 % 251).expect("byte")).collect();
            std::fs::write(file("in"), &bytes).expect("write");
            for (from, to) in [
                (file("in").display().to_string(), format!("{name}:/tmp/f")),
                (format!("{name}:/tmp/f"), file("out").display().to_string()),
            ] {
                Output::of(kubectl(&machine, websockets).args(["cp", &from, &to])).ok();
            }
            assert!(std::fs::read(file("out")).expect("read") == bytes, "{what}: the copy is the same");
        }
        machine.kubectl(&["delete", "pod", &name, "--wait=false"]).ok();
    }
}

#[test]
fn attach_brings_input_to_the_container_and_its_end_back() {
    let machine = Machine::shared();
    for runtime in RUNTIMES {
        for websockets in TRANSPORTS {
            let name = format!("attach-{runtime}-{websockets}");
            let more = json!({"stdin": true, "stdinOnce": true});
            let reads = with(container("work", "read line; echo got $line; cat | wc -c; exit 5"), more);
            let spec = json!({"runtimeClassName": runtime, "restartPolicy": "Never", "containers": [reads]});
            machine.ready_pod(&pod(&name, spec));
            let mut attach = kubectl(&machine, websockets);
            attach.args(["attach", "-i", "-q", &name]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut attach = attach.spawn().expect("kubectl");
            let mut stdin = attach.stdin.take().expect("stdin");
            stdin.write_all(b"hello\n").expect("write");
            stdin.write_all(&vec![b'x'; 100_000]).expect("write");
            drop(stdin);
            let seen = attach.wait_with_output().expect("kubectl");
            let out = String::from_utf8_lossy(&seen.stdout).into_owned();
            assert_eq!(out, "got hello\n100000\n", "{name}");
            machine.wait_for_pod(&name, "/status/phase", &json!("Failed"));
            machine.kubectl(&["delete", "pod", &name, "--wait=false"]).ok();
        }
    }
}

#[test]
fn pods_and_services_are_proxied_to() {
    let machine = Machine::shared();
    for runtime in RUNTIMES {
        let name = format!("proxied-{runtime}");
        served(&machine, &name, runtime);
        machine.kubectl(&["expose", "pod", &name, "--port=80", "--target-port=8080"]).ok();
        let raw =
            |path: &str| machine.kubectl(&["get", "--raw", &format!("/api/v1/namespaces/default/{path}")]);
        for id in [format!("pods/{name}"), format!("pods/http:{name}:8080"), format!("services/{name}:80")] {
            eventually(&format!("{id} is there"), || raw(&format!("{id}/proxy/")).code == 0);
            let answer = raw(&format!("{id}/proxy/a/b?c=d")).ok();
            assert!(answer.starts_with("GET /a/b?c=d "), "{id}: {answer}");
        }
        let refused = raw(&format!("pods/{name}:9/proxy/"));
        assert_ne!(refused.code, 0);
        assert!(refused.err.contains("error trying to reach service: dial tcp"), "{refused:?}");
        let forward = Forward::start(&machine, "true", &format!("service/{name}"), "80");
        assert!(forward.get("/through").ends_with("GET /through me None"), "port-forward to a service");
        machine.kubectl(&["delete", "pod,service", "-l", &format!("app={name}"), "--wait=false"]).ok();
    }
}

#[test]
fn a_killed_client_leaves_nothing_behind() {
    let machine = Machine::up();
    served(&machine, "left", "gvisor");
    let descriptors = || {
        let path = format!("/proc/{}/fd", machine.pid());
        std::fs::read_dir(path).expect("the agent runs").count()
    };
    let before = descriptors();
    for websockets in TRANSPORTS {
        let forward = Forward::start(&machine, websockets, "pod/left", "8082");
        let held: Vec<TcpStream> =
            (0..20).map(|_| TcpStream::connect(("127.0.0.1", forward.local)).expect("connect")).collect();
        eventually("they are through", || descriptors() > before + 15);
        drop(forward);
        drop(held);
        eventually("all is closed", || descriptors() <= before + 3);
    }
    machine.purge();
}
