//! The same promises for containers of runc and of gVisor's runsc, whose network stack is its own.
use super::names::serve;
use super::world::*;
use net::{Attachment, Network};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A container of one runtime on the test's machine.
struct Container<'a> {
    runtime: &'a str,
    id: String,
    root: PathBuf,
    netns: &'a Path,
}

impl Container<'_> {
    fn command(&self, before: &str, arguments: &str) -> Command {
        let flags =
            if self.runtime == "runsc" { "--network=sandbox --platform=systrap --overlay2=none" } else { "" };
        // Newer kernels let runsc start in a namespace only where it does not find this directory.
        let hide = if self.runtime == "runsc" { "mount -t tmpfs none /proc/sys/net/core &&" } else { "" };
        let script =
            format!("{hide} {before} {} --root {} {flags} {arguments}", self.runtime, self.root.display());
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.netns.display())).args(["unshare", "-m", "sh", "-c", &script]);
        command
    }

    fn start(&self, bundle: &Path) {
        let log = bundle.join(format!("{}.log", self.id));
        let arguments = format!(
            "run --detach --bundle {} {} </dev/null >{} 2>&1",
            bundle.display(),
            self.id,
            log.display()
        );
        let status = self.command("", &arguments).status().unwrap();
        assert!(status.success(), "{}", fs::read_to_string(log).unwrap());
    }

    /// Runs a shell script inside.
    fn exec(&self, script: &str) -> Result<String, String> {
        let output =
            self.command("timeout 10", &format!("exec {} bash -c '{script}'", self.id)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn fetch(&self, to: Ipv4Addr, port: u16) -> Result<String, String> {
        self.exec(&format!("exec 3<>/dev/tcp/{to}/{port} && cat <&3"))
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let flag = if self.runtime == "runsc" { "-force" } else { "-f" };
        self.command("", &format!("delete {flag} {}", self.id)).output().ok();
    }
}

/// A bundle that presents the host's programs and listens on port 8000.
fn bundle(dir: &Path, pod: &Attachment, resolv_conf: &str) -> PathBuf {
    let bundle = dir.join(format!("bundle-{}", pod.slot));
    let roots = ["proc", "dev", "tmp", "usr", "bin", "lib", "lib64", "etc"];
    roots.iter().for_each(|d| fs::create_dir_all(bundle.join("rootfs").join(d)).unwrap());
    fs::write(bundle.join("rootfs/etc/resolv.conf"), resolv_conf).unwrap();
    fs::write(bundle.join("rootfs/etc/nsswitch.conf"), "hosts: files dns\n").unwrap();
    let serve = "use IO::Socket::INET; $s=IO::Socket::INET->new(LocalPort=>8000,Listen=>5) or die; while($c=$s->accept){print $c \"hello \".$c->peerhost; close $c}";
    let bind = |from: &str, to: &str| serde_json::json!({"destination": to, "source": from, "type": "bind", "options": ["rbind", "ro"]});
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["perl", "-e", serve], "env": ["PATH=/usr/bin:/bin"]},
        "root": {"path": "rootfs", "readonly": true},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            bind("/usr", "/usr"), bind("/usr/bin", "/bin"), bind("/usr/lib", "/lib"), bind("/usr/lib64", "/lib64"),
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
            {"type": "network", "path": pod.netns}]},
    });
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    bundle
}

fn container<'a>(world: &World, network: &Network, pod: &'a Attachment, runtime: &'a str) -> Container<'a> {
    let bundle = bundle(world.dir.path(), pod, &network.resolv_conf("default"));
    let id = format!("{}-{}", world.config.id, pod.slot);
    let container = Container { runtime, id, root: world.dir.path().join(runtime), netns: &pod.netns };
    container.start(&bundle);
    container
}

fn eventually<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let mut last = attempt();
    for _ in 0..20 {
        if last.is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
        last = attempt();
    }
    last.unwrap()
}

fn keeps_its_promises(runtime: &'static str) {
    machine(async move |world| {
        let network = world.open().await;
        let shutdown = serve(&network);
        let (plain, other) = two(&network).await;
        let pod = network.attach(pod("c")).await.unwrap();
        network.zone().set("default", "my-sandbox", vec![other.address]);
        listen(Some(&world.outside), OUTSIDE, 80);
        listen(Some(&plain.netns), plain.address, 8000);
        listen(None, Ipv4Addr::UNSPECIFIED, 6443);
        let inside = format!("nsenter --net={}", world.outside.display());
        sh(&format!(
            "{inside} ip addr add 169.254.169.254/32 dev lo && ip route add 169.254.169.254 via {OUTSIDE}"
        ));
        listen(Some(&world.outside), Ipv4Addr::new(169, 254, 169, 254), 80);

        let first = container(&world, &network, &pod, runtime);
        let second = container(&world, &network, &other, runtime);
        let hello = format!("hello {}", plain.address);
        eventually(|| fetch(&plain.netns, pod.address, 8000).map_err(|e| e.to_string()));
        assert_eq!(fetch(&plain.netns, pod.address, 8000).unwrap(), hello);
        assert_eq!(first.fetch(plain.address, 8000).unwrap(), format!("hello {}", pod.address));
        assert_eq!(
            eventually(|| first.fetch(other.address, 8000)),
            format!("hello {}", pod.address),
            "container to container"
        );
        assert_eq!(second.fetch(OUTSIDE, 80).unwrap(), format!("hello {HOST}"));
        let names =
            first.exec("getent ahostsv4 my-sandbox; getent ahostsv4 my-sandbox.default.svc.cluster.local");
        assert_eq!(names.unwrap().matches(&other.address.to_string()).count(), 6);
        for closed in [HOST, pod.gateway, Ipv4Addr::LOCALHOST] {
            first.fetch(closed, 6443).unwrap_err();
        }
        first.fetch(Ipv4Addr::new(169, 254, 169, 254), 80).unwrap_err();
        shutdown.cancel();
    });
}

#[test]
fn runc_containers_keep_the_promises_of_the_network() {
    keeps_its_promises("runc");
}

#[test]
fn gvisor_containers_keep_the_promises_of_the_network() {
    keeps_its_promises("runsc");
}

#[test]
fn a_gvisor_pod_has_its_network_again_after_a_restart() {
    machine(async |world| {
        let network = world.open().await;
        let (plain, other) = two(&network).await;
        for _ in 0..2 {
            // gVisor moved the addresses into itself the first time.
            network.attach(pod("b")).await.unwrap();
            let container = container(&world, &network, &other, "runsc");
            eventually(|| fetch(&plain.netns, other.address, 8000).map_err(|e| e.to_string()));
            drop(container);
        }
    });
}
