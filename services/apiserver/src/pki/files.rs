//! The folder that keeps certificates and keys.
//!
//! **Invariant:** a key file is 0600 from the moment it has a name, and a pair is replaced key first, so that a crash
//! between the two leaves a pair that does not match and is made again.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use rcgen::{KeyPair, PublicKeyData as _};

use super::{KeyedCert, PkiError};

/// A folder of `<name>.crt` and `<name>.key` pairs.
pub(super) struct Folder(PathBuf);

// === impl Folder ===

impl Folder {
    /// Makes the folder (0700) where it is missing.
    pub(super) fn open(dir: &Path) -> Result<Self, PkiError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| file_error(dir, source))?;
        Ok(Self(dir.to_owned()))
    }

    /// The pair of that name; none when a part is missing or they do not belong together.
    pub(super) fn read(&self, name: &str) -> Result<Option<KeyedCert>, PkiError> {
        let (Some(cert), Some(key)) = (self.read_file(name, "crt")?, self.read_file(name, "key")?) else {
            return Ok(None);
        };
        let pair = KeyedCert { cert, key };
        Ok(belongs_together(&pair).then_some(pair))
    }

    /// Writes a pair durably and returns it.
    pub(super) fn write(&self, name: &str, pair: KeyedCert) -> Result<KeyedCert, PkiError> {
        self.write_file(&format!("{name}.key"), &pair.key, 0o600)?;
        self.write_file(&format!("{name}.crt"), &pair.cert, 0o644)?;
        Ok(pair)
    }

    /// The secret `<name>.key`, made where it is missing.
    pub(super) fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<String, PkiError>,
    ) -> Result<String, PkiError> {
        if let Some(found) = self.read_file(name, "key")? {
            return Ok(found);
        }
        let made = make()?;
        self.write_file(&format!("{name}.key"), &made, 0o600)?;
        Ok(made)
    }

    fn read_file(&self, name: &str, kind: &str) -> Result<Option<String>, PkiError> {
        read(&self.0.join(format!("{name}.{kind}")))
    }

    fn write_file(&self, name: &str, text: &str, mode: u32) -> Result<(), PkiError> {
        let path = self.0.join(name);
        replace(&path, text.as_bytes(), mode).map_err(|source| file_error(&path, source))
    }
}

/// The certificate of that name in a folder that may not be there.
pub(super) fn certificate(dir: &Path, name: &str) -> Result<Option<String>, PkiError> {
    read(&dir.join(format!("{name}.crt")))
}

fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file_error(path, source)),
    }
}

/// Replaces a file by one rename, after its bytes are on the disk.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_as(path, bytes, mode, None)
}

/// The same; the file belongs to this user and group from the moment it has its name.
pub(crate) fn replace_as(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    owner.map_or(Ok(()), |(user, group)| fchown(&file, Some(user), Some(group)))?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

fn belongs_together(pair: &KeyedCert) -> bool {
    let Ok(key) = KeyPair::from_pem(&pair.key) else { return false };
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(pair.cert.as_bytes()) else { return false };
    pem.parse_x509().is_ok_and(|cert| cert.public_key().subject_public_key.data == key.der_bytes())
}

fn file_error(path: &Path, source: io::Error) -> PkiError {
    PkiError::File { path: path.display().to_string(), source }
}
