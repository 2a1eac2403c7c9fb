//! Layers, kind and hostile.

use crate::fixture::{Layer, Packing, pack, place};
use image::{Config, Images, Limits};
use rustix::fs as rfs;
use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};
use tar::EntryType;

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rfs::lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

#[tokio::test]
async fn files_keep_mode_owner_time_and_links() {
    let place = place();
    let layer = Layer::default()
        .dir("bin/")
        .entry(EntryType::Regular, "bin/su", "", 0o4755, b"program")
        .entry(EntryType::Regular, "empty", "", 0o640, b"")
        .owned(1234)
        .link("bin/su2", "bin/su")
        .symlink("sh", "/bin/su")
        .entry(EntryType::Fifo, "pipe", "", 0o600, b"");
    let root = place.layer(layer).await;
    let su = fs::metadata(root.join("bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.mtime(), su.nlink()), (0o4755, 0, 1_000_000_000, 2));
    assert_eq!(su.ino(), fs::metadata(root.join("bin/su2")).unwrap().ino());
    let empty = fs::metadata(root.join("empty")).unwrap();
    assert_eq!((empty.mode() & 0o7777, empty.uid(), empty.gid()), (0o640, 1234, 1234));
    assert_eq!(fs::read_link(root.join("sh")).unwrap(), Path::new("/bin/su"));
    assert!(fs::symlink_metadata(root.join("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(fs::metadata(root.join("bin")).unwrap().mtime(), 1_000_000_000);
}

#[tokio::test]
async fn whiteouts_become_what_overlayfs_understands() {
    let place = place();
    let layer = Layer::default()
        .dir("etc")
        .file("etc/.wh.gone", "")
        .dir("opt")
        .file("opt/.wh..wh..opq", "")
        .file("opt/new", "x")
        .file(".wh..wh.plnk", "")
        .file("both", "kept")
        .file(".wh.both", "")
        .file(".wh.later", "")
        .dir("later");
    let root = place.layer(layer).await;
    let gone = fs::symlink_metadata(root.join("etc/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(xattr(&root.join("opt"), "trusted.overlay.opaque"), Some(b"y".to_vec()));
    assert_eq!(fs::read_to_string(root.join("both")).unwrap(), "kept");
    // A directory that replaces one of a lower layer does not show that one's files.
    assert_eq!(xattr(&root.join("later"), "trusted.overlay.opaque"), Some(b"y".to_vec()));
    let names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_str().unwrap().starts_with(".wh.")), "{names:?}");
}

#[tokio::test]
async fn overlayfs_shows_two_layers_as_one_image() {
    let place = place();
    let lower = Layer::default().dir("d").file("d/old", "old").file("gone", "x").file("same", "1").tar();
    let upper = Layer::default()
        .dir("d")
        .file("d/.wh..wh..opq", "")
        .file("d/new", "new")
        .file(".wh.gone", "")
        .file("same", "2");
    let image = place.import(vec![lower, upper.tar()]).await.unwrap();
    let lowers: Vec<_> = image.lowers.iter().map(|path| path.to_str().unwrap()).collect();
    let at = place.dir.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let script = format!(
        "mount -t overlay overlay -o lowerdir={} {at}; cd {at}; find . | sort; cat same",
        lowers.join(":"),
        at = at.display()
    );
    // In a mount namespace of its own, so that nothing is left.
    let output = std::process::Command::new("unshare").args(["-m", "sh", "-ec", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), ".\n./d\n./d/new\n./same\n2", "{output:?}");
    assert_eq!(image.read(Path::new("/same"), 10).unwrap(), Some(b"2".to_vec()));
    assert_eq!(image.read(Path::new("gone"), 10).unwrap(), None);
    assert!(image.read(Path::new("same"), 0).is_err());
}

#[tokio::test]
async fn a_link_never_leads_out_of_the_layer() {
    let place = place();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    let target = outside.to_str().unwrap();
    let layer = Layer::default()
        .dir(&target[1..])
        .symlink("away", target)
        .file("away/file", "inside")
        .symlink("up", "../../../../../../../../..")
        .file("up/escaped", "inside")
        .symlink("etc", "/etc2")
        .file("/absolute", "inside");
    let root = place.layer(layer).await;
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    // As a container would see it, whose root the layer is.
    assert_eq!(fs::read_to_string(root.join(&target[1..]).join("file")).unwrap(), "inside");
    assert_eq!(fs::read_to_string(root.join("escaped")).unwrap(), "inside");
    assert_eq!(fs::read_to_string(root.join("absolute")).unwrap(), "inside");
    assert!(!Path::new("/escaped").exists() && !Path::new("/absolute").exists());
}

#[tokio::test]
async fn a_file_written_over_a_link_replaces_the_link() {
    let place = place();
    let victim = place.dir.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let root = place.layer(Layer::default().symlink("f", victim.to_str().unwrap()).file("f", "new")).await;
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(fs::read_to_string(root.join("f")).unwrap(), "new");
}

#[tokio::test]
async fn hostile_entries_are_refused_and_leave_nothing() {
    let place = place();
    for (layer, reason) in [
        (Layer::default().file("../escape", ""), ".."),
        (Layer::default().file("a/../../escape", ""), ".."),
        (Layer::default().link("shadow", "../../../../../../etc/shadow"), ".."),
        (Layer::default().link("shadow", "/etc/shadow"), "not in its layer"),
        (Layer::default().symlink("e", "/etc").link("s", "e/shadow"), "not in its layer"),
        (Layer::default().symlink("loop", "loop").file("loop/f", ""), "cannot be unpacked"),
        (Layer::default().symlink("dangling", "/nowhere").file("dangling/f", ""), "leads nowhere"),
        (Layer::default().file("x/.wh...", ""), "whiteout"),
        (Layer::default().file("x/.wh.", ""), "whiteout"),
        (Layer::default().file("", ""), "root"),
        (Layer::default().pax(&[("size", b"99")]).file("f", "x"), "two different sizes"),
        (Layer::default().pax(&[("GNU.sparse.major", b"1")]).file("f", "x"), "sparse"),
        (Layer::default().pax(&[("path", b"../../p")]).file("f", "x"), ".."),
        (Layer::default().entry(EntryType::GNULongName, "l", "", 0, b"../x\0").file("f", ""), ".."),
        (
            Layer::default().entry(EntryType::GNULongName, "l", "", 0, &vec![b'a'; 2 << 20]).file("f", ""),
            "too long",
        ),
        (Layer::default().entry(EntryType::new(b'Z'), "f", "", 0, b""), "type"),
    ] {
        let error = place.refused(layer).await;
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn device_nodes_are_left_out() {
    let place = place();
    let layer = Layer::default().dir("dev").entry(EntryType::Char, "dev/mem", "", 0o666, b"").entry(
        EntryType::Block,
        "sda",
        "",
        0o666,
        b"",
    );
    let root = place.layer(layer.entry(EntryType::Char, "hidden", "", 0, b"")).await;
    assert_eq!(fs::read_dir(root.join("dev")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
}

#[tokio::test]
async fn only_capabilities_and_user_attributes_are_kept() {
    let place = place();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let layer = Layer::default()
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.security.selinux", b"x"),
        ])
        .file("ping", "p");
    let root = place.layer(layer).await;
    assert_eq!(xattr(&root.join("ping"), "security.capability"), Some(capability.to_vec()));
    for name in ["trusted.overlay.opaque", "trusted.overlay.redirect", "security.selinux"] {
        assert_eq!(xattr(&root.join("ping"), name), None, "{name}");
    }
}

#[tokio::test]
async fn long_names_of_both_kinds_are_kept() {
    let place = place();
    let (gnu, pax) = ("g".repeat(200), "p".repeat(200));
    let layer = Layer::default()
        .entry(EntryType::GNULongName, "././@LongLink", "", 0, format!("d/{gnu}\0").as_bytes())
        .file("short", "1")
        .pax(&[("path", format!("d/{pax}").as_bytes())])
        .file("short", "2");
    let root = place.layer(layer).await;
    assert_eq!(fs::read_to_string(root.join("d").join(gnu)).unwrap(), "1");
    assert_eq!(fs::read_to_string(root.join("d").join(pax)).unwrap(), "2");
}

#[tokio::test]
async fn caps_on_entries_and_bytes_stop_a_bomb() {
    let place = place();
    let limits = Limits { entries: 10, layer_bytes: 1 << 20, ..Limits::default() };
    let config = Config { dir: place.dir.path().join("capped"), limits, ..Config::default() };
    let images = Images::open(config).unwrap();
    let many = (0..20).fold(Layer::default(), |layer, number| layer.file(&format!("f{number}"), "")).tar();
    let large = Layer::default().file("zeros", &"\0".repeat(4 << 20)).tar();
    for (tar, reason) in [(many, "more than 10 entries"), (large, "larger than the limit")] {
        let layout = place.dir.path().join("layout");
        let packed = pack(&tar, Packing::Gzip);
        assert!(packed.len() < 100_000);
        crate::fixture::build(&[tar], Packing::Gzip).layout(&layout);
        let error = images.import(&layout, "local/bomb:1").await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        fs::remove_dir_all(layout).unwrap();
    }
}
