//! The built-in image on this very host.

use crate::fixture::place;
use std::{fs, process::Command};

/// Mounts the image as the agent would and runs a script in it.
async fn run(script: &str) -> String {
    let place = place();
    let image = place.images.get("host").await.unwrap();
    let root = place.dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let at = root.display();
    let mut setup = format!(
        "mount -t tmpfs none {at}; mkdir {at}/u {at}/w {at}/m
         mount -t overlay overlay -o lowerdir={},upperdir={at}/u,workdir={at}/w {at}/m; cd {at}/m\n",
        image.lowers[0].display()
    );
    for bind in &image.binds {
        let (source, target) = (bind.source.display(), bind.target.display());
        setup +=
            &format!("mount --bind {source} .{target}; mount -o remount,bind,ro,nosuid,nodev .{target}\n");
    }
    setup += "mount -t proc proc proc; mkdir -p dev; mknod -m 666 dev/null c 1 3\n";
    setup += "exec env -i PATH=/usr/sbin:/usr/bin:/bin HOME=/root chroot . /bin/sh -ec \"$0\"";
    let output = Command::new("unshare").args(["-m", "sh", "-ec", &setup, script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn shell_python_and_git_work() {
    let script =
        "python3 -c 'import ssl, ctypes, json; print(6 * 7)'; cd /tmp; git init -q r; ls -d r; id -un";
    assert_eq!(run(script).await, "42\nr\nroot\n");
}

#[tokio::test]
async fn pip_is_not_told_that_the_host_forbids_it() {
    let script = "python3 -c 'import os, sysconfig
print(os.path.isfile(sysconfig.get_path(\"stdlib\") + \"/EXTERNALLY-MANAGED\"))'";
    assert_eq!(run(script).await, "False\n");
}

#[tokio::test]
async fn nothing_else_of_the_host_is_seen() {
    let script = "ls -A /usr/local; ls -A /root /home /srv /opt; ls /etc; touch /usr/bin/x 2>/dev/null || echo read-only; touch /etc/x";
    let seen = run(script).await;
    let etc: Vec<&str> = seen.lines().filter(|line| !line.ends_with(':') && !line.is_empty()).collect();
    assert_eq!(
        etc,
        [
            "alternatives",
            "group",
            "hostname",
            "hosts",
            "ld.so.cache",
            "machine-id",
            "mtab",
            "nsswitch.conf",
            "os-release",
            "passwd",
            "profile",
            "resolv.conf",
            "services",
            "shells",
            "ssl",
            "read-only"
        ]
    );
}

#[tokio::test]
async fn it_is_made_once_and_answers_to_both_names() {
    let place = place();
    let first = place.images.get("host").await.unwrap();
    let second = place.images.pull("agent-sandbox/host:latest", None, |_| {}).await.unwrap();
    assert_eq!((first.reference.as_str(), &first.lowers), ("agent-sandbox/host:latest", &second.lowers));
    assert_eq!(place.images.hold("host", "whatever").await.unwrap().lowers, first.lowers);
    assert_eq!(place.children("host"), 1);
    place.images.collect().await.unwrap();
    assert_eq!(place.children("host"), 1, "it is in use");
    drop((first, second));
    place.images.collect().await.unwrap();
    assert_eq!(place.children("host"), 0);
}
