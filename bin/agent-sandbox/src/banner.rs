//! What `up` says when it serves: where it listens, where its data is, what isolation it found, what to type next.

use crate::{
    place::Place,
    standalone::Standalone,
    up::{Context, UpArgs},
};
use cli::say;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

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

/// Says what it means to listen beyond this machine, and how to connect from another one.
pub(crate) fn warn_of_the_network(args: &UpArgs, address: SocketAddr, place: &Place) {
    if address.ip().is_loopback() {
        return;
    }
    say!(
        "  warning    the API is open to the network at {address}, to holders of a client certificate or a token; keep others out with a firewall too"
    );
    match elsewhere(address, &args.tls_san) {
        Some(url) => say!(
            "  elsewhere  connect to {url} with the authority {} and a token of 'kubectl create token', as docs/access.md shows",
            place.data.join("pki/ca.crt").display()
        ),
        None => say!(
            "  warning    the server's certificate names this machine's loopback only -> give --tls-san for each name or address that clients use"
        ),
    }
}

/// The URL for clients on other machines: by the first name that was given, else by the address listened on. None where the
/// certificate has no name that leads here.
fn elsewhere(address: SocketAddr, names: &[String]) -> Option<String> {
    let port = address.port();
    let given = names.iter().find(|name| {
        let loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        !loopback && *name != "localhost"
    });
    match given.map(|name| (name, name.parse::<IpAddr>())) {
        Some((_, Ok(ip))) => Some(format!("https://{}", SocketAddr::new(ip, port))),
        Some((name, Err(_))) => Some(format!("https://{name}:{port}")),
        None if address.ip().is_unspecified() => None,
        None => Some(format!("https://{address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::elsewhere;

    #[test]
    fn others_are_told_a_url_that_the_certificate_names() {
        let told = |listen: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            elsewhere(listen.parse().expect("an address"), &names)
        };
        let url = |listen: &str, names: &[&str]| told(listen, names).expect("a url");
        assert_eq!(url("0.0.0.0:7443", &["box.example", "10.0.0.1"]), "https://box.example:7443");
        assert_eq!(url("[::]:7443", &["fd00::1"]), "https://[fd00::1]:7443");
        assert_eq!(url("10.0.0.1:80", &[]), "https://10.0.0.1:80");
        assert_eq!(told("0.0.0.0:7443", &[]), None, "the address says nothing");
        assert_eq!(told("0.0.0.0:7443", &["localhost", "127.0.0.1"]), None, "these lead nowhere else");
    }
}
