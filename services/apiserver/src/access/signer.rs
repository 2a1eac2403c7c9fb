//! JSON web tokens signed with ES256, and the public half of the key for those who check them.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    },
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::body::{BoxError, to_json};

const ALGORITHM: &str = "ES256";
/// What stands before the point in the DER form of a P-256 public key.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The longest token that is looked at.
const LONGEST: usize = 16 * 1024;

/// A key that signs.
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    /// Names the key in tokens: a hash of its public half, as Kubernetes makes it.
    id: String,
    random: SystemRandom,
}

// === impl Signer ===

impl Signer {
    /// From a key in PKCS#8.
    pub(crate) fn new(pkcs8: &[u8]) -> Result<Self, BoxError> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|error| format!("the key that signs tokens is no P-256 key: {error}"))?;
        let mut hash = Sha256::new();
        hash.update(SPKI);
        hash.update(key.public_key().as_ref());
        let id = BASE64_URL_SAFE_NO_PAD.encode(hash.finalize());
        Ok(Self { key, id, random })
    }

    /// A token that says `claims`.
    pub(crate) fn sign(&self, claims: &Value) -> Result<String, BoxError> {
        let header = json!({"alg": ALGORITHM, "kid": self.id});
        let mut token = BASE64_URL_SAFE_NO_PAD.encode(to_json(&header));
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(to_json(claims), &mut token);
        let signature = self.key.sign(&self.random, token.as_bytes()).map_err(|error| error.to_string())?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }

    /// What a token says, if this key signed it.
    pub(crate) fn open(&self, token: &str) -> Option<Value> {
        if token.len() > LONGEST {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        if header["alg"] != ALGORITHM || header["kid"] != *self.id {
            return None;
        }
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        public.verify(signed.as_bytes(), &decode(signature)?).ok()?;
        serde_json::from_slice(&decode(claims)?).ok()
    }

    /// The public half, as a JSON web key set.
    pub(crate) fn key_set(&self) -> Value {
        // 0x04, then both coordinates.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        json!({"keys": [{
            "use": "sig",
            "kty": "EC",
            "kid": self.id,
            "crv": "P-256",
            "alg": ALGORITHM,
            "x": BASE64_URL_SAFE_NO_PAD.encode(x),
            "y": BASE64_URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Signer::new(made.unwrap().as_ref()).unwrap()
    }

    #[test]
    fn only_what_this_key_signed_is_opened() {
        let (ours, other) = (signer(), signer());
        let claims = json!({"sub": "a"});
        let token = ours.sign(&claims).unwrap();
        assert_eq!(ours.open(&token), Some(claims.clone()));
        assert_eq!(ours.open(&other.sign(&claims).unwrap()), None);
        let parts: Vec<&str> = token.split('.').collect();
        let forged = BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"b"}"#);
        assert_eq!(ours.open(&format!("{}.{forged}.{}", parts[0], parts[2])), None);
        // Fact: the classic forgery says that no signature is needed.
        let none = BASE64_URL_SAFE_NO_PAD.encode(json!({"alg": "none", "kid": ours.id}).to_string());
        assert_eq!(ours.open(&format!("{none}.{}.", parts[1])), None);
        for broken in ["", ".", "..", "a.b.c", &token[..token.len() - 1]] {
            assert_eq!(ours.open(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_key_set_names_the_key_of_the_tokens() {
        let signer = signer();
        let set = signer.key_set();
        assert_eq!(set["keys"][0]["kid"], *signer.id);
        let x = BASE64_URL_SAFE_NO_PAD.decode(set["keys"][0]["x"].as_str().unwrap()).unwrap();
        assert_eq!(x.len(), 32);
    }
}
