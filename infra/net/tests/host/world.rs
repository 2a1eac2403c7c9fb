//! A machine to test on.
use net::{Attach, Attachment, Config, Network};
use rustix::mount::MountPropagationFlags;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// Longer than any answer here takes; shorter than a person waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// One test's machine.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: Config,
    /// The namespace that plays the rest of the world.
    pub(crate) outside: PathBuf,
}

impl World {
    pub(crate) async fn open(&self) -> Network {
        Network::open(self.config.clone()).await.unwrap()
    }

    pub(crate) fn table(&self) -> String {
        format!("agent-sandbox-{}", self.config.id)
    }
}

/// Runs a test on a machine of its own and checks that purging leaves nothing.
pub(crate) fn machine<F: Future<Output = ()>>(test: impl FnOnce(World) -> F + Send + 'static) {
    let run = move || {
        // SAFETY: the thread was made for this test; all that runs on the test's machine is started from it.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.expect("root");
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .unwrap();
        let world = world();
        let (config, outside) = (world.config.clone(), world.outside.clone());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            test(world).await;
            Network::purge(config.clone()).await.unwrap();
        });
        nothing_left(&config);
        drop(outside);
    };
    thread::spawn(run).join().unwrap_or_else(|e| std::panic::resume_unwind(e));
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let number = std::process::id().wrapping_mul(64).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let id = format!("{:06x}", number & 0xff_ffff);
    let outside = dir.path().join("outside");
    namespace(&outside);
    // A new namespace takes the setting over from the machine that runs the tests.
    setting("ipv4/ip_forward", "0");
    sh("ip link set lo up");
    sh(&format!("ip link add up0 mtu 1400 type veth peer name eth0 mtu 1400 netns {}", outside.display()));
    sh(&format!("ip addr add {HOST}/24 dev up0 && ip link set up0 up && ip route add default via {OUTSIDE}"));
    let inside = format!("nsenter --net={}", outside.display());
    sh(&format!(
        "{inside} ip link set lo up && {inside} ip addr add {OUTSIDE}/24 dev eth0 && {inside} ip link set eth0 up"
    ));
    let mut config = Config::new(&id, dir.path().join("run"), dir.path().join("net.json"));
    config.upstreams = vec![SocketAddr::from((OUTSIDE, 53))];
    World { dir, config, outside }
}

fn nothing_left(config: &Config) {
    let links = sh("ip -o link");
    assert!(!links.contains(&format!("as{}", config.id)), "{links}");
    let rules = sh("nft list ruleset");
    assert!(!rules.contains(&config.id), "{rules}");
    assert!(!config.state_file.exists());
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
    assert!(!mounts.contains(config.run_dir.to_str().unwrap()), "{mounts}");
}

/// Runs a shell command on the machine and returns what it printed; it must succeed.
pub(crate) fn sh(command: &str) -> String {
    let Output { status, stdout, stderr } = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(status.success(), "{command}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Changes a kernel setting below `net/` of the machine.
pub(crate) fn setting(name: &str, value: &str) {
    std::fs::write(Path::new("/proc/sys/net").join(name), value).unwrap();
}

/// Whether a command in a namespace succeeds.
pub(crate) fn succeeds(namespace: &Path, command: &str) -> bool {
    let mut nsenter = Command::new("nsenter");
    nsenter
        .arg(format!("--net={}", namespace.display()))
        .args(["sh", "-c", command])
        .output()
        .unwrap()
        .status
        .success()
}

/// Runs a closure in a namespace.
pub(crate) fn within<T: Send>(namespace: &Path, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let file = File::open(namespace).unwrap();
            rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap();
            work()
        });
        inside.join().unwrap()
    })
}

fn namespace(path: &Path) {
    thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: the thread ends with this closure.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            File::create(path).unwrap();
            rustix::mount::mount_bind("/proc/thread-self/ns/net", path).unwrap();
        });
    });
}

pub(crate) fn pod(uid: &str) -> Attach {
    Attach { uid: uid.to_owned(), namespace: "default".to_owned(), slot: None, closed: false }
}

/// Serves "hello" and the asker's address to everybody who connects, for as long as the machine lives.
pub(crate) fn listen(namespace: Option<&Path>, at: Ipv4Addr, port: u16) {
    let bind = move || TcpListener::bind((at, port)).unwrap();
    let listener = match namespace {
        Some(namespace) => within(namespace, bind),
        None => bind(),
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let peer = stream.peer_addr().unwrap().ip();
            write!(stream, "hello {peer}").ok();
        }
    });
}

/// What [`listen`] says to one in `namespace`.
pub(crate) fn fetch(namespace: &Path, to: Ipv4Addr, port: u16) -> io::Result<String> {
    within(namespace, || {
        let mut stream = TcpStream::connect_timeout(&SocketAddrV4::new(to, port).into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

/// Echoes datagrams on a port of an address in a namespace.
pub(crate) fn echo(namespace: &Path, at: Ipv4Addr, port: u16) {
    let socket = within(namespace, || UdpSocket::bind((at, port)).unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..length], from).ok();
        }
    });
}

/// Sends a datagram from an address in a namespace and waits for the echo.
pub(crate) fn bounce(namespace: &Path, from: Ipv4Addr, to: Ipv4Addr, port: u16) -> io::Result<()> {
    within(namespace, || {
        let socket = UdpSocket::bind((from, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.send_to(b"x", (to, port))?;
        socket.recv(&mut [0; 8]).map(|_| ())
    })
}

pub(crate) async fn two(network: &Network) -> (Attachment, Attachment) {
    (network.attach(pod("a")).await.unwrap(), network.attach(pod("b")).await.unwrap())
}
