//! `up`: everything on this machine, in one process.
//!
//! SIGTERM ends the agent and leaves sandboxes running for the next start (an upgrade, a service manager); SIGINT, which
//! is Ctrl-C and what `down` sends, stops the sandboxes too.

use crate::{
    banner, detach, limits,
    lock::Lock,
    place::{DEFAULT_DATA_DIR, Place, Running},
    standalone::Standalone,
};
use clap::Args;
use cli::{
    Failure, Result,
    owner::{Owner, kubeconfig},
};
use std::{
    net::{IpAddr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// Shown under `up --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox up                                        in the foreground; Ctrl-C stops it with its sandboxes
  agent-sandbox up --detach                               in the background; 'agent-sandbox down' stops it
  agent-sandbox up -d --data-dir /srv/sandboxes --listen 127.0.0.1:7444
  agent-sandbox up -d --listen 0.0.0.0:7443 --tls-san box.example          for other machines, with certificates or tokens
  agent-sandbox up -d --default-runtime runc              where gVisor cannot be installed (a shared kernel)";

/// Arguments of `up`.
#[derive(Args, Clone, Debug)]
pub(crate) struct UpArgs {
    /// Go on in the background once it serves
    #[arg(long, short)]
    detach: bool,
    /// Where everything that must survive a reboot is kept
    #[arg(long, default_value = DEFAULT_DATA_DIR, env = "AGENT_SANDBOX_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Address to serve HTTPS on, for holders of a client certificate or a token only
    #[arg(long, default_value = "127.0.0.1:7443", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// Name or address that clients reach this machine by, for the server's certificate; repeatable [default: --listen]
    #[arg(long, value_parser = host, value_name = "NAME")]
    pub(crate) tls_san: Vec<String>,
    /// File of static tokens, lines of token,user,uid,"group1,group2" [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// File to note every request in, as lines of JSON; a full one is put aside as FILE.1 [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,
    /// Kubeconfig that gets a context named agent-sandbox [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Write no kubeconfig but the one in the data directory
    #[arg(long, conflicts_with = "kubeconfig")]
    no_kubeconfig: bool,
    /// Isolation of sandboxes that name none: gvisor or runc [default: gvisor where it works, else runc]
    #[arg(long, value_parser = ["gvisor", "runc"], value_name = "CLASS")]
    pub(crate) default_runtime: Option<String>,
    /// Most memory that all sandboxes together may use, in MiB [default: nine tenths of the machine's]
    #[arg(long, value_name = "MIB")]
    pub(crate) memory_cap: Option<u64>,
    /// DNS domain that names of Services and sandboxes end with
    #[arg(long, default_value = "cluster.local", value_parser = domain, value_name = "DOMAIN")]
    pub(crate) cluster_domain: String,
    /// Directory of the host that Pods may mount by hostPath, repeatable [default: none]
    #[arg(long, value_name = "DIR")]
    pub(crate) allow_host_path: Vec<PathBuf>,
    /// Seconds to go on serving after being told to end, with /readyz failing, so that a load balancer notices first
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=60), value_name = "SECONDS")]
    pub(crate) shutdown_delay: u16,
    /// Insert accept rules where another firewall of this host (Docker, ufw) drops the sandboxes' packets
    #[arg(long)]
    pub(crate) fix_forward: bool,
}

/// Settings of mimalloc: milliseconds after which it returns freed pages to the system.
const PURGE: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

/// It is built to ask for no huge pages, of which an idle agent would hold twice as much. Without this it would also forbid them to
/// the whole process, which sandboxes inherit.
const HUGE_PAGES: (&str, &str) = ("MIMALLOC_ALLOW_THP", "1");

/// A thread for blocking work ends after this long without any: each keeps some free memory of its own.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Where the administrator's context was written.
pub(crate) struct Context {
    pub(crate) file: PathBuf,
    pub(crate) name: String,
}

/// What ends the process.
enum Stop {
    /// The agent only.
    Agent,
    /// The sandboxes as well.
    Everything,
}

// === impl UpArgs ===

impl UpArgs {
    /// Every path resolved where the command was typed, and the kubeconfig chosen: a process in the background is elsewhere.
    fn absolute(mut self) -> Result<Self> {
        if self.kubeconfig.is_none() && !self.no_kubeconfig {
            self.kubeconfig = kubeconfig(Owner::behind_sudo().as_ref());
        }
        let paths = std::iter::once(&mut self.data_dir)
            .chain(&mut self.kubeconfig)
            .chain(&mut self.allow_host_path)
            .chain(&mut self.token_file)
            .chain(&mut self.audit_log);
        for path in paths {
            *path = std::path::absolute(&*path)
                .map_err(|error| Failure::new(format!("resolve {}: {error}", path.display())))?;
        }
        Ok(self)
    }

    /// The kubeconfig that gets a context, unless none shall.
    pub(crate) fn kubeconfig(&self) -> Option<PathBuf> {
        self.kubeconfig.clone().filter(|_| !self.no_kubeconfig)
    }
}

/// The number is the exit code.
pub(crate) fn perform(args: UpArgs) -> Result<u8> {
    if args.detach && !detach::is_child() {
        return detach::start();
    }
    thrifty()?;
    let args = args.absolute()?;
    if detach::is_child() {
        detach::leave_terminal()?;
    }
    limits::raise_open_files();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_keep_alive(KEEP_ALIVE).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("start the async runtime: {error}")))?;
    runtime.block_on(Box::pin(serve(args)))
}

/// The allocator reads its settings before `main`: this process becomes itself again with the one that gives freed memory
/// back at once. Starting up parses megabytes of schemas; keeping their pages would treble what an idle agent holds.
fn thrifty() -> Result<()> {
    if std::env::var_os(PURGE.0).is_some() {
        return Ok(());
    }
    let program =
        std::env::current_exe().map_err(|error| Failure::new(format!("find this program: {error}")))?;
    let error = Command::new(program).args(std::env::args_os().skip(1)).envs([PURGE, HUGE_PAGES]).exec();
    Err(Failure::new(format!("start again with a thrifty allocator: {error}")))
}

async fn serve(args: UpArgs) -> Result<u8> {
    let started = Instant::now();
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("up needs root: it makes namespaces, networks and cgroups")
            .remedy("run it with sudo"));
    }
    let place = Place::create(&args.data_dir)?;
    let lock: Lock = place.lock()?;
    place.forget_other_boots()?;
    telemetry::logs::init(&telemetry::logs::Config::default())
        .map_err(|error| Failure::new(format!("set up logs: {error}")))?;
    // Taken before anything is started, so that an early signal is not lost.
    let stop = signals()?;
    let mut standalone = Standalone::build(&place, &args).await?;
    standalone.publish_default().await?;
    let written = standalone.write_kubeconfigs(&args, &place)?;
    place.record(&Running {
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        server: standalone.url(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kubeconfig: written.as_ref().map(|context| context.file.clone()),
        context: written.as_ref().map(|context| context.name.clone()),
        default_runtime: Some(standalone.default_class().to_owned()),
    })?;
    banner::print(&standalone, &place, written.as_ref(), started.elapsed()).await;
    banner::warn_of_the_network(&args, standalone.address(), &place);
    let ended = if detach::is_child() {
        detach::move_output(&place.data)?;
        tokio::select! {
            ended = standalone.run(stop) => ended,
            never = detach::cap_log(&place.data) => match never {},
        }
    } else {
        standalone.run(stop).await
    };
    drop(lock);
    ended
}

/// Resolves when the process is told to stop; the answer is whether the sandboxes stop with it.
fn signals() -> Result<impl Future<Output = bool> + Send + 'static> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new(format!("listen for signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        let stop = tokio::select! {
            _ = interrupt.recv() => Stop::Everything,
            _ = terminate.recv() => Stop::Agent,
        };
        matches!(stop, Stop::Everything)
    })
}

/// A failure with all its causes.
pub(crate) fn cannot(doing: &str, error: &dyn std::error::Error) -> Failure {
    let mut text = format!("cannot {doing}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Failure::new(text)
}

/// A DNS domain as an argument.
fn domain(text: &str) -> std::result::Result<String, String> {
    let problems = wire::names::dns1123_subdomain(text);
    if problems.is_empty() { Ok(text.to_owned()) } else { Err(problems.join("; ")) }
}

/// A host's name or address as an argument.
fn host(text: &str) -> std::result::Result<String, String> {
    let problems = wire::names::dns1123_subdomain(text);
    let known = text.parse::<IpAddr>().is_ok() || problems.is_empty();
    if known { Ok(text.to_owned()) } else { Err(problems.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::{domain, host};

    #[test]
    fn a_name_for_the_certificate_is_a_host() {
        for right in ["box.example", "10.0.0.1", "fd00::1", "localhost"] {
            assert_eq!(host(right).as_deref(), Ok(right));
        }
        for wrong in ["", "https://box", "box:7443", "*"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_cluster_domain_is_a_dns_name() {
        assert_eq!(domain("cluster.local").as_deref(), Ok("cluster.local"));
        for wrong in ["", "Cluster.local", ".local", "cluster_local", "cluster.local."] {
            assert!(domain(wrong).is_err(), "{wrong}");
        }
    }
}
