//! `image import`: an OCI layout goes to the node as it is read; no copy of it is held in memory.

use super::{ImportArgs, escape, size, transfer};
use crate::{
    connection::Connection,
    failure::{Doing as _, Failure, Result, deepest},
};
use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use kube::client::ConfigExt as _;
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{io::AsyncRead, net::unix::pipe};
use tokio_util::io::ReaderStream;

type Upload = UnsyncBoxBody<Bytes, io::Error>;

pub(super) async fn perform(base: &str, args: &ImportArgs, connection: &Connection) -> Result<()> {
    let what = format!("import {}", args.name);
    let source = open(&args.file).await?;
    let sent = Arc::new(AtomicU64::new(0));
    let body = counted(source, Arc::clone(&sent));
    let path = format!("{base}/import?name={}", escape(&args.name));
    let answer = post(&path, body, &what, connection);
    let said = || Some(format!("{} sent", size(sent.load(Ordering::Relaxed))));
    // The answer begins once all is sent.
    let lines = futures::stream::once(answer).try_flatten().map_err(io::Error::other).into_async_read();
    transfer::follow(lines, &what, said).await
}

async fn open(file: &Path) -> Result<Box<dyn AsyncRead + Send + Unpin>> {
    let doing = || format!("read {}", file.display());
    if file.as_os_str() == "-" {
        return Ok(Box::new(tokio::io::stdin()));
    }
    if !tokio::fs::metadata(file).await.doing(doing)?.is_dir() {
        return Ok(Box::new(tokio::fs::File::open(file).await.doing(doing)?));
    }
    if !file.join("oci-layout").is_file() {
        let failure = Failure::new(format!("{} is no OCI layout: it has no file oci-layout", file.display()));
        return Err(failure.remedy("'skopeo copy docker://IMAGE oci:DIRECTORY' makes one"));
    }
    Ok(Box::new(packed(file).doing(doing)?))
}

/// A layout as a tar, packed while it is read. What goes wrong tears the archive, which the node refuses.
fn packed(layout: &Path) -> io::Result<pipe::Receiver> {
    let (near, far) = io::pipe()?;
    let near = pipe::Receiver::from_owned_fd(near.into())?;
    let layout = layout.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(far);
        archive.follow_symlinks(true);
        let packed = archive.append_dir_all(".", &layout).and_then(|()| archive.finish());
        if let Err(error) = packed {
            eprintln!("error: read {}: {error}", layout.display());
        }
    });
    Ok(near)
}

fn counted(source: Box<dyn AsyncRead + Send + Unpin>, sent: Arc<AtomicU64>) -> Upload {
    let frames = ReaderStream::new(source).map_ok(move |bytes| {
        sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Frame::data(bytes)
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Sends a body of unknown length. kube's own client takes only bodies that are whole in memory, so this one is made of
/// the same configuration.
async fn post(
    path: &str,
    body: Upload,
    what: &str,
    connection: &Connection,
) -> Result<impl Stream<Item = Result<Bytes>> + use<>> {
    let https = connection.config.rustls_https_connector().map_err(|error| unreachable(what, &error))?;
    let client: Client<_, Upload> = Client::builder(TokioExecutor::new()).build(https);
    let url = format!("{}{path}", connection.config.cluster_url.to_string().trim_end_matches('/'));
    let request = http::Request::post(url).body(body);
    let request = request.map_err(|error| Failure::new(format!("not a reference: {error}")))?;
    let response = client.request(request).await.map_err(|error| unreachable(what, &error))?;
    let (status, answer) = (response.status(), response.into_body());
    if status.is_success() {
        let what = what.to_owned();
        return Ok(answer.into_data_stream().map_err(move |error| Failure::new(format!("{what}: {error}"))));
    }
    let said = answer.collect().await.map_err(|error| unreachable(what, &error))?.to_bytes();
    let refused: serde_json::Value = serde_json::from_slice(&said).unwrap_or_default();
    let message = refused["message"].as_str().map_or_else(|| status.to_string(), str::to_owned);
    Err(Failure::new(format!("{what}: {message}")))
}

fn unreachable(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::unreachable(what, &deepest(error))
}
