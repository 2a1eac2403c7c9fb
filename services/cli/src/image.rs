//! `image`: the images of a standalone machine, through its node's endpoint.

use crate::{
    connection::Connection,
    failure::{Doing as _, Failure, Result},
    output::{Format, document, say, size, table},
    several::each,
};
use clap::{Args, Subcommand};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use serde_json::Value;
use std::path::PathBuf;

mod import;
mod transfer;

/// Shown under `image --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox image pull python:3.12-slim
  agent-sandbox image ls
  agent-sandbox image import layout.tar local.test/mine:1
  agent-sandbox image rm python:3.12-slim";

const LS_EXAMPLES: &str = "Examples:
  agent-sandbox image ls
  agent-sandbox image ls -o name";

const PULL_EXAMPLES: &str = "Examples:
  agent-sandbox image pull python:3.12-slim
  agent-sandbox image pull registry.example.com/team/tool@sha256:...";

const IMPORT_EXAMPLES: &str = "Examples:
  agent-sandbox image import layout.tar local.test/mine:1
  skopeo copy docker-archive:mine.tar oci:mine && agent-sandbox image import mine local.test/mine:1
  tar -C layout -c . | agent-sandbox image import - local.test/mine:1";

const RM_EXAMPLES: &str = "Examples:
  agent-sandbox image rm python:3.12-slim
  agent-sandbox image rm $(agent-sandbox image ls -o name)";

/// What to do with images.
#[derive(Subcommand, Debug)]
pub enum ImageCommand {
    /// List the images on the machine
    #[command(after_help = LS_EXAMPLES)]
    Ls {
        /// Output format
        #[arg(long, short)]
        output: Option<Format>,
    },
    /// Pull an image from a registry
    #[command(after_help = PULL_EXAMPLES)]
    Pull {
        /// Reference, such as python:3.12-slim or host/name@sha256:...
        reference: String,
    },
    /// Import an OCI layout (a directory, a tar file, or - for standard input)
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Remove images
    #[command(after_help = RM_EXAMPLES)]
    Rm {
        /// References
        #[arg(required = true)]
        references: Vec<String>,
    },
}

/// Arguments of `image import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// OCI layout: a directory, a tar file, or - for a tar on standard input
    pub(crate) file: PathBuf,
    /// Name to give the image
    pub(crate) name: String,
}

pub(crate) async fn perform(command: ImageCommand, connection: &Connection) -> Result<()> {
    let base = endpoint(connection).await?;
    match command {
        ImageCommand::Ls { output } => list(&base, output, connection).await,
        ImageCommand::Pull { reference } => {
            let path = format!("{base}/pull?reference={}", escape(&reference));
            let what = format!("pull {reference}");
            let request = request(http::Request::post(path), Vec::new())?;
            let answer = connection.client.request_stream(request).await.doing(|| what.clone())?;
            transfer::follow(answer, &what, || None).await
        }
        ImageCommand::Import(args) => import::perform(&base, &args, connection).await,
        ImageCommand::Rm { references } => remove(&base, &references, connection).await,
    }
}

/// The path of the images of the one node; a cluster's nodes have none.
async fn endpoint(connection: &Connection) -> Result<String> {
    let nodes: Api<Node> = Api::all(connection.client.clone());
    let list = nodes.list(&ListParams::default()).await.doing(|| "list nodes".to_owned())?;
    let ours = list.items.iter().find(|node| {
        let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
        info.is_some_and(|info| info.container_runtime_version.starts_with("agent-sandbox://"))
    });
    let name = ours.and_then(|node| node.metadata.name.clone()).ok_or_else(|| {
        Failure::new("image: this server's nodes are not ours")
            .remedy("on a cluster the kubelets pull images themselves")
    })?;
    Ok(format!("/api/v1/nodes/{name}/proxy/images"))
}

async fn list(base: &str, output: Option<Format>, connection: &Connection) -> Result<()> {
    let request = request(http::Request::get(base), Vec::new())?;
    let found: Value = connection.client.request(request).await.doing(|| "list images".to_owned())?;
    let items = found["items"].as_array().cloned().unwrap_or_default();
    match output {
        Some(format @ (Format::Json | Format::Yaml)) => return document(&found, format),
        Some(Format::Name) => items.iter().for_each(|item| say!("{}", text(item, "reference"))),
        _ => {
            let rows: Vec<Vec<String>> = items.iter().map(row).collect();
            table(&["REFERENCE", "DIGEST", "SIZE", "IN USE"], &rows);
        }
    }
    Ok(())
}

fn text(item: &Value, key: &str) -> String {
    item[key].as_str().unwrap_or_default().to_owned()
}

fn row(item: &Value) -> Vec<String> {
    let digest = text(item, "digest");
    let short =
        digest.strip_prefix("sha256:").map_or(digest.as_str(), |hex| hex.get(..12).unwrap_or(hex)).to_owned();
    let used = item["inUse"].as_u64().unwrap_or(0) > 0;
    vec![
        text(item, "reference"),
        short,
        size(item["size"].as_u64().unwrap_or(0)),
        if used { "yes" } else { "no" }.to_owned(),
    ]
}

async fn remove(base: &str, references: &[String], connection: &Connection) -> Result<()> {
    each(references, |reference| async move {
        let path = format!("{base}?reference={}", escape(reference));
        let request = request(http::Request::delete(path), Vec::new())?;
        let doing = || format!("remove image {reference:?}");
        let answer: Value = connection.client.request(request).await.doing(doing)?;
        let used = answer["inUse"].as_bool().unwrap_or_default();
        let note = if used { " (still in use: its layers go with the last container)" } else { "" };
        say!("image/{reference} removed{note}");
        Ok(())
    })
    .await
}

fn request(builder: http::request::Builder, body: Vec<u8>) -> Result<http::Request<Vec<u8>>> {
    builder.body(body).map_err(|error| Failure::new(format!("not a reference: {error}")))
}

/// Percent-encodes what a query value may not hold.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_survive_a_query_string() {
        assert_eq!(escape("host:5000/a/b@sha256:0f"), "host:5000/a/b@sha256:0f");
        assert_eq!(escape("a b&c#d+"), "a%20b%26c%23d%2B");
    }
}
