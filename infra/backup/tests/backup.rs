//! What goes in comes out; what was changed, cut or made by somebody else does not. Needs root, as owners and devices do.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use backup::{Error, Progress, Reader, Target, Writer};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, fgetxattr, fsetxattr, makedev, mknodat};
use std::{
    fs::{self, File, Permissions},
    io::Read as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

/// Calls this for nobody: each test has its own.
fn progress() -> Arc<Progress> {
    Arc::default()
}

fn write(path: &Path, fill: impl FnOnce(&mut Writer)) -> backup::Packed {
    let mut writer = Writer::create(path, false, progress()).unwrap();
    fill(&mut writer);
    writer.finish(false).unwrap()
}

fn unpack(path: &Path, into: &Path) -> Result<(), Error> {
    let mut target = Target::open(into)?;
    Reader::open(path, progress())?.each(|record, content| target.put(record, content).map(|()| true))?;
    target.finish()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

/// Everything that can be said of what lies in a directory, one line each.
fn described(top: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut ahead = vec![PathBuf::new()];
    while let Some(path) = ahead.pop() {
        let full = top.join(&path);
        let found = fs::symlink_metadata(&full).unwrap();
        if found.is_dir() {
            ahead.extend(fs::read_dir(&full).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
        }
        let content =
            if found.is_file() && found.len() < 1000 { fs::read(&full).unwrap() } else { Vec::new() };
        let link = fs::read_link(&full).map(|link| format!("{link:?}")).unwrap_or_default();
        lines.push(format!(
            "{path:?} {:o} {}:{} {}.{} links {} device {} size {} {content:?} {link}",
            found.mode(),
            found.uid(),
            found.gid(),
            found.mtime(),
            found.mtime_nsec(),
            if found.is_dir() { 0 } else { found.nlink() },
            found.rdev(),
            found.len(),
        ));
    }
    lines.sort();
    lines
}

/// A tree with one of everything that a sandbox can make.
fn make_tree(top: &Path) {
    let long = format!("{}/{}", "d".repeat(120), "e".repeat(200));
    fs::create_dir_all(top.join(&long)).unwrap();
    fs::create_dir_all(top.join("empty")).unwrap();
    fs::write(top.join(&long).join("f".repeat(250)), "deep").unwrap();
    fs::write(top.join(std::ffi::OsStr::from_bytes(b"odd \xff\n name")), "odd").unwrap();
    fs::write(top.join("tool"), "#!/bin/sh").unwrap();
    fs::hard_link(top.join("tool"), top.join("empty/again")).unwrap();
    for (name, to) in [("dangling", "/nowhere/at/all"), ("up", "../../../etc"), ("self", "self")] {
        symlink(to, top.join(name)).unwrap();
    }
    symlink("x".repeat(300), top.join("long-link")).unwrap();
    mknodat(CWD, top.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    mknodat(CWD, top.join("hidden"), FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
    let sparse = File::create(top.join("sparse")).unwrap();
    sparse.write_all_at(b"end", 1 << 30).unwrap();
    lchown(top.join("tool"), Some(70_000), Some(4_000_000_000)).unwrap();
    lchown(top.join("up"), Some(1), Some(2)).unwrap();
    fs::set_permissions(top.join("tool"), Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(top.join("empty"), Permissions::from_mode(0o1777)).unwrap();
    let tool = File::open(top.join("tool")).unwrap();
    tool.set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789)).unwrap();
    fsetxattr(File::open(top.join("empty")).unwrap(), "trusted.overlay.opaque", b"y", XattrFlags::empty())
        .unwrap();
    fsetxattr(&tool, "trusted.overlay.origin", b"of this disk", XattrFlags::empty()).unwrap();
    File::open(top.join("empty"))
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(77))
        .unwrap();
}

#[test]
fn a_tree_comes_back_with_everything_that_can_be_said_of_it() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let (top, file, back) = (dir.path().join("top"), dir.path().join("backup"), dir.path().join("back"));
    fs::create_dir(&back).unwrap();
    make_tree(&top);
    let packed = write(&file, |writer| writer.tree("volumes", &top).unwrap());
    assert_eq!((packed.left_out.entries, packed.size), (0, fs::metadata(&file).unwrap().len()));
    assert!(packed.size < 100_000, "the gigabyte of nothing is not in it: {}", packed.size);
    unpack(&file, &back).unwrap();
    let (before, after) = (described(&top), described(&back.join("volumes")));
    assert_eq!(after, before);
    let mut end = [0; 3];
    File::open(back.join("volumes/sparse")).unwrap().read_exact_at(&mut end, 1 << 30).unwrap();
    assert_eq!(&end, b"end");
    let attribute = |name: &str, attribute: &str| {
        let mut value = [0; 100];
        let file = File::open(back.join("volumes").join(name)).unwrap();
        fgetxattr(file, attribute, &mut value).map(|length| value[..length].to_vec()).ok()
    };
    assert_eq!(attribute("empty", "trusted.overlay.opaque").as_deref(), Some(&b"y"[..]));
    assert_eq!(attribute("tool", "trusted.overlay.origin"), None, "it names a file of the old disk");
    let sparse = fs::metadata(back.join("volumes/sparse")).unwrap();
    assert!(sparse.blocks() < 100 && sparse.len() == (1 << 30) + 3);
}

#[test]
fn any_tool_that_knows_zstd_and_tar_can_look_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup");
    write(&file, |writer| writer.file("node-name", 0o644, b"box\n").unwrap());
    // From the first byte to the last: decoders skip both ends.
    let plain = zstd::Decoder::new(File::open(&file).unwrap()).unwrap();
    let mut archive = tar::Archive::new(plain);
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    assert_eq!((entry.path().unwrap().to_str(), text.as_str()), (Some("node-name"), "box\n"));
}

#[test]
fn what_cannot_be_put_back_is_left_out_and_said() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let (top, file) = (dir.path().join("top"), dir.path().join("backup"));
    fs::create_dir(&top).unwrap();
    let _socket = UnixListener::bind(top.join("socket")).unwrap();
    mknodat(CWD, top.join("zero"), FileType::CharacterDevice, Mode::empty(), makedev(1, 5)).unwrap();
    // Deeper than any path is long, as a program makes it: by stepping in.
    let script = "for i in $(seq 30); do n=$(printf 'd%.0s' $(seq 200)); mkdir $n; cd -P $n 2>/dev/null || exit 0; done";
    let made = std::process::Command::new("bash").current_dir(&top).args(["-c", script]).status();
    made.unwrap();
    let packed = write(&file, |writer| writer.tree("t", &top).unwrap());
    let first = packed.left_out.first.unwrap();
    assert!(
        packed.left_out.entries == 2 && (first.contains("a device") || first.contains("too long")),
        "{first}"
    );
    let back = dir.path().join("back");
    fs::create_dir(&back).unwrap();
    unpack(&file, &back).unwrap();
    assert!(!names(&back.join("t")).contains(&"socket".to_owned()));
}

#[test]
fn a_backup_has_its_name_only_once_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup");
    let mut writer = Writer::create(&file, false, progress()).unwrap();
    writer.file("one", 0o600, b"1").unwrap();
    assert!(!file.exists());
    drop(writer);
    assert_eq!(names(dir.path()), [""; 0], "one that was given up leaves nothing");
    // A file that came meanwhile is somebody's.
    let writer = Writer::create(&file, false, progress()).unwrap();
    fs::write(&file, "mine").unwrap();
    assert!(matches!(writer.finish(false), Err(Error::Exists(path)) if path == file));
    assert!(matches!(Writer::create(&file, false, progress()), Err(Error::Exists(_))));
    assert_eq!((names(dir.path()), fs::read(&file).unwrap()), (vec!["backup".to_owned()], b"mine".to_vec()));
    Writer::create(&file, true, progress()).unwrap().finish(true).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Reader::open(&file, progress()).is_ok());
    assert_eq!(names(dir.path()), ["backup"]);
}

#[test]
fn one_that_is_told_to_end_ends_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (file, told) = (dir.path().join("backup"), progress());
    let mut writer = Writer::create(&file, false, told.clone()).unwrap();
    told.end();
    assert!(matches!(writer.file("one", 0o600, b"1"), Err(Error::Stopped)));
    drop(writer);
    assert_eq!(names(dir.path()), [""; 0]);
    write(&file, |writer| writer.file("one", 0o600, b"1").unwrap());
    assert!(matches!(Reader::open(&file, told), Err(Error::Stopped)));
}

#[test]
fn every_changed_byte_and_every_cut_is_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (file, other) = (dir.path().join("backup"), dir.path().join("other"));
    write(&file, |writer| {
        writer.file("one", 0o600, &[7; 5000]).unwrap();
        writer.file("two", 0o600, b"2").unwrap();
    });
    let whole = fs::read(&file).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&other, bytes).unwrap();
        Reader::open(&other, progress()).expect_err("refused")
    };
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        let refusal = refused(&flipped);
        assert!(refusal.to_string().contains("other"), "byte {at}: {refusal}");
        let refusal = refused(&whole[..at]);
        let right = if at < 20 { "is not a backup" } else { "cut off" };
        assert!(refusal.to_string().contains(right), "cut at {at}: {refusal}");
    }
    let longer = [&whole[..], b"more"].concat();
    assert!(matches!(refused(&longer), Error::Damaged { .. }));
    let newer = [&whole[..16], &9_u32.to_le_bytes(), &whole[20..]].concat();
    assert!(matches!(refused(&newer), Error::TooNew { found: 9, supported: 1, .. }));
    let foreign = zstd::encode_all(&b"something else"[..], 3).unwrap();
    assert!(matches!(refused(&foreign), Error::Foreign(_)));
}

#[test]
fn nothing_is_made_outside_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (outside, top) = (dir.path().join("outside"), dir.path().join("top"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&top).unwrap();
    symlink(&outside, top.join("link")).unwrap();
    for (number, name) in
        ["../outside/x", "/outside/x", "t/../../outside/x", "t/link/x", "t"].iter().enumerate()
    {
        let (file, back) =
            (dir.path().join(format!("{number}.backup")), dir.path().join(format!("{number}")));
        fs::create_dir(&back).unwrap();
        write(&file, |writer| {
            writer.tree("t", &top).unwrap();
            writer.file(name, 0o600, b"bad").unwrap();
        });
        let refusal = unpack(&file, &back).expect_err(name);
        assert!(matches!(refusal, Error::Io { action: "make", .. }), "{name}: {refusal}");
        assert_eq!(names(&outside), [""; 0], "{name}");
    }
}

/// A sandbox that swaps a directory for a link to somewhere else, again and again, while it is read.
#[test]
fn a_tree_that_changes_meanwhile_never_leads_outside() {
    let dir = tempfile::tempdir().unwrap();
    let (outside, top) = (dir.path().join("outside"), dir.path().join("top"));
    fs::create_dir_all(outside.join("in")).unwrap();
    fs::write(outside.join("in/secret"), "secret").unwrap();
    fs::create_dir_all(top.join("a/in")).unwrap();
    fs::write(top.join("a/in/mine"), "mine").unwrap();
    symlink(&outside, top.join("b")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (top, stop) = (top.clone(), stop.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(
                    CWD,
                    top.join("a"),
                    CWD,
                    top.join("b"),
                    rustix::fs::RenameFlags::EXCHANGE,
                )
                .unwrap();
                let passing = top.join("a/passing");
                let _ = fs::write(&passing, "x").and_then(|()| fs::remove_file(&passing));
            }
        }
    });
    for round in 0..50 {
        let file = dir.path().join(format!("{round}"));
        write(&file, |writer| writer.tree("t", &top).unwrap());
        Reader::open(&file, progress())
            .unwrap()
            .each(|record, _| {
                let path = String::from_utf8_lossy(&record.path).into_owned();
                assert!(!path.contains("secret"), "{path}");
                Ok::<_, Error>(true)
            })
            .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
}
