//! Writes the administrator's kubeconfig, and keeps its certificate new.
//!
//! **Invariant:** a file is replaced as a whole, and never belongs to somebody else in between. Links are replaced, not followed:
//! under sudo the directory is somebody else's.

use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::pki::{Pki, replace_file};

/// The name of the context, the cluster and the user.
pub const CONTEXT: &str = "agent-sandbox";

/// Writes a kubeconfig at `path` with a context, cluster and user named `agent-sandbox`, readable by its owner only.
/// Entries of other names in a file that already exists are kept; the current context is set where there is none.
/// `owner` is the user and group that shall own the file (the invoking user under sudo). Blocks on files.
///
/// # Errors
/// A file that cannot be written, or one that exists and is not a kubeconfig.
pub fn write(path: &Path, server: &str, pki: &Pki, owner: Option<(u32, u32)>) -> io::Result<()> {
    write_beside(path, CONTEXT, server, pki, owner).map(drop)
}

/// As [`write`], but where the name `agent-sandbox` belongs to another installation (another CA on another address) the
/// entries are named `beside`. Gives the name that was used.
///
/// # Errors
/// As [`write`].
pub fn write_beside(
    path: &Path,
    beside: &str,
    server: &str,
    pki: &Pki,
    owner: Option<(u32, u32)>,
) -> io::Result<String> {
    let mut config = match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => parse(&text)?,
        Ok(_) => skeleton(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => skeleton(),
        Err(error) => return Err(error),
    };
    let cluster =
        json!({"server": server, "certificate-authority-data": BASE64_STANDARD.encode(pki.ca_pem())});
    let name = if is_free(&config, &cluster) { CONTEXT } else { beside };
    merge(&mut config, name, &cluster, pki);
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        owner.map_or(Ok(()), |(user, group)| chown(parent, Some(user), Some(group)))?;
    }
    let text = serde_saphyr::to_string(&config).map_err(invalid)?;
    let owner = owner.or_else(|| Kept::of(path).map(|kept| kept.owner));
    replace_file(path, text.as_bytes(), 0o600, owner)?;
    Ok(name.to_owned())
}

/// Puts the administrator's present certificate where a kubeconfig has an older one of the same authority; the file keeps its
/// owner and mode. One that is gone, or has no such entry any more, is left alone. Whether it was changed. Blocks on files.
///
/// # Errors
/// A file that cannot be read or written, or that is not a kubeconfig.
pub fn renew(path: &Path, pki: &Pki) -> io::Result<bool> {
    let (Some(mut config), Some(kept)) = (read(path)?, Kept::of(path)) else { return Ok(false) };
    let ours = BASE64_STANDARD.encode(pki.ca_pem());
    let names = clusters_of(&config, &ours.into());
    let user = user(pki);
    let mut changed = false;
    for entry in config["users"].as_array_mut().into_iter().flatten() {
        // Somebody may have put another proof of who he is there.
        let is_ours = names.contains(&entry["name"]) && entry["user"]["client-certificate-data"].is_string();
        if is_ours && entry["user"] != user {
            entry["user"] = user.clone();
            changed = true;
        }
    }
    if changed {
        let text = serde_saphyr::to_string(&config).map_err(invalid)?;
        replace_file(path, text.as_bytes(), kept.mode, Some(kept.owner))?;
    }
    Ok(changed)
}

/// What a file keeps when it is replaced.
struct Kept {
    owner: (u32, u32),
    mode: u32,
}

// === impl Kept ===

impl Kept {
    /// None of what is no file.
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        Some(Self { owner: (found.uid(), found.gid()), mode: found.mode() & 0o777 })
    }
}

/// Takes what has the CA of the kubeconfig `own` out of the kubeconfig at `path`, which keeps its owner: another
/// installation's context stays, whatever its name. Files that do not exist are fine. Blocks on files.
///
/// # Errors
/// A file that cannot be read or written, or that is not a kubeconfig.
pub fn remove(path: &Path, own: &Path) -> io::Result<()> {
    let (Some(mut config), Some(own)) = (read(path)?, read(own)?) else { return Ok(()) };
    let ours = &own["clusters"][0]["cluster"]["certificate-authority-data"];
    let names = clusters_of(&config, ours);
    for list in ["clusters", "users", "contexts"] {
        if let Some(entries) = config[list].as_array_mut() {
            entries.retain(|entry| !names.contains(&entry["name"]));
        }
    }
    if names.contains(&config["current-context"]) {
        config["current-context"] = "".into();
    }
    let owner = std::fs::metadata(path)?;
    let text = serde_saphyr::to_string(&config).map_err(invalid)?;
    replace_file(path, text.as_bytes(), 0o600, Some((owner.uid(), owner.gid())))
}

/// The names of the clusters that have an authority.
fn clusters_of(config: &Value, authority: &Value) -> Vec<Value> {
    let clusters = config["clusters"].as_array().into_iter().flatten();
    let theirs = clusters.filter(|entry| entry["cluster"]["certificate-authority-data"] == *authority);
    theirs.map(|entry| entry["name"].clone()).collect()
}

fn read(path: &Path) -> io::Result<Option<Value>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => parse(&text?).map(Some),
    }
}

/// Whether the usual name is nobody's, ours, or that of an installation whose address we have now.
fn is_free(config: &Value, cluster: &Value) -> bool {
    let mut entries = config["clusters"].as_array().into_iter().flatten();
    let Some(taken) = entries.find(|entry| entry["name"] == CONTEXT) else { return true };
    let same = |key: &str| taken["cluster"][key] == cluster[key];
    same("certificate-authority-data") || same("server")
}

fn parse(text: &str) -> io::Result<Value> {
    let config: Value = serde_saphyr::from_str(text).map_err(invalid)?;
    if config.is_object() { Ok(config) } else { Err(invalid("the file is not a kubeconfig")) }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn skeleton() -> Value {
    json!({"apiVersion": "v1", "kind": "Config", "preferences": {}})
}

fn merge(config: &mut Value, name: &str, cluster: &Value, pki: &Pki) {
    let user = user(pki);
    put(config, "clusters", json!({"name": name, "cluster": cluster}));
    put(config, "users", json!({"name": name, "user": user}));
    put(config, "contexts", json!({"name": name, "context": {"cluster": name, "user": name}}));
    if config["current-context"].as_str().unwrap_or_default().is_empty() {
        config["current-context"] = name.into();
    }
}

/// The administrator's proof.
fn user(pki: &Pki) -> Value {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let admin = pki.admin();
    json!({"client-certificate-data": encode(&admin.cert), "client-key-data": encode(&admin.key)})
}

fn put(config: &mut Value, list: &str, entry: Value) {
    if !config[list].is_array() {
        config[list] = json!([]);
    }
    if let Some(entries) = config[list].as_array_mut() {
        entries.retain(|old| old["name"] != entry["name"]);
        entries.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn other_contexts_are_kept_and_the_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now();
        let pki = Pki::ensure(&dir.path().join("pki"), [127, 0, 0, 1].into(), now).unwrap();
        let path = dir.path().join("kube/config");
        write(&path, "https://127.0.0.1:6443", &pki, None).unwrap();
        let mut config = parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(config["current-context"], CONTEXT);
        config["current-context"] = "other".into();
        put(&mut config, "users", json!({"name": "other", "user": {}}));
        std::fs::write(&path, serde_saphyr::to_string(&config).unwrap()).unwrap();
        write(&path, "https://127.0.0.1:7443", &pki, None).unwrap();
        let config = parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(config["current-context"], "other");
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:7443");
        assert_eq!(config["users"].as_array().unwrap().len(), 2);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let own = dir.path().join("own");
        write(&own, "https://127.0.0.1:7443", &pki, None).unwrap();
        remove(&path, &own).unwrap();
        let config = parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(config["users"].as_array().unwrap().len(), 1);
        assert!(config["contexts"].as_array().unwrap().is_empty());
    }

    #[test]
    fn a_renewed_certificate_is_put_into_the_file_that_keeps_its_owner_mode_and_other_entries() {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now();
        let pki = |name: &str| Pki::ensure(&dir.path().join(name), [127, 0, 0, 1].into(), now).unwrap();
        let (ours, other) = (pki("one"), pki("two"));
        let path = dir.path().join("config");
        write(&path, "https://127.0.0.1:7443", &ours, None).unwrap();
        write_beside(&path, "other", "https://127.0.0.1:7444", &other, None).unwrap();
        chown(&path, Some(4242), Some(4243)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(!renew(&path, &ours).unwrap(), "there is nothing to renew yet");
        let before = parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let old = ours.admin();
        assert!(ours.renew_admin(now + jiff::SignedDuration::from_hours(24 * 366)).unwrap().0);
        assert!(renew(&path, &ours).unwrap());
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (4242, 4243, 0o640));
        let after = parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for list in ["clusters", "contexts", "current-context"] {
            assert_eq!(after[list], before[list]);
        }
        assert_eq!(after["users"][1], before["users"][1], "another installation's");
        assert_eq!(after["users"][0]["user"], user(&ours));
        assert_ne!(old.cert, ours.admin().cert);
        // What a person took out or replaced stays so.
        let mut token = after;
        token["users"][0]["user"] = json!({"token": "mine"});
        std::fs::write(&path, serde_saphyr::to_string(&token).unwrap()).unwrap();
        assert!(!renew(&path, &ours).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!renew(&path, &ours).unwrap() && !path.exists());
        let names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "nothing half-made is left: {names:?}");
    }

    #[test]
    fn two_installations_share_a_file_and_neither_takes_the_others_context() {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now();
        let pki = |name: &str| Pki::ensure(&dir.path().join(name), [127, 0, 0, 1].into(), now).unwrap();
        let (one, two) = (pki("one"), pki("two"));
        let path = dir.path().join("config");
        let beside = |pki: &Pki, port: u16| {
            write_beside(&path, "agent-sandbox-2", &format!("https://127.0.0.1:{port}"), pki, None).unwrap()
        };
        assert_eq!(beside(&one, 7443), CONTEXT);
        assert_eq!(beside(&two, 7444), "agent-sandbox-2");
        assert_eq!(beside(&one, 7445), CONTEXT, "its own name, on another address");
        let own = dir.path().join("own");
        write(&own, "https://127.0.0.1:7444", &two, None).unwrap();
        remove(&path, &own).unwrap();
        let left = parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(left["contexts"].as_array().unwrap().len(), 1);
        assert_eq!(left["contexts"][0]["name"], CONTEXT);
        assert_eq!(beside(&two, 7445), CONTEXT, "an address has one server: the one that was there is gone");
    }
}
