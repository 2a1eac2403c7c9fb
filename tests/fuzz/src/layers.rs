//! Layer archives: whatever is in one, all that is made is made beneath the layer's own directory, and is no device.

use std::{fs, os::unix::fs::FileTypeExt as _, os::unix::fs::MetadataExt as _, path::Path};

const BLOCK: usize = 512;
/// Where a record's size and checksum stand, and how long they are (POSIX.1-1988, ustar).
const SIZE: std::ops::Range<usize> = 124..136;
const SUM: std::ops::Range<usize> = 148..156;

pub(crate) fn run(data: &[u8]) {
    let mut archive = data.to_vec();
    // The last byte decides whether checksums are put right: without, hardly any input gets beyond the first record.
    if archive.pop().is_some_and(|byte| byte.is_multiple_of(2)) {
        put_checksums_right(&mut archive);
    }
    // In memory where that can be had. `outside` is where a path that escapes by one or two steps would lead.
    let base = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let outside = base.path().join("outside");
    let layer = outside.join("layer");
    fs::create_dir_all(&layer).expect("directories");
    fs::write(outside.join("canary"), "sings").expect("a file");
    let limits = image::Limits { blob_bytes: 1 << 20, layer_bytes: 1 << 20, entries: 200 };
    let _ = image::unpack_layer(&archive[..], &layer, limits);
    assert_eq!(fs::read(outside.join("canary")).ok().as_deref(), Some(&b"sings"[..]), "the canary lives");
    let canary = fs::metadata(outside.join("canary")).expect("it is there");
    assert_eq!((canary.nlink(), canary.mode() & 0o7777), (1, 0o644), "nobody touched the canary");
    assert_eq!(names(&outside), ["canary", "layer"]);
    assert_eq!(names(base.path()), ["outside"]);
    let mut bytes = 0;
    walk(&layer, &mut bytes);
    assert!(bytes <= 1 << 20, "{bytes} bytes out of at most a MiB");
}

/// Puts the checksum of each record right, as far as sizes lead from one to the next.
fn put_checksums_right(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + BLOCK) {
        header[SUM].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[SIZE]).ok();
        let size =
            size.and_then(|text| usize::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()).unwrap_or(0);
        at = at.saturating_add(BLOCK).saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn walk(dir: &Path, bytes: &mut u64) {
    for entry in fs::read_dir(dir).expect("root reads all") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        let kind = metadata.file_type();
        assert!(!kind.is_block_device(), "{} is a block device", path.display());
        assert!(!kind.is_char_device() || metadata.rdev() == 0, "{} is a device", path.display());
        if kind.is_dir() {
            walk(&path, bytes);
        } else if kind.is_file() {
            *bytes += metadata.len() / metadata.nlink();
        }
    }
}
