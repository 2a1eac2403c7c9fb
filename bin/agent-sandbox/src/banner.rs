//! What `up` says when it serves: where it listens, where its data is, what isolation it found, what to type next.

use crate::{place::Place, standalone::Standalone, up::Context};
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
