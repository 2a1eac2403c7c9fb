//! What `up` says when it serves: where it listens, where its data is, what isolation it found, what to type next.

use crate::{
    place::Place,
    standalone::Standalone,
    up::{Context, UpArgs},
};
use cli::say;
use std::time::Duration;

/// Prints the banner.
pub(crate) async fn print(standalone: &Standalone, place: &Place, context: Option<&Context>, took: Duration) {
    say!("agent-sandbox {} is up after {:.2} s", env!("CARGO_PKG_VERSION"), took.as_secs_f64());
    let written = context.map_or_else(String::new, |context| {
        format!("   (context {} in {})", context.name, context.file.display())
    });
    say!("  server     {}{written}", standalone.url());
    say!("  data       {}", place.data.display());
    for (at, line) in standalone.isolation().iter().enumerate() {
        say!("  {}  {line}", if at == 0 { "isolation" } else { "         " });
    }
    say!("  sandboxes  {}", standalone.census().await);
    for finding in standalone.findings().await {
        say!("  warning    {finding}");
    }
    say!("Next:");
    // Beside an installation that has the usual context, this one is only found by its name.
    let beside = context.filter(|context| context.name != "agent-sandbox");
    let flag = beside.map_or_else(String::new, |context| format!("--context {} ", context.name));
    say!("  agent-sandbox {flag}run -- python3 -c 'print(6*7)'");
    say!("  agent-sandbox {flag}create my-sandbox && agent-sandbox {flag}shell my-sandbox");
    if let Some(context) = context {
        say!("  kubectl --context {} get sandboxes", context.name);
    }
}

/// Says what it means to listen beyond this machine.
pub(crate) fn warn_of_the_network(args: &UpArgs) {
    let ip = args.listen.ip();
    if ip.is_loopback() {
        return;
    }
    say!(
        "  warning    the API is open to the network at {}, to holders of a client certificate or a token; keep others out with a firewall too",
        args.listen
    );
    if ip.is_unspecified() && args.tls_san.is_empty() {
        say!(
            "  warning    the server's certificate names this machine's loopback only -> give --tls-san for each name or address that clients use"
        );
    }
}
