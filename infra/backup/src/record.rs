//! An entry of a backup, to and from tar.
//!
//! What tar's own header has no room for goes into PAX records, under the names that GNU tar and star use.

use std::io::{self, Read, Write};
use tar::{Builder, EntryType, Header};

/// What is said of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it goes, relative and without `..`.
    pub path: Vec<u8>,
    /// What a symbolic link says, or the path of the entry that a hard link is another name of.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryType,
    /// Permission bits, with set-user-id and its like.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since the epoch.
    pub mtime: i64,
    /// Nanoseconds beside them.
    pub nanoseconds: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// Of a file with holes: its size. Its content then begins with a map.
    pub holes: Option<u64>,
}

const XATTR: &str = "SCHILY.xattr.";
const REAL_SIZE: &str = "GNU.sparse.realsize";
/// Longer names do not fit into the header.
const NAME: usize = 100;

// === impl Record ===

impl Record {
    /// A plain file of root.
    pub(crate) fn file(path: &str, mode: u32) -> Self {
        Self {
            path: path.into(),
            link: Vec::new(),
            kind: EntryType::Regular,
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            nanoseconds: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            holes: None,
        }
    }

    /// Writes everything that comes before the content, of which `size` bytes follow.
    pub(crate) fn write(&self, tar: &mut Builder<impl Write>, size: u64) -> io::Result<()> {
        let pax = self.extensions();
        tar.append_pax_extensions(pax.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;
        let mut header = Header::new_gnu();
        let fields = header.as_old_mut();
        copy(&mut fields.name, &self.path);
        copy(&mut fields.linkname, &self.link);
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(self.uid.into());
        header.set_gid(self.gid.into());
        header.set_mtime(self.mtime.try_into().unwrap_or(0));
        header.set_size(size);
        if matches!(self.kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(self.device.0)?;
            header.set_device_minor(self.device.1)?;
        }
        header.set_cksum();
        tar.get_mut().write_all(header.as_bytes())
    }

    fn extensions(&self) -> Vec<(String, Vec<u8>)> {
        let mut pax = Vec::new();
        if self.path.len() > NAME {
            pax.push(("path".to_owned(), self.path.clone()));
        }
        if self.link.len() > NAME {
            pax.push(("linkpath".to_owned(), self.link.clone()));
        }
        if self.nanoseconds > 0 || self.mtime < 0 {
            pax.push(("mtime".to_owned(), format!("{}.{:09}", self.mtime, self.nanoseconds).into_bytes()));
        }
        if let Some(size) = self.holes {
            let number = |key: &str, value: u64| (key.to_owned(), value.to_string().into_bytes());
            pax.extend([
                number("GNU.sparse.major", 1),
                number("GNU.sparse.minor", 0),
                number(REAL_SIZE, size),
            ]);
            pax.push(("GNU.sparse.name".to_owned(), self.path.clone()));
        }
        pax.extend(self.xattrs.iter().map(|(name, value)| (format!("{XATTR}{name}"), value.clone())));
        pax
    }

    /// What an entry says of itself.
    pub(crate) fn read<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Self> {
        let (path, link) = (entry.path_bytes().into_owned(), entry.link_name_bytes());
        let link = link.map(std::borrow::Cow::into_owned).unwrap_or_default();
        let header = entry.header();
        let number = |number: io::Result<u64>| u32::try_from(number?).map_err(|_| bad("an id is too large"));
        let device = match header.entry_type() {
            EntryType::Char | EntryType::Block => {
                (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0))
            }
            _ => (0, 0),
        };
        let mut record = Self {
            kind: header.entry_type(),
            mode: header.mode()?,
            uid: number(header.uid())?,
            gid: number(header.gid())?,
            mtime: header.mtime()?.try_into().unwrap_or(0),
            nanoseconds: 0,
            device,
            xattrs: Vec::new(),
            holes: None,
            path,
            link,
        };
        for extension in entry.pax_extensions()?.into_iter().flatten() {
            let extension = extension?;
            let key = extension.key().map_err(|_| bad("a key is not text"))?;
            record.extend(key, extension.value_bytes())?;
        }
        Ok(record)
    }

    fn extend(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        let text = || std::str::from_utf8(value).map_err(|_| bad("a number is not text"));
        if let Some(name) = key.strip_prefix(XATTR) {
            self.xattrs.push((name.to_owned(), value.to_vec()));
        } else if key == REAL_SIZE {
            self.holes = Some(text()?.parse().map_err(|_| bad("a size is no number"))?);
        } else if key == "mtime" {
            let (seconds, fraction) = text()?.split_once('.').unwrap_or((text()?, "0"));
            self.mtime = seconds.parse().map_err(|_| bad("a time is no number"))?;
            self.nanoseconds = fraction.parse().map_err(|_| bad("a time is no number"))?;
        }
        Ok(())
    }
}

/// As much as fits; what does not is in a PAX record.
fn copy(field: &mut [u8; NAME], bytes: &[u8]) {
    let length = bytes.len().min(NAME);
    field[..length].copy_from_slice(&bytes[..length]);
}

pub(crate) fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
