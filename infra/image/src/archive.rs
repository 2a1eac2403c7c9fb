//! Reads layer archives: decompression, tar records, caps. Decides nothing about file systems.
//!
//! Extension records (long names, PAX) are read here and not by the tar crate, which would take their length on trust
//! and fill the memory with it.

use crate::digest::{Digest, Hasher};
use std::{
    collections::HashMap,
    io::{self, BufRead, Read},
};
use tar::EntryType;

/// Caps on what an image may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one layer, compressed. Default 16 GiB.
    pub blob_bytes: u64,
    /// Bytes of one layer, uncompressed. Default 32 GiB.
    pub layer_bytes: u64,
    /// Files, directories and links of one layer. Default 1,000,000.
    pub entries: u64,
}

/// Names and attributes of one entry take no more memory than this.
const MAX_EXTENSION: u64 = 1 << 20;
/// A zstd stream may ask for this window at most (2^27 bytes, what the reference tool allows without being asked).
const ZSTD_WINDOW_LOG: u32 = 27;

/// An entry with all that came before it in extension records.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryType,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since the epoch.
    pub(crate) mtime: i64,
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

/// What came before an entry.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: HashMap<String, Vec<u8>>,
}

/// A reader that hashes what passes, and ends with an error after `left` bytes.
struct Metered<R> {
    inner: R,
    hasher: Hasher,
    left: u64,
}

/// Calls `entry` for each entry of a possibly compressed archive, and gives the digest of the uncompressed archive.
pub(crate) fn read(
    blob: impl BufRead,
    limits: Limits,
    mut entry: impl FnMut(&Record, &mut dyn Read) -> io::Result<()>,
) -> io::Result<Digest> {
    let metered = Metered { inner: decompressed(blob)?, hasher: Hasher::default(), left: limits.layer_bytes };
    let mut archive = tar::Archive::new(metered);
    let mut count = 0;
    let mut before = Extensions::default();
    for raw in archive.entries()?.raw(true) {
        let mut raw = raw?;
        count += 1;
        if count > limits.entries {
            return Err(bad(format!("it has more than {} entries", limits.entries)));
        }
        if before.take(&mut raw)? {
            continue;
        }
        let record = std::mem::take(&mut before).record(&raw)?;
        entry(&record, &mut raw)?;
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    Ok(rest.hasher.finish())
}

/// The archive inside, whatever it is compressed with; told by its first bytes, as media types are often wrong.
fn decompressed<'a>(mut blob: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = blob.fill_buf()?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(blob)));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || (start.len() > 3 && start[1..4] == [0x2a, 0x4d, 0x18])
    {
        let mut decoder = zstd::Decoder::with_buffer(blob)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(blob))
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { blob_bytes: 16 << 30, layer_bytes: 32 << 30, entries: 1_000_000 }
    }
}

// === impl Extensions ===

impl Extensions {
    /// Whether `raw` was an extension record, which is then kept for the next entry.
    fn take<R: Read>(&mut self, raw: &mut tar::Entry<'_, R>) -> io::Result<bool> {
        match raw.header().entry_type() {
            EntryType::GNULongName => self.path = Some(name(raw)?),
            EntryType::GNULongLink => self.link = Some(name(raw)?),
            EntryType::XHeader => self.pax.extend(pax(&bounded(raw)?)?),
            EntryType::XGlobalHeader => drop(bounded(raw)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn record<R: Read>(mut self, raw: &tar::Entry<'_, R>) -> io::Result<Record> {
        let header = raw.header();
        if self.pax.keys().any(|key| key.starts_with("GNU.sparse.")) {
            return Err(bad("it has sparse files, which images do not use"));
        }
        if self
            .number("size")?
            .is_some_and(|size| Ok(size) != header.entry_size().map(i128::from).map_err(drop))
        {
            return Err(bad("an entry states two different sizes"));
        }
        let path =
            self.pax.remove("path").or(self.path.take()).unwrap_or_else(|| header.path_bytes().into_owned());
        let in_header = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
        let link = self.pax.remove("linkpath").or(self.link.take()).or_else(in_header).unwrap_or_default();
        Ok(Record {
            path,
            link,
            kind: header.entry_type(),
            mode: header.mode()?,
            uid: owner(self.number("uid")?.unwrap_or(header.uid()?.into()))?,
            gid: owner(self.number("gid")?.unwrap_or(header.gid()?.into()))?,
            mtime: i64::try_from(self.number("mtime")?.unwrap_or(header.mtime()?.into())).unwrap_or(0),
            xattrs: self.xattrs(),
        })
    }

    /// A number of the PAX record, without its fraction.
    fn number(&self, key: &str) -> io::Result<Option<i128>> {
        let Some(value) = self.pax.get(key) else { return Ok(None) };
        let text = std::str::from_utf8(value).map_err(|_| bad(format!("its {key} is not a number")))?;
        let whole = text.split('.').next().unwrap_or_default();
        whole.parse().map(Some).map_err(|_| bad(format!("its {key} is not a number")))
    }

    /// The extended attributes that a container may rely on. Others would be lies to the host's kernel.
    fn xattrs(self) -> Vec<(String, Vec<u8>)> {
        let named = self
            .pax
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("SCHILY.xattr.")?.to_owned(), value)));
        named.filter(|(name, _)| name == "security.capability" || name.starts_with("user.")).collect()
    }
}

fn owner(id: i128) -> io::Result<u32> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| bad(format!("owner {id} is out of range")))
}

fn bounded(raw: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    raw.take(MAX_EXTENSION + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_EXTENSION {
        return Err(bad("an entry's name or attributes are too long"));
    }
    Ok(bytes)
}

/// A GNU long name: the bytes before the first zero.
fn name(raw: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = bounded(raw)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    Ok(bytes)
}

/// PAX records: `<length> <key>=<value>\n`, where the length counts itself.
fn pax(mut bytes: &[u8]) -> io::Result<HashMap<String, Vec<u8>>> {
    let broken = || bad("an extended header does not parse");
    let mut records = HashMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length: usize = std::str::from_utf8(&bytes[..space])
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(broken)?;
        let (record, rest) = bytes.split_at_checked(length).ok_or_else(broken)?;
        let content =
            record.get(space + 1..).and_then(|content| content.strip_suffix(b"\n")).ok_or_else(broken)?;
        let equals = content.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        let key = std::str::from_utf8(&content[..equals]).map_err(|_| broken())?;
        records.insert(key.to_owned(), content[equals + 1..].to_vec());
        bytes = rest;
    }
    Ok(records)
}

pub(crate) fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

// === impl Metered ===

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| bad("it is larger than the limit when unpacked"))?;
        Ok(read)
    }
}
