//! Unpredictable names and identifiers.

use rustls::crypto::{CryptoProvider, ring};

/// The letters Kubernetes draws name suffixes from: no vowels, no look-alikes.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
/// The longest prefix of a generated name, as in Kubernetes: 63 - 5.
const PREFIX: usize = 58;

/// Fills an array with random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let fallback;
    let random = match CryptoProvider::get_default() {
        Some(provider) => provider.secure_random,
        None => {
            fallback = ring::default_provider();
            fallback.secure_random
        }
    };
    random.fill(&mut bytes).expect("the kernel's random source does not fail once it is seeded");
    bytes
}

/// A name as `generateName` makes it.
pub(crate) fn name(prefix: &str) -> String {
    let mut cut = prefix.len().min(PREFIX);
    while !prefix.is_char_boundary(cut) {
        cut -= 1;
    }
    let suffix = bytes::<SUFFIX>().map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
    format!("{}{}", &prefix[..cut], suffix.iter().collect::<String>())
}

/// A version 4 UUID.
pub(crate) fn uid() -> String {
    let mut raw = bytes::<16>();
    raw[6] = (raw[6] & 0x0f) | 0x40;
    raw[8] = (raw[8] & 0x3f) | 0x80;
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_fit_a_label() {
        let name = name(&"a".repeat(80));
        assert_eq!(name.len(), 63);
    }

    #[test]
    fn uids_are_version_4() {
        let uid = uid();
        assert_eq!((uid.len(), &uid[14..15]), (36, "4"));
    }
}
