//! A host for one test.

use k8s_openapi::api::core::v1::Pod;
use podspec::{Files, IdRange, Image, Inputs, Isolation, Policy, Role, RootBind, Sources, Volume};
use runtime::{
    Config, Container, Driver, ExecExit, ExecRequest, Log, Request, RootFs, Runtimes, container_id,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::io::AsyncReadExt as _;

/// Both drivers.
pub(crate) const DRIVERS: [Driver; 2] = [Driver::Runc, Driver::Runsc];

/// First host id of test sandboxes.
pub(crate) const BASE: u32 = 0x7000_0000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A run directory, a network namespace, a root file system and the runtimes.
pub(crate) struct Host {
    pub(crate) runtimes: Runtimes,
    pub(crate) dir: PathBuf,
    pub(crate) netns: String,
    pub(crate) instance: String,
    pub(crate) volumes: BTreeMap<String, Volume>,
}

/// The static supervisor, built once.
pub(crate) fn supervisor() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let target = "x86_64-unknown-linux-gnu";
            let status = Command::new(env!("CARGO"))
                .args(["build", "-q", "-p", "supervisor", "--profile", "supervisor", "--target", target])
                .env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static")
                .current_dir(&root)
                .status()
                .expect("cargo runs");
            assert!(status.success(), "the supervisor builds");
            let base =
                std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
            base.join(target).join("supervisor/supervisor").canonicalize().expect("built")
        })
        .clone()
}

// === impl Host ===

impl Host {
    pub(crate) async fn new() -> Host {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let instance = format!("{:06x}", (std::process::id() << 6 | number & 63) & 0xff_ffff);
        let dir = PathBuf::from(format!("/tmp/as-runtime-{instance}"));
        Host::at(dir, instance).await
    }

    pub(crate) async fn at(dir: PathBuf, instance: String) -> Host {
        let _ = fs::remove_dir_all(&dir);
        fs::DirBuilder::new().mode(0o711).create(&dir).expect("scratch");
        // As on a machine: what is tenants' cannot be walked, neither by other users nor by the host ids of a sandbox.
        for name in ["pods", "roots"] {
            fs::DirBuilder::new().mode(0o700).create(dir.join(name)).expect("closed");
        }
        let netns = format!("as-rt-{instance}");
        ip(&["netns", "add", &netns]);
        ip(&["-n", &netns, "link", "set", "lo", "up"]);
        make_root(&dir.join("layer"));
        Host { runtimes: detect(&dir, &instance).await, dir, netns, instance, volumes: BTreeMap::new() }
    }

    /// A request for a shell script.
    pub(crate) fn script(&self, driver: Driver, script: &str) -> Request {
        self.request(driver, json!({ "command": ["/bin/sh", "-c", script] }))
    }

    pub(crate) fn request(&self, driver: Driver, container: Value) -> Request {
        self.build(driver, "app", container, &Role::Alone, false)
    }

    pub(crate) fn with_init(&self, driver: Driver, container: Value) -> Request {
        self.build(driver, "app", container, &Role::Alone, true)
    }

    /// Builds a request the way the node agent does.
    pub(crate) fn build(
        &self,
        driver: Driver,
        name: &str,
        mut container: Value,
        role: &Role,
        init: bool,
    ) -> Request {
        let attempt = NEXT.fetch_add(1, Ordering::Relaxed);
        container["name"] = json!(name);
        let uid = "11111111-2222-3333-4444-555555555555";
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "p", "namespace": "default", "uid": uid },
            "spec": { "containers": [container] },
        }))
        .expect("pod");
        let host = self.runtimes.host();
        let netns = PathBuf::from(format!("/run/netns/{}", self.netns));
        let (image, policy, sources, files) = (
            Image { passwd: "root:x:0:0::/root:/bin/sh\n".into(), ..Image::default() },
            Policy::default(),
            Sources::default(),
            Files::default(),
        );
        let usr = [RootBind { source: "/usr".into(), target: "/usr".into() }];
        let inputs = Inputs {
            pod: &pod,
            container: &pod.spec.as_ref().expect("spec").containers[0],
            image: &image,
            host: &host,
            policy: &policy,
            sources: &sources,
            volumes: &self.volumes,
            files: &files,
            isolation: isolation(driver),
            role,
            ids: (driver == Driver::Runc).then_some(IdRange { base: BASE, size: 65_536 }),
            netns: &netns,
            hostname: "sandbox",
            pod_ips: &[],
            root_binds: &usr,
            init: (init || role == &Role::Pause).then(|| self.runtimes.init_program()),
        };
        let bundle =
            if role == &Role::Pause { podspec::build_pause(&inputs) } else { podspec::build(&inputs) };
        let bundle = bundle.expect("builds");
        let id = container_id(uid, name, attempt);
        let roots = self.dir.join("roots").join(&id);
        fs::create_dir_all(&roots).expect("roots");
        let lower = if role == &Role::Pause { Vec::new() } else { vec![self.dir.join("layer")] };
        let dir = self.dir.join("pods").join(&id);
        Request {
            log: Log { path: dir.join("log"), max_bytes: 1 << 20, max_files: 3 },
            dir,
            driver,
            role: role.clone(),
            spec: bundle.spec,
            rootfs: RootFs { lower, upper: roots.join("upper"), work: roots.join("work") },
            mounts: bundle.mounts,
            netns: Some(netns.clone()),
            net_sysctls: bundle.net_sysctls,
            ids: inputs.ids,
            tty: bundle.tty,
            stdin: bundle.stdin,
            stdin_once: bundle.stdin_once,
            create_timeout: Duration::from_secs(30),
            id,
        }
    }

    pub(crate) async fn start(&self, request: Request) -> Container {
        self.runtimes.start(request).await.expect("starts")
    }

    /// Runs a script to its end: its code and its output.
    pub(crate) async fn run(&self, request: Request) -> (i32, String) {
        let log = request.log.path.clone();
        let container = self.start(request).await;
        let exit = tokio::time::timeout(Duration::from_secs(60), container.wait())
            .await
            .expect("in time")
            .expect("exit");
        (exit.exit_code, text(&log))
    }

    /// Fails if anything of this instance is left on the host; removes what the test itself made.
    pub(crate) fn finish(self) {
        let instance = &self.instance;
        let run = self.dir.join("run").to_string_lossy().into_owned();
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = self.left();
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "left behind by {instance} ({run}): {left:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let dir = self.dir.to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        left.extend(mounts.lines().filter(|line| line.contains(&dir)).map(|line| format!("mount {line}")));
        for path in find_cgroups(&format!("agent-sandbox-{}", self.instance)) {
            let pods = fs::read_dir(path).into_iter().flatten().flatten();
            let pods = pods
                .filter(|e| e.path().is_dir())
                .flat_map(|e| fs::read_dir(e.path()).into_iter().flatten().flatten());
            left.extend(pods.filter(|e| e.path().is_dir()).map(|e| format!("cgroup {}", e.path().display())));
        }
        for entry in fs::read_dir("/proc").expect("proc").flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            if pid != std::process::id() && words.contains(&dir) {
                left.push(format!("process {pid} {words}"));
            }
        }
        for driver in ["runc", "runsc"] {
            for entry in fs::read_dir(self.dir.join("run").join(driver)).into_iter().flatten().flatten() {
                left.push(format!("state {}", entry.path().display()));
            }
        }
        left
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for path in find_cgroups(&format!("agent-sandbox-{}", self.instance)) {
            kill_tree(&path);
        }
        let _ = Command::new("ip").args(["netns", "del", &self.netns]).status();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub(crate) async fn detect(dir: &Path, instance: &str) -> Runtimes {
    let mut config = Config::new(instance, dir.join("run"), supervisor());
    config.platform = Some("systrap".into());
    Runtimes::detect(config).await.expect("detects")
}

/// Runs a command in a container: its end, what it printed, what it complained of.
pub(crate) async fn exec(container: &Container, script: &str) -> (ExecExit, String, String) {
    exec_words(container, &["/bin/sh", "-c", script]).await
}

pub(crate) async fn exec_words(container: &Container, words: &[&str]) -> (ExecExit, String, String) {
    let command = words.iter().map(|&word| word.to_owned()).collect();
    let request = ExecRequest { command, env: vec![], cwd: None, stdin: false, tty: false, size: None };
    let mut exec = container.exec(&request).expect("execs");
    let (mut out, mut err) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (exec.stdout.take().expect("out"), exec.stderr.take().expect("err"));
    let (a, b) = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
    a.expect("stdout");
    b.expect("stderr");
    (exec.wait().await.expect("ends"), out, err)
}

/// A log's text, put together as kubelet does.
pub(crate) fn text(log: &Path) -> String {
    let mut out = String::new();
    for line in fs::read_to_string(log).unwrap_or_default().lines() {
        let mut parts = line.splitn(4, ' ');
        let (_, _, tag, text) = (parts.next(), parts.next(), parts.next(), parts.next());
        out.push_str(text.unwrap_or_default());
        if tag == Some("F") {
            out.push('\n');
        }
    }
    out
}

/// Waits until a log contains a text.
pub(crate) async fn until(log: &Path, needle: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !text(log).contains(needle) {
        assert!(Instant::now() < deadline, "{needle:?} never came: {}", text(log));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn isolation(driver: Driver) -> Isolation {
    match driver {
        Driver::Runc => Isolation::SharedKernel,
        Driver::Runsc => Isolation::UserKernel,
    }
}

/// A root that borrows the host's programs.
fn make_root(layer: &Path) {
    for name in ["etc", "tmp", "root", "usr", "place"] {
        fs::create_dir_all(layer.join(name)).expect("layer");
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), layer.join(name)).expect("link");
    }
    fs::write(layer.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("passwd");
    fs::write(layer.join("etc/owned"), "x").expect("file");
    std::os::unix::fs::chown(layer.join("etc/owned"), Some(5), Some(6)).expect("chown");
}

pub(crate) fn ip(args: &[&str]) {
    let status = Command::new("ip").args(args).status().expect("ip is installed");
    assert!(status.success(), "ip {args:?}");
}

pub(crate) fn find_cgroups(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join(name)).filter(|path| path.is_dir()).collect()
}

fn kill_tree(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        kill_tree(&entry.path());
    }
    for pid in fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().lines() {
        let _ = Command::new("kill").args(["-9", pid]).status();
    }
    for _ in 0..50 {
        if fs::remove_dir(path).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
