//! Files that are checked against their digests: downloads that go on where an earlier try ended, and files that are there.

use crate::{
    digest::{Digest, Hasher},
    manifest::Descriptor,
};
use futures::{Stream, TryStreamExt};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use tokio::io::AsyncWriteExt;

/// A download that is under way.
pub(crate) struct Download {
    file: tokio::fs::File,
    hasher: Hasher,
    done: u64,
}

// === impl Download ===

impl Download {
    /// Goes on with the file at `path`, or begins it.
    pub(crate) async fn resume(path: &Path, size: u64) -> io::Result<Self> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
            if file.metadata()?.len() > size {
                file.set_len(0)?;
            }
            let mut hasher = Hasher::default();
            let done = io::copy(&mut file, &mut hasher)?;
            Ok::<_, io::Error>((file, hasher, done))
        });
        let (file, hasher, done) = opened.await.map_err(io::Error::other)??;
        Ok(Self { file: tokio::fs::File::from_std(file), hasher, done })
    }

    /// Bytes that are there.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Begins anew.
    pub(crate) async fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0).await?;
        (self.hasher, self.done) = (Hasher::default(), 0);
        Ok(())
    }

    /// Appends what comes, but no more than the blob's size.
    pub(crate) async fn append<S, B>(
        &mut self,
        mut stream: S,
        size: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> io::Result<()>
    where
        S: Stream<Item = io::Result<B>> + Unpin,
        B: AsRef<[u8]>,
    {
        let result = self.copy(&mut stream, size, progress).await;
        // What came before an error is kept for the next try.
        self.file.flush().await.and(result)
    }

    async fn copy<S, B>(
        &mut self,
        stream: &mut S,
        size: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> io::Result<()>
    where
        S: Stream<Item = io::Result<B>> + Unpin,
        B: AsRef<[u8]>,
    {
        while let Some(piece) = stream.try_next().await? {
            let bytes = piece.as_ref();
            if self.done + bytes.len() as u64 > size {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it is larger than its manifest says",
                ));
            }
            self.file.write_all(bytes).await?;
            self.hasher.update(bytes);
            self.done += bytes.len() as u64;
            progress(self.done);
        }
        Ok(())
    }

    /// The digest of all of it.
    pub(crate) fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

/// Reads a file and compares it with its descriptor. Blocking.
pub(crate) fn verify(path: &Path, descriptor: &Descriptor) -> io::Result<()> {
    let mut hasher = Hasher::default();
    let size = io::copy(&mut open(path)?.take(descriptor.size + 1), &mut hasher)?;
    check(size, &hasher.finish(), descriptor)
}

/// Opens a file that must be one, not a link or a device.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NONBLOCK.bits());
    let file = File::options().read(true).custom_flags(nofollow.unwrap_or(0)).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
    }
    Ok(file)
}

pub(crate) fn check(size: u64, digest: &Digest, descriptor: &Descriptor) -> io::Result<()> {
    if size == descriptor.size && *digest == descriptor.digest {
        return Ok(());
    }
    let what = format!("blob {} has other content than its digest and size say", descriptor.digest);
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}
