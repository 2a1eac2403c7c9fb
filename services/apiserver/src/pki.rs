//! Our own certificate authority, the serving certificate and the administrator's; the key that signs tokens.
//!
//! The serving certificate and the administrator's are replaced while the server runs (`listen::renewal`); when, says
//! `access::lifetime`.
//!
//! **Invariant:** private keys never leave their 0600 files except into a kubeconfig and the TLS listener. A certificate
//! that is near its end, names the wrong hosts or was signed by another authority is replaced, never served.

mod files;
mod leaf;
mod standing;

use std::{net::IpAddr, path::Path, sync::Arc};

use access::lifetime;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{Timestamp, ToSpan as _};
use parking_lot::RwLock;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

pub(crate) use self::files::replace_as as replace_file;
use self::leaf::{Leaf, Purpose};
pub use self::standing::{Standing, standing};

const DAY: i64 = 24 * 3600;

/// Why certificates could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("certificate file {path}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key could not be made or read.
    #[error("certificate {what}: {reason}")]
    Bad {
        /// Which.
        what: String,
        /// Why.
        reason: String,
    },
}

/// A certificate with its key, both as PEM.
#[derive(Clone)]
pub struct KeyedCert {
    /// The certificate.
    pub cert: String,
    /// The private key. A secret.
    pub key: String,
}

/// The authority and what it has signed, kept in one folder.
pub struct Pki {
    ca: KeyedCert,
    admin: RwLock<Arc<KeyedCert>>,
    issuer: Issuer<'static, KeyPair>,
    dir: files::Folder,
    hosts: Vec<String>,
}

// === impl PkiError ===

impl PkiError {
    fn bad(what: &str, reason: impl Into<String>) -> Self {
        Self::Bad { what: what.to_owned(), reason: reason.into() }
    }
}

// === impl Pki ===

impl Pki {
    /// Reads the folder, making or renewing whatever is missing or near its end. `listen` is added to the names of
    /// the serving certificate (`localhost`, `127.0.0.1`, `::1`). Blocks on files.
    ///
    /// # Errors
    /// A file that cannot be read or written, or that does not hold what it should.
    pub fn ensure(dir: &Path, listen: IpAddr, now: Timestamp) -> Result<Self, PkiError> {
        Self::ensure_for(dir, listen, &[], now)
    }

    /// The same, with more names and addresses that the server is reached by.
    ///
    /// # Errors
    /// As [`Pki::ensure`].
    pub fn ensure_for(
        dir: &Path,
        listen: IpAddr,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let dir = files::Folder::open(dir)?;
        let ca = match dir.read("ca")? {
            Some(ca) if !lifetime::AUTHORITY.is_due(leaf::end("ca", &ca.cert)?, now.as_second()) => ca,
            _ => dir.write("ca", new_authority(now)?)?,
        };
        let key = KeyPair::from_pem(&ca.key).map_err(|error| PkiError::bad("ca", error.to_string()))?;
        let issuer = Issuer::from_ca_cert_pem(&ca.cert, key)
            .map_err(|error| PkiError::bad("ca", error.to_string()))?;
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        let listen = listen.to_string();
        for host in std::iter::once(&listen).chain(names) {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        let empty = KeyedCert { cert: String::new(), key: String::new() };
        let pki = Self { ca, admin: RwLock::new(Arc::new(empty)), issuer, dir, hosts };
        pki.renew_admin(now)?;
        Ok(pki)
    }

    /// The authority's certificate as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca.cert
    }

    /// The administrator's certificate and key.
    pub fn admin(&self) -> Arc<KeyedCert> {
        self.admin.read().clone()
    }

    /// Replaces the administrator's certificate if it is due; whether it did, and from when on the one there is now is due. The
    /// one before is good until its own end. Blocks on files.
    pub(crate) fn renew_admin(&self, now: Timestamp) -> Result<(bool, i64), PkiError> {
        let pair = self.leaf("admin", &leaf::ADMIN, now)?;
        let due = leaf::ADMIN.lifetime.due_from(leaf::end("admin", &pair.cert)?);
        let mut admin = self.admin.write();
        let renewed = admin.cert != pair.cert;
        *admin = Arc::new(pair);
        Ok((renewed, due))
    }

    /// The authority's certificate for verifying clients.
    pub(crate) fn ca_der(&self) -> Result<CertificateDer<'static>, PkiError> {
        CertificateDer::from_pem_slice(self.ca.cert.as_bytes())
            .map_err(|error| PkiError::bad("ca", error.to_string()))
    }

    /// When the authority's certificate ends, in seconds since 1970.
    pub(crate) fn ca_ends(&self) -> Result<i64, PkiError> {
        leaf::end("ca", &self.ca.cert)
    }

    /// The serving certificate and from when on it is due to be replaced; replaced if it is. Blocks on files.
    pub(crate) fn serving(&self, now: Timestamp) -> Result<(Arc<CertifiedKey>, i64), PkiError> {
        let pair = self.leaf("apiserver", &leaf::SERVING, now)?;
        let bad = |error: &dyn std::fmt::Display| PkiError::bad("apiserver", error.to_string());
        let cert = CertificateDer::from_pem_slice(pair.cert.as_bytes()).map_err(|error| bad(&error))?;
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|error| bad(&error))?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|error| bad(&error))?;
        let due = leaf::SERVING.lifetime.due_from(leaf::end("apiserver", &pair.cert)?);
        Ok((Arc::new(CertifiedKey::new(vec![cert], key)), due))
    }

    /// The key that signs service accounts' tokens, as PKCS#8; made where it is missing. Blocks on files.
    pub(crate) fn signing_key(&self) -> Result<Vec<u8>, PkiError> {
        let bad = |reason: String| PkiError::bad("sa", reason);
        let make = || {
            let rng = ring::rand::SystemRandom::new();
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng);
            Ok(pem(made.map_err(|error| bad(error.to_string()))?.as_ref()))
        };
        let text = self.dir.secret("sa", make)?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| bad(error.to_string()))?;
        Ok(key.secret_der().to_vec())
    }

    fn leaf(&self, name: &str, purpose: &Purpose, now: Timestamp) -> Result<KeyedCert, PkiError> {
        let leaf = Leaf { name, purpose, hosts: &self.hosts };
        match self.dir.read(name)? {
            Some(pair) if leaf.still_good(&pair, &self.ca.cert, now)? => Ok(pair),
            _ => self.dir.write(name, leaf.sign(&self.issuer, now)?),
        }
    }
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pki").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for KeyedCert {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyedCert")
    }
}

fn pem(pkcs8: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(pkcs8);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

fn new_authority(now: Timestamp) -> Result<KeyedCert, PkiError> {
    let bad = |error: rcgen::Error| PkiError::bad("ca", error.to_string());
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "agent-sandbox-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    leaf::set_lifetime(&mut params, now, lifetime::AUTHORITY.days);
    let key = KeyPair::generate().map_err(bad)?;
    let cert = params.self_signed(&key).map_err(bad)?;
    Ok(KeyedCert { cert: cert.pem(), key: key.serialize_pem() })
}

/// `now` moved by whole days.
fn shifted(now: Timestamp, days: i64) -> Timestamp {
    now.checked_add((days * DAY).seconds()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
