//! A real kube-apiserver with its etcd, started as envtest starts them: from the folder `KUBEBUILDER_ASSETS`.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use http::Request;
use kube::{
    client::Body,
    config::{AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// How long it may take to become ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// The definitions of our kinds, which it gets as any cluster does.
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/crds");

/// A running kube-apiserver.
pub struct Reference {
    /// A client with an administrator's certificate.
    pub client: kube::Client,
    /// What `/version` says.
    pub version: Value,
    /// `etcd Version: 3.6.8`.
    pub etcd: String,
    /// Ended when dropped, the API server first.
    _children: (Child, Child),
    _dir: tempfile::TempDir,
}

// === impl Reference ===

impl Reference {
    /// Starts both from `assets`.
    ///
    /// # Errors
    /// Binaries that are missing, or that do not become ready.
    pub async fn start(assets: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (client_port, peer_port, port) = (free_port()?, free_port()?, free_port()?);
        let store = etcd(assets, dir.path(), client_port, peer_port)?;
        let kubeconfig = certificates(dir.path(), port)?;
        let server = kube_apiserver(assets, dir.path(), client_port, port)?;
        let client = crate::embedded::client(kubeconfig).await?;
        let ready = async {
            while get(&client, "/readyz").await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, ready).await.is_err() {
            let log = fs::read_to_string(dir.path().join("kube-apiserver.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            bail!("kube-apiserver is not ready: {}", tail.join("\n"));
        }
        define(&client).await?;
        let version = serde_json::from_str(&get(&client, "/version").await?)?;
        let etcd = Command::new(assets.join("etcd")).arg("--version").output().await?;
        let etcd = String::from_utf8_lossy(&etcd.stdout).lines().next().unwrap_or_default().to_owned();
        Ok(Self { client, version, etcd, _children: (server, store), _dir: dir })
    }
}

/// The folder of the binaries.
///
/// # Errors
/// No `KUBEBUILDER_ASSETS` in the environment.
pub fn assets() -> Result<PathBuf> {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let folder = folder.context(
        "KUBEBUILDER_ASSETS names no folder with kube-apiserver and etcd; tests/differential/reference/build makes one",
    )?;
    for name in ["etcd", "kube-apiserver"] {
        ensure!(folder.join(name).exists(), "no {name} in {}", folder.display());
    }
    Ok(folder)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn launch(program: &Path, dir: &Path, args: &[String]) -> Result<Child> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let log = fs::File::create(dir.join(format!("{name}.log")))?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("start {}", program.display()))
}

fn etcd(assets: &Path, dir: &Path, client: u16, peer: u16) -> Result<Child> {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let args = [
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls={}", url(client)),
        format!("--advertise-client-urls={}", url(client)),
        format!("--listen-peer-urls={}", url(peer)),
        "--unsafe-no-fsync".to_owned(),
    ];
    launch(&assets.join("etcd"), dir, &args)
}

/// The flags are envtest's, with the embedded server's service network. The ServiceAccount admission is off, as there: it waits
/// for a controller that makes the accounts.
fn kube_apiserver(assets: &Path, dir: &Path, etcd: u16, port: u16) -> Result<Child> {
    let file = |name: &str| dir.join(name).display().to_string();
    let args = [
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        format!("--service-account-key-file={}", file("accounts.pub")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/20".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ];
    launch(&assets.join("kube-apiserver"), dir, &args)
}

/// Writes the certificates; a kubeconfig of the administrator.
fn certificates(dir: &Path, port: u16) -> Result<Kubeconfig> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "reference");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    fs::write(dir.join("ca.crt"), params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let leaf = |name: &str, usage, hosts: &[&str]| -> Result<()> {
        let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "kubernetes-admin");
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        fs::write(dir.join(format!("{name}.crt")), params.signed_by(&key, &issuer)?.pem())?;
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    };
    leaf("server", ExtendedKeyUsagePurpose::ServerAuth, &["localhost", "127.0.0.1"])?;
    leaf("admin", ExtendedKeyUsagePurpose::ClientAuth, &[])?;
    let accounts = KeyPair::generate()?;
    fs::write(dir.join("accounts.key"), accounts.serialize_pem())?;
    fs::write(dir.join("accounts.pub"), accounts.public_key_pem())?;
    Ok(kubeconfig(dir, port))
}

fn kubeconfig(dir: &Path, port: u16) -> Kubeconfig {
    let file = |name: &str| Some(dir.join(name).display().to_string());
    let cluster = Cluster {
        server: Some(format!("https://127.0.0.1:{port}")),
        certificate_authority: file("ca.crt"),
        ..Cluster::default()
    };
    let user = AuthInfo {
        client_certificate: file("admin.crt"),
        client_key: file("admin.key"),
        ..AuthInfo::default()
    };
    let name = "reference".to_owned();
    let context = Context { cluster: name.clone(), user: Some(name.clone()), ..Context::default() };
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: name.clone(),
            cluster: Some(cluster),
            other: Default::default(),
        }],
        auth_infos: vec![NamedAuthInfo {
            name: name.clone(),
            auth_info: Some(user),
            other: Default::default(),
        }],
        contexts: vec![NamedContext {
            name: name.clone(),
            context: Some(context),
            other: Default::default(),
        }],
        current_context: Some(name),
        ..Kubeconfig::default()
    }
}

async fn get(client: &kube::Client, path: &str) -> Result<String> {
    Ok(client.request_text(Request::get(path).body(Vec::new())?).await?)
}

/// Creates our kinds and waits until each is served.
async fn define(client: &kube::Client) -> Result<()> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(CRDS)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut served = Vec::new();
    for file in files {
        let mut crd: Value = serde_saphyr::from_str(&fs::read_to_string(&file)?)?;
        // Neither server has a webhook to ask; the embedded one converts by itself.
        if crd["spec"]["conversion"]["strategy"] == "Webhook" {
            crd["spec"]["conversion"] = json!({"strategy": "None"});
        }
        for version in crd["spec"]["versions"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (group, plural) = (text(&crd["spec"]["group"]), text(&crd["spec"]["names"]["plural"]));
            served.push(format!("/apis/{group}/{}/{plural}", text(&version["name"])));
        }
        let request = Request::post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
        let request = request.header("content-type", "application/json");
        let response = client.send(request.body(Body::from(crd.to_string().into_bytes()))?).await?;
        ensure!(response.status().is_success(), "{}: {}", file.display(), response.status());
    }
    let started = Instant::now();
    for path in served {
        while get(client, &path).await.is_err() {
            ensure!(started.elapsed() < PATIENCE, "{path} is not served");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
