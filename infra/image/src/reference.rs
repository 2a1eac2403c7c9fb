//! Image names: one normal form for each, so that a pull and a lookup mean the same image.

use crate::{Error, digest::Digest, host};
use oci_client::Reference;

/// A parsed name.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    /// The image that presents the host.
    Host,
    /// An image of a registry, or imported under such a name.
    Registry(Reference),
}

// === impl Name ===

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let invalid = |reason: String| Error::InvalidName { reference: text.into(), reason };
        if [host::HOST_IMAGE, host::HOST_IMAGE_SHORT, "agent-sandbox/host"].contains(&text) {
            return Ok(Self::Host);
        }
        let reference: Reference = text.parse().map_err(|error| invalid(format!("{error}")))?;
        if let Some(digest) = reference.digest()
            && Digest::parse(digest).is_none()
        {
            return Err(invalid("its digest is not a sha256 digest".into()));
        }
        Ok(Self::Registry(reference))
    }

    /// The normal form: with registry, and with tag or digest.
    pub(crate) fn full(&self) -> String {
        match self {
            Self::Host => host::HOST_IMAGE.into(),
            Self::Registry(reference) => reference.whole(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_normal_form() {
        let full = |text: &str| Name::parse(text).unwrap().full();
        assert_eq!(full("host"), "agent-sandbox/host:latest");
        assert_eq!(full("agent-sandbox/host"), "agent-sandbox/host:latest");
        assert_eq!(full("localhost:5000/a/b"), full("localhost:5000/a/b:latest"));
        let digest = format!("localhost:5000/a@sha256:{}", "0".repeat(64));
        assert_eq!(full(&digest), digest);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "team/UPPER", "a b", "a/b:", "localhost:5000/a@sha256:xyz", "../../etc"] {
            assert!(matches!(Name::parse(text), Err(Error::InvalidName { .. })), "{text}");
        }
    }
}
