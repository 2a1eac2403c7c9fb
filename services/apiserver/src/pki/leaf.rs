//! Certificates signed by the authority.

use access::lifetime::{self, Lifetime};
use jiff::{Timestamp, tz::TimeZone};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use x509_parser::{extensions::ParsedExtension, pem::parse_x509_pem, prelude::X509Certificate};

use super::{KeyedCert, PkiError};

/// What a certificate is for.
pub(super) struct Purpose {
    common_name: &'static str,
    organisation: Option<&'static str>,
    usage: ExtendedKeyUsagePurpose,
    named_hosts: bool,
    pub(super) lifetime: Lifetime,
}

/// The certificate that clients see.
pub(super) const SERVING: Purpose = Purpose {
    common_name: "agent-sandbox",
    organisation: None,
    usage: ExtendedKeyUsagePurpose::ServerAuth,
    named_hosts: true,
    lifetime: lifetime::SERVING,
};
/// The administrator's certificate.
pub(super) const ADMIN: Purpose = Purpose {
    common_name: "kubernetes-admin",
    organisation: Some(crate::identity::MASTERS),
    usage: ExtendedKeyUsagePurpose::ClientAuth,
    named_hosts: false,
    lifetime: lifetime::ADMINISTRATOR,
};

/// One certificate to make or to check.
pub(super) struct Leaf<'a> {
    pub(super) name: &'a str,
    pub(super) purpose: &'a Purpose,
    pub(super) hosts: &'a [String],
}

/// When a certificate ends, in seconds since the epoch.
pub(super) fn end(what: &str, pem: &str) -> Result<i64, PkiError> {
    with_parsed(what, pem, |cert| cert.validity().not_after.timestamp())
}

/// Valid from yesterday (clocks differ) for so many days.
pub(super) fn set_lifetime(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        date_time_ymd(date.year().into(), month, day)
    };
    params.not_before = day(super::shifted(now, -1));
    params.not_after = day(super::shifted(now, days));
}

// === impl Leaf ===

impl Leaf<'_> {
    /// Whether a kept certificate may still be used.
    pub(super) fn still_good(&self, pair: &KeyedCert, ca: &str, now: Timestamp) -> Result<bool, PkiError> {
        let ours = with_parsed("ca", ca, |cert| key_id(cert, false))?;
        let found = with_parsed(self.name, &pair.cert, |cert| (key_id(cert, true), host_names(cert)))?;
        let hosts_match = !self.purpose.named_hosts || self.hosts.iter().all(|host| found.1.contains(host));
        let due = self.purpose.lifetime.is_due(end(self.name, &pair.cert)?, now.as_second());
        Ok(ours.is_some() && found.0 == ours && hosts_match && !due)
    }

    /// Makes a new one.
    pub(super) fn sign(&self, issuer: &Issuer<'_, KeyPair>, now: Timestamp) -> Result<KeyedCert, PkiError> {
        let bad = |error: rcgen::Error| PkiError::bad(self.name, error.to_string());
        let hosts = if self.purpose.named_hosts { self.hosts.to_vec() } else { Vec::new() };
        let mut params = CertificateParams::new(hosts).map_err(bad)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.purpose.common_name);
        if let Some(organisation) = self.purpose.organisation {
            params.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![self.purpose.usage.clone()];
        params.use_authority_key_identifier_extension = true;
        set_lifetime(&mut params, now, self.purpose.lifetime.days);
        let key = KeyPair::generate().map_err(bad)?;
        let cert = params.signed_by(&key, issuer).map_err(bad)?;
        Ok(KeyedCert { cert: cert.pem(), key: key.serialize_pem() })
    }
}

fn with_parsed<T>(
    what: &str,
    pem: &str,
    read: impl FnOnce(&X509Certificate<'_>) -> T,
) -> Result<T, PkiError> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|error| PkiError::bad(what, error.to_string()))?;
    let cert = pem.parse_x509().map_err(|error| PkiError::bad(what, error.to_string()))?;
    Ok(read(&cert))
}

/// The identifier of the certificate's own key, or of the key that signed it.
fn key_id(cert: &X509Certificate<'_>, of_signer: bool) -> Option<Vec<u8>> {
    cert.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) if !of_signer => Some(id.0.to_vec()),
        ParsedExtension::AuthorityKeyIdentifier(id) if of_signer => {
            id.key_identifier.as_ref().map(|id| id.0.to_vec())
        }
        _ => None,
    })
}

fn host_names(cert: &X509Certificate<'_>) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let Ok(Some(names)) = cert.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress(raw) => match **raw {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*raw).ok().map(|raw| std::net::Ipv6Addr::from(raw).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}
