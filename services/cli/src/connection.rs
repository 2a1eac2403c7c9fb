//! Which API server a verb talks to, and in which namespace.

use crate::failure::{Failure, Result};
use clap::Args;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::path::PathBuf;

/// The context that `agent-sandbox up` writes.
const STANDALONE: &str = "agent-sandbox";

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
    /// Kubeconfig file to use [default: $KUBECONFIG, else ~/.kube/config]
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
}

// === impl Connection ===

impl Connection {
    /// Reads the kubeconfig and makes a client. No request is sent.
    ///
    /// # Errors
    /// There is no kubeconfig, it cannot be read, or the context does not exist.
    pub async fn open(args: &ConnectionArgs) -> Result<Self> {
        let kubeconfig = read(args.kubeconfig.as_ref())?;
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
        let client = kube::Client::try_from(config).map_err(|error| Failure::from_kube("connect", error))?;
        Ok(Self { client, namespace, verbose: args.verbose })
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

fn read(file: Option<&PathBuf>) -> Result<Kubeconfig> {
    let read = file.map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    read.map_err(|error| Failure::new(format!("read the kubeconfig: {error}")).remedy(NO_SERVER))
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
}
