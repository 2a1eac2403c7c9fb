//! Turns a layer's archive into a directory for overlayfs: whiteouts become what overlayfs understands, owners and
//! set-user-id bits stay as they are, device nodes are left out.

use crate::{
    archive::{self, Limits, Record, bad},
    digest::Digest,
    tree::{self, Existing, Tree},
};
use std::{
    io::{self, BufRead, Read},
    os::fd::AsFd,
    path::Path,
};
use tar::EntryType;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names that begin like this are notes of an older file system to itself.
const WHITEOUT_NOTE: &[u8] = b".wh..wh.";

struct Unpacker {
    tree: Tree,
    /// Directories and their times, set at the end because filling a directory changes its time.
    directories: Vec<(Vec<u8>, i64)>,
    devices: u64,
}

/// Unpacks a layer into the empty directory `into` and gives the digest of its uncompressed archive (its diff id).
///
/// Blocking. `into` is not synced.
pub(crate) fn unpack(blob: impl BufRead, into: &Path, limits: Limits) -> io::Result<Digest> {
    let mut unpacker = Unpacker { tree: Tree::new(into)?, directories: Vec::new(), devices: 0 };
    let digest = archive::read(blob, limits, |record, content| {
        unpacker.entry(record, content).map_err(|error| {
            let path = String::from_utf8_lossy(&record.path).chars().take(200).collect::<String>();
            io::Error::new(error.kind(), format!("entry {path:?}: {error}"))
        })
    })?;
    unpacker.finish()?;
    Ok(digest)
}

/// Unpacks one layer, possibly compressed, into an empty directory. [`Images`](crate::Images) does so itself with what it has
/// checked; this is for those who have a layer and no image, such as a fuzzer.
///
/// # Errors
/// The archive is malformed, exceeds a limit, or asks for what no layer may have; `into` then holds a part of it.
pub fn unpack_layer(blob: impl BufRead, into: &Path, limits: Limits) -> io::Result<()> {
    unpack(blob, into, limits).map(drop)
}

// === impl Unpacker ===

impl Unpacker {
    fn entry(&mut self, record: &Record, content: &mut dyn Read) -> io::Result<()> {
        let components = components(&record.path)?;
        let Some((name, parents)) = components.split_last() else {
            // The root itself, which the archive may give a mode and an owner.
            return match record.kind {
                EntryType::Directory => tree::dress(self.tree.root(), record),
                _ => Err(bad("only a directory can be the root")),
            };
        };
        if *name == OPAQUE {
            return tree::make_opaque(self.tree.directory(parents)?.as_fd());
        }
        if name.starts_with(WHITEOUT_NOTE) {
            return Ok(());
        }
        match name.strip_prefix(WHITEOUT) {
            Some(hidden) => self.whiteout(parents, hidden),
            None => self.file(&components, record, content),
        }
    }

    /// Hides a name of the layers below; not what this layer has itself.
    fn whiteout(&mut self, parents: &[&[u8]], hidden: &[u8]) -> io::Result<()> {
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(bad("a whiteout hides no name"));
        }
        let components = [parents, &[hidden]].concat();
        let place = self.tree.place(&components)?;
        match place.existing()? {
            None => place.make_whiteout(),
            Some(Existing::Directory) => tree::make_opaque(place.make_directory()?.as_fd()),
            Some(Existing::Whiteout | Existing::Other) => Ok(()),
        }
    }

    fn file(&mut self, components: &[&[u8]], record: &Record, content: &mut dyn Read) -> io::Result<()> {
        if matches!(record.kind, EntryType::Char | EntryType::Block) {
            self.devices += 1;
            return Ok(());
        }
        if record.kind == EntryType::Directory {
            return self.directory(components, record);
        }
        let existing = self.tree.place(components)?.existing()?;
        if let Some(existing) = existing {
            self.tree.place(components)?.remove(existing)?;
            self.tree.forget();
        }
        if record.kind == EntryType::Link {
            let target = self::components(&record.link)?;
            // The place borrows the tree's cache, so the link is made through a second view of the same directory.
            let mut view = self.tree.view()?;
            return self.tree.hard_link(&target, &view.place(components)?);
        }
        let place = self.tree.place(components)?;
        match record.kind {
            EntryType::Regular | EntryType::Continuous => place.write_file(record, content),
            EntryType::Symlink => place.make_symlink(record),
            EntryType::Fifo => place.make_fifo(record),
            other => Err(bad(format!("its type {:?} is not known", other.as_byte() as char))),
        }
    }

    fn directory(&mut self, components: &[&[u8]], record: &Record) -> io::Result<()> {
        let place = self.tree.place(components)?;
        let existing = place.existing()?;
        if let Some(other @ (Existing::Whiteout | Existing::Other)) = existing {
            place.remove(other)?;
        }
        let directory = place.make_directory()?;
        if existing == Some(Existing::Whiteout) {
            tree::make_opaque(directory.as_fd())?;
        }
        tree::dress(directory.as_fd(), record)?;
        self.directories.push((components.join(&b'/'), record.mtime));
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        if self.devices > 0 {
            tracing::info!(count = self.devices, "left device nodes out of a layer");
        }
        for (path, mtime) in self.directories.iter().rev() {
            let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
            // A later entry may have replaced it by something else.
            if let Ok(directory) = self.tree.existing_directory(&parts) {
                tree::set_times(directory.as_fd(), *mtime)?;
            }
        }
        Ok(())
    }
}

/// A path's components. Absolute paths are taken from the layer's root, as every tool does; `..` never means anything good.
fn components(path: &[u8]) -> io::Result<Vec<&[u8]>> {
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) {
        return Err(bad("its path has `..` in it"));
    }
    if path.contains(&0) {
        return Err(bad("its path has a zero byte in it"));
    }
    Ok(parts)
}
