//! Serves an empty cluster's API on a free port, for trying clients by hand: prints the kubeconfig's path.

use apiserver::{Config, Server, kubeconfig};
use store::Store;
use tokio_util::sync::CancellationToken;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it is what the example is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).map(std::path::PathBuf::from).ok_or("give a folder to keep data in")?;
    let store = Store::open(store::Config { dir: dir.join("store"), ..store::Config::default() })?;
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), pki_dir: dir.join("pki"), ..Config::default() };
    let server = Server::build(config, store).await?;
    let path = dir.join("kubeconfig");
    kubeconfig::write(&path, &server.url(), server.pki(), None)?;
    println!("{} KUBECONFIG={}", server.url(), path.display());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::join!(server.run(stop), async move {
        drop(tokio::signal::ctrl_c().await);
        stopped.cancel();
    });
    Ok(())
}
