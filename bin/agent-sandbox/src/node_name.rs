//! The node's name, which Pods and volumes are bound to: chosen once for a data directory, whatever the host is called later.

use crate::place::Place;
use cli::{Failure, Result};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use std::{fs, io::Write as _};

/// Its file in the data directory.
const FILE: &str = "node-name";

/// The name that was chosen; the first time the one that the store's Pods know, where there is one, else the host's.
///
/// # Errors
/// It cannot be written down.
pub(crate) async fn node_name(place: &Place, client: kube::Client) -> Result<String> {
    let path = place.data.join(FILE);
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if !kept.trim().is_empty() {
        return Ok(kept.trim().to_owned());
    }
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("choose the node's name: {error}"));
    let nodes =
        Api::<Node>::all(client).list(&ListParams::default()).await.map_err(|error| failed(&error))?;
    let known = nodes.items.into_iter().filter_map(|node| node.metadata.name).collect::<Vec<_>>();
    let name = chosen(&known, &rustix::system::uname().nodename().to_string_lossy());
    let draft = path.with_extension("new");
    fs::File::create(&draft)
        .and_then(|mut file| {
            writeln!(file, "{name}")?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|error| failed(&format!("write {}: {error}", path.display())))?;
    Ok(name)
}

/// A store of the version before this file knows its one node; a new one has none.
fn chosen(known: &[String], host: &str) -> String {
    match known {
        [one] => one.clone(),
        _ => as_name(host),
    }
}

/// The host's name, as Kubernetes writes names.
fn as_name(host: &str) -> String {
    let host = host.to_lowercase();
    let name: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' })
        .collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() { "agent-sandbox".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_the_store_knows_keeps_its_name() {
        assert_eq!(chosen(&["before".to_owned()], "after"), "before");
        assert_eq!(chosen(&[], "My_Host."), "my-host");
        assert_eq!(chosen(&[], "..."), "agent-sandbox");
    }
}
