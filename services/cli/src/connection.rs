//! Which API server a verb talks to, and in which namespace.

use crate::{
    failure::{Failure, Result},
    owner::{self, Owner},
};
use clap::Args;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::path::{Path, PathBuf};

/// The context that `agent-sandbox up` writes.
const STANDALONE: &str = "agent-sandbox";
/// Where standalone keeps its data unless it was told otherwise.
pub const DATA_DIR: &str = "/var/lib/agent-sandbox";

/// Flags that every verb takes.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectionArgs {
    /// Kubeconfig context to use [default: agent-sandbox where it exists, else the current one]
    #[arg(
        long,
        global = true,
        env = "AGENT_SANDBOX_CONTEXT",
        value_name = "NAME",
        help_heading = "Connection"
    )]
    context: Option<String>,
    /// Kubeconfig file to use [default: $KUBECONFIG, else ~/.kube/config; under sudo the invoking user's, and for root the
    /// one in standalone's data directory too, whichever has the context first]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    kubeconfig: Option<PathBuf>,
    /// Namespace to work in [default: the context's, else default]
    #[arg(long, short, global = true, value_name = "NAME", help_heading = "Connection")]
    namespace: Option<String>,
    /// Say which server is used and what is done
    #[arg(long, short, global = true, help_heading = "Connection")]
    pub verbose: bool,
}

/// A client, the namespace to work in, and whether to explain what is done.
#[derive(Clone)]
pub struct Connection {
    /// The client of the chosen API server.
    pub client: kube::Client,
    /// The namespace that names without one belong to.
    pub namespace: String,
    /// Whether `-v` was given.
    pub verbose: bool,
    /// What the client was made of.
    pub(crate) config: Config,
}

// === impl Connection ===

impl Connection {
    /// Reads the kubeconfig and makes a client. No request is sent.
    ///
    /// # Errors
    /// There is no kubeconfig, it cannot be read, or the context does not exist.
    pub async fn open(args: &ConnectionArgs) -> Result<Self> {
        let kubeconfig = read(args)?;
        let context = choose(args.context.as_deref(), &kubeconfig);
        let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| Failure::new(format!("read the kubeconfig: {error}")).remedy(NO_SERVER))?;
        // Watches and logs are long; a verb bounds its own waiting.
        config.read_timeout = None;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        if args.verbose {
            let name = context.as_deref().unwrap_or("current");
            eprintln!("context {name}, server {}, namespace {namespace}", config.cluster_url);
        }
        let client =
            kube::Client::try_from(config.clone()).map_err(|error| Failure::from_kube("connect", error))?;
        Ok(Self { client, namespace, verbose: args.verbose, config })
    }

    /// Prints `text` to standard error if `-v` was given.
    pub(crate) fn explain(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{}", text());
        }
    }
}

const NO_SERVER: &str =
    "start standalone with 'agent-sandbox up --detach', or point $KUBECONFIG at a cluster";

/// The file that a flag or the environment names; else the first of the usual ones that has the context.
fn read(args: &ConnectionArgs) -> Result<Kubeconfig> {
    let named =
        args.kubeconfig.is_some() || std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
    let read = match &args.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None if named => Kubeconfig::read(),
        None => match usual(&candidates(), args.context.as_deref().unwrap_or(STANDALONE)) {
            Some(found) => Ok(found),
            None => Kubeconfig::read(),
        },
    };
    read.map_err(|error| Failure::new(format!("read the kubeconfig: {error}")).remedy(NO_SERVER))
}

/// Where kubeconfigs usually are: the person's who typed `sudo`, for whom `up` wrote its context; this user's own; and for
/// root, which alone can read it, the one in the data directory.
fn candidates() -> Vec<PathBuf> {
    let behind = Owner::behind_sudo().map(|owner| owner.kubeconfig());
    let data =
        std::env::var_os("AGENT_SANDBOX_DATA_DIR").map_or_else(|| PathBuf::from(DATA_DIR), PathBuf::from);
    let root = rustix::process::geteuid().is_root().then(|| data.join("kubeconfig"));
    [behind, owner::own(), root].into_iter().flatten().collect()
}

/// The first of the files that has the context; else the first that there is.
fn usual(files: &[impl AsRef<Path>], context: &str) -> Option<Kubeconfig> {
    let there: Vec<Kubeconfig> =
        files.iter().filter_map(|file| Kubeconfig::read_from(file.as_ref()).ok()).collect();
    let has = |config: &&Kubeconfig| config.contexts.iter().any(|one| one.name == context);
    there.iter().find(has).or_else(|| there.first()).cloned()
}

/// The context asked for; else standalone's where there is one: a sandbox must not land on a cluster by surprise.
fn choose(asked: Option<&str>, kubeconfig: &Kubeconfig) -> Option<String> {
    let standalone = || kubeconfig.contexts.iter().any(|context| context.name == STANDALONE);
    asked.map(str::to_owned).or_else(|| standalone().then(|| STANDALONE.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(names: &[&str]) -> Kubeconfig {
        let contexts: Vec<String> =
            names.iter().map(|n| format!("- name: {n}\n  context: {{cluster: c, user: u}}\n")).collect();
        Kubeconfig::from_yaml(&format!("contexts:\n{}", contexts.concat())).expect("kubeconfig")
    }

    #[test]
    fn standalone_is_preferred_unless_a_context_is_named() {
        let both = kubeconfig(&["prod", "agent-sandbox"]);
        assert_eq!(choose(None, &both).as_deref(), Some("agent-sandbox"));
        assert_eq!(choose(Some("prod"), &both).as_deref(), Some("prod"));
        assert_eq!(choose(None, &kubeconfig(&["prod"])), None);
    }

    #[test]
    fn the_file_that_has_the_context_is_used_before_one_that_is_only_there() {
        let dir = std::env::temp_dir().join(format!("agent-sandbox-connection-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("directory");
        let file = |name: &str, contexts: &[&str]| {
            let text = serde_saphyr::to_string(&kubeconfig(contexts)).expect("YAML");
            std::fs::write(dir.join(name), text).expect("write");
            dir.join(name)
        };
        let files = [dir.join("missing"), file("user", &["prod"]), file("data", &["agent-sandbox"])];
        let first = |context: &str| usual(&files, context).expect("found").contexts[0].name.clone();
        assert_eq!(first("agent-sandbox"), "agent-sandbox");
        assert_eq!(first("no-such"), "prod", "the error then names the context");
        assert!(usual(&files[..1], "prod").is_none());
        std::fs::remove_dir_all(dir).expect("clean");
    }
}
