use super::*;

/// A host with a little of everything, and secrets beside it.
fn host() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for path in [
        "usr/bin",
        "usr/lib/python3.11",
        "usr/local/etc",
        "etc/ssl/certs",
        "etc/ssl/private",
        "etc/alternatives",
    ] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    for name in ["bin", "lib"] {
        symlink(format!("usr/{name}"), root.join(name)).unwrap();
    }
    for (path, text) in [
        ("usr/lib/os-release", "NAME=host"),
        ("usr/lib/python3.11/EXTERNALLY-MANAGED", ""),
        ("etc/passwd", "SECRET"),
        ("etc/shadow", "SECRET"),
        ("etc/npmrc", "SECRET"),
        ("etc/ssl/private/server.key", "SECRET"),
        ("etc/ssl/certs/both.pem", "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nSECRET"),
        ("etc/ssl/certs/notes.txt", "SECRET"),
        ("etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\nabc"),
        ("etc/ld.so.cache", "cache"),
    ] {
        fs::write(root.join(path), text).unwrap();
    }
    for (path, target) in [
        ("etc/alternatives/awk", "/usr/bin/mawk"),
        ("etc/alternatives/awk.1.gz", "/usr/share/man/man1/mawk.1.gz"),
        ("etc/alternatives/own", "/usr/local/bin/own"),
        ("etc/alternatives/away", "/opt/away"),
        ("etc/ssl/certs/Root.pem", "/usr/share/ca-certificates/mozilla/Root.crt"),
        ("etc/ssl/certs/0a1b.0", "Root.pem"),
        ("etc/ssl/certs/key.pem", "../private/server.key"),
    ] {
        symlink(target, root.join(path)).unwrap();
    }
    dir
}

fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in listed(dir).unwrap() {
        let kind = fs::symlink_metadata(&path).unwrap();
        found.push(path.to_str().unwrap().to_owned());
        if kind.is_dir() {
            found.extend(tree(&path));
        }
    }
    found
}

#[test]
fn the_root_shows_nothing_of_the_hosts_etc_but_public_certificates_and_the_loaders_cache() {
    let (host, made) = (host(), tempfile::tempdir().unwrap());
    let plan = Plan::of(host.path()).unwrap();
    plan.make(made.path()).unwrap();
    let root = Made::at(made.path()).root;
    let paths = tree(&root);
    for path in &paths {
        if fs::symlink_metadata(path).unwrap().is_file() {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
            assert!(!text.contains("SECRET"), "{path}");
        }
    }
    let certificates: Vec<String> = tree(&root.join("etc/ssl/certs"))
        .iter()
        .map(|path| path.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(certificates, ["0a1b.0", "Root.pem", "ca-certificates.crt"]);
    let alternatives = tree(&root.join("etc/alternatives"));
    assert_eq!(alternatives.len(), 1, "{alternatives:?}");
    assert!(fs::read_to_string(root.join("etc/passwd")).unwrap().starts_with("root:x:0:0:"));
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr/bin"));
    assert_eq!(fs::metadata(root.join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
    assert!(!root.join("etc/npmrc").exists() && !root.join("etc/shadow").exists());
}

#[test]
fn what_forbids_pip_to_install_is_hidden_by_what_is_no_file() {
    let (host, made) = (host(), tempfile::tempdir().unwrap());
    let plan = Plan::of(host.path()).unwrap();
    plan.make(made.path()).unwrap();
    assert_eq!(plan.hidden, [host.path().join("usr/lib/python3.11/EXTERNALLY-MANAGED")]);
    let nothing = Made::at(made.path()).nothing;
    assert!(nothing.exists() && !nothing.is_file(), "pip asks whether it is a file");
}

#[test]
fn a_host_whose_bin_is_a_directory_has_it_bound() {
    let host = host();
    fs::remove_file(host.path().join("bin")).unwrap();
    fs::create_dir(host.path().join("bin")).unwrap();
    let plan = Plan::of(host.path()).unwrap();
    assert_eq!(plan.directories, [host.path().join("bin")]);
}

#[test]
fn the_digest_follows_the_host() {
    let host = host();
    let (first, stamp) = (Plan::of(host.path()).unwrap(), Stamp::of(host.path()));
    assert_eq!(stamp, Stamp::of(host.path()));
    assert_eq!(first.digest(), Plan::of(host.path()).unwrap().digest());
    fs::write(host.path().join("etc/ld.so.cache"), "another").unwrap();
    assert_ne!(first.digest(), Plan::of(host.path()).unwrap().digest());
    assert_ne!(stamp, Stamp::of(host.path()));
}
