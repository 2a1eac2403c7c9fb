//! TLS settings: our certificate, and whom a client's certificate names.
//!
//! A certificate of another authority does not fail the handshake: the request is answered 401, as Kubernetes does.
//! **Invariant:** an identity comes only from a certificate that the authority's verifier has accepted.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        ClientHello, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::identity::Identity;

/// The certificate served now.
#[derive(Debug)]
pub(super) struct Serving(RwLock<Arc<CertifiedKey>>);

/// Tells who a client is.
#[derive(Debug)]
pub(super) struct Clients(Arc<dyn ClientCertVerifier>);

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1, asking clients for a certificate.
pub(super) fn server_config(clients: Arc<Clients>, serving: Arc<Serving>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(serving);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

// === impl Serving ===

impl Serving {
    pub(super) fn new(cert: Arc<CertifiedKey>) -> Self {
        Self(RwLock::new(cert))
    }

    /// When the certificate ends that is served now, in seconds since 1970; 0 if it cannot be read.
    pub(super) fn ends(&self) -> i64 {
        let served = self.0.read().clone();
        let leaf = served.cert.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        leaf.map_or(0, |(_, cert)| cert.validity().not_after.timestamp())
    }

    /// Whether it is another one than before.
    pub(super) fn replace(&self, cert: Arc<CertifiedKey>) -> bool {
        let mut served = self.0.write();
        let other = served.cert != cert.cert;
        *served = cert;
        other
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

// === impl Clients ===

impl Clients {
    pub(super) fn new(
        authority: CertificateDer<'static>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self(verifier.allow_unauthenticated().build()?))
    }

    /// The identity in a client's certificate chain; none without one that our authority signed.
    pub(super) fn identity(&self, chain: &[CertificateDer<'_>]) -> Option<Identity> {
        let (leaf, intermediates) = chain.split_first()?;
        self.0.verify_client_cert(leaf, intermediates, UnixTime::now()).ok()?;
        let (_, cert) = X509Certificate::from_der(leaf).ok()?;
        let user = cert.subject().iter_common_name().next()?.as_str().ok()?;
        let groups = cert.subject().iter_organization().filter_map(|group| group.as_str().ok());
        (!user.is_empty()).then(|| Identity::user(user, groups.map(str::to_owned)))
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    /// Accepts any chain here; `Clients::identity` decides what it is worth.
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
