//! What `up` says when it serves: where it listens, where its data is, what isolation it found, what to type next.

use crate::{place::Place, standalone::Standalone};
use std::{path::Path, time::Duration};

/// Prints the banner.
pub(crate) async fn print(standalone: &Standalone, place: &Place, kubeconfig: Option<&Path>, took: Duration) {
    println!("agent-sandbox {} is up after {:.2} s", env!("CARGO_PKG_VERSION"), took.as_secs_f64());
    let context = kubeconfig
        .map_or_else(String::new, |path| format!("   (context agent-sandbox in {})", path.display()));
    println!("  server     {}{context}", standalone.url());
    println!("  data       {}", place.data.display());
    for (at, line) in standalone.isolation().iter().enumerate() {
        println!("  {}  {line}", if at == 0 { "isolation" } else { "         " });
    }
    println!("  sandboxes  {}", standalone.census().await);
    for finding in standalone.findings().await {
        println!("  warning    {finding}");
    }
    println!("Next:");
    println!("  agent-sandbox run -- python3 -c 'print(6*7)'");
    println!("  agent-sandbox create my-sandbox && agent-sandbox shell my-sandbox");
    if kubeconfig.is_some() {
        println!("  kubectl --context agent-sandbox get sandboxes");
    }
}
