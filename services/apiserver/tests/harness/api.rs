//! A server with its store in a temporary folder, asked in process, over TLS, or by kubectl.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};

use apiserver::{Config, Identity, Server, kubeconfig};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;
use store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running server.
pub struct Api {
    pub client: kube::Client,
    pub url: String,
    pub kubeconfig: PathBuf,
    pub store: Store,
    dir: tempfile::TempDir,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub text: String,
}

/// Starts a server with the defaults.
pub async fn start() -> Api {
    start_with(|_| ()).await
}

/// Starts a server whose in-process client is this user.
pub async fn start_as(identity: Identity) -> Api {
    launch(|_| (), identity, store::Config::default()).await
}

/// Starts a server that remembers only so many events for watches.
pub async fn start_kept(events: usize) -> Api {
    let kept = store::Config { window_events: events, ..store::Config::default() };
    launch(|_| (), Identity::component("test"), kept).await
}

/// Starts a server with a changed configuration.
pub async fn start_with(change: impl FnOnce(&mut Config)) -> Api {
    launch(change, Identity::component("test"), store::Config::default()).await
}

async fn launch(change: impl FnOnce(&mut Config), identity: Identity, kept: store::Config) -> Api {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(store::Config { dir: dir.path().join("store"), ..kept }).unwrap();
    let mut config =
        Config { listen: ([127, 0, 0, 1], 0).into(), pki_dir: dir.path().join("pki"), ..Config::default() };
    change(&mut config);
    let server = Server::build(config, store.clone()).await.unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    kubeconfig::write(&kubeconfig, &server.url(), server.pki(), None).unwrap();
    let (client, url) = (server.client(identity), server.url());
    let stop = CancellationToken::new();
    #[expect(clippy::disallowed_methods, reason = "a test waits for it in `stop`")]
    let running = tokio::spawn(server.run(stop.clone()));
    Api { client, url, kubeconfig, store, dir, stop, running: Some(running) }
}

// === impl Api ===

impl Api {
    /// Sends a request in process.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        send(&self.client, method, path, headers, body).await
    }

    /// Sends JSON as somebody else, whom this client impersonates.
    pub async fn act(&self, user: &str, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("impersonate-user", user), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &headers, body).await
    }

    /// A client over TLS that has nothing but a token.
    pub async fn token_client(&self, token: &str) -> kube::Client {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        config["users"][0]["user"] = serde_json::json!({"token": token});
        let config = serde_json::from_value(config).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await;
        kube::Client::try_from(config.unwrap()).unwrap()
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// PATCH of a kind: `json`, `merge`, `strategic`, `apply`.
    pub async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        let kind = match kind {
            "json" => "application/json-patch+json",
            "merge" => "application/merge-patch+json",
            "strategic" => "application/strategic-merge-patch+json",
            _ => "application/apply-patch+yaml",
        };
        self.send("PATCH", path, &[("content-type", kind)], body.to_string()).await
    }

    /// DELETE with options.
    pub async fn delete(&self, path: &str, options: &Value) -> Answer {
        let body = if options.is_null() { String::new() } else { options.to_string() };
        self.send("DELETE", path, &[("content-type", "application/json")], body).await
    }

    /// A watch, as lines of JSON. Ends when the server ends it: give `timeoutSeconds`.
    pub async fn events(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A client over TLS with the administrator's certificate.
    pub async fn tls_client(&self) -> kube::Client {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await;
        kube::Client::try_from(config.unwrap()).unwrap()
    }

    /// Runs kubectl; its output, its errors, whether it succeeded.
    pub async fn kubectl_raw(&self, args: &[&str], input: &str) -> (String, String, bool) {
        use tokio::io::AsyncWriteExt as _;
        let mut command = tokio::process::Command::new(kubectl());
        command.args(args).env("KUBECONFIG", &self.kubeconfig).env("HOME", self.dir.path());
        command.env_remove("HTTPS_PROXY").env_remove("https_proxy");
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let out = tokio::time::timeout(std::time::Duration::from_secs(60), child.wait_with_output());
        let out = out.await.expect("kubectl takes longer than a minute").unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(out.stdout), text(out.stderr), out.status.success())
    }

    /// Runs kubectl, which must succeed; its output.
    pub async fn kubectl(&self, args: &[&str], input: &str) -> String {
        let (out, err, ok) = self.kubectl_raw(args, input).await;
        assert!(ok, "kubectl {args:?}: {out}\n{err}");
        out
    }

    /// The folder of certificates.
    pub fn pki_dir(&self) -> PathBuf {
        self.dir.path().join("pki")
    }

    /// Stops the server and waits for it.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

// === impl Answer ===

impl Answer {
    async fn read(reply: Response<Body>) -> Self {
        let (parts, body) = reply.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Self { status: parts.status, headers: parts.headers, text }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body, which must come with this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }
}

/// Sends a request through any client.
pub async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Answer {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(client.send(request.body(Body::from(body.into())).unwrap()).await.unwrap()).await
}

/// A pod that runs one container.
pub fn pod(name: &str) -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]}})
}

/// A config map with one entry.
pub fn config_map(name: &str, value: &str) -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

fn kubectl() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/kubectl");
    match std::env::var_os("KUBECTL") {
        Some(path) => path.into(),
        None if built.exists() => built,
        None => "kubectl".into(),
    }
}
