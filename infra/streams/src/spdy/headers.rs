//! Names and values that come with a stream.

use super::codec::Malformed;
use bytes::{Buf as _, BufMut as _};

/// Most names in one block.
const MOST: u32 = 128;

/// The headers of one stream: lower-case names, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

// === impl Headers ===

impl Headers {
    /// Headers of these names and values. Names are written in lower case, as the protocol wants them.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect())
    }

    /// The (first) value of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        // Several values of one name are separated by NUL.
        value.split('\0').next()
    }

    /// The block before compression.
    pub(super) fn block(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u32(size(self.0.len()));
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            out.put_u32(size(text.len()));
            out.put_slice(text.as_bytes());
        }
        out
    }

    /// Reads a block, which must hold the headers and nothing else.
    pub(super) fn read(mut block: &[u8]) -> Result<Self, Malformed> {
        let count = block.try_get_u32().map_err(|_| Malformed::Headers("no number of headers"))?;
        if count > MOST {
            return Err(Malformed::Headers("too many headers"));
        }
        let mut read = Self::default();
        for _ in 0..count {
            let (name, value) = (text(&mut block)?, text(&mut block)?);
            if name.is_empty() || name != name.to_ascii_lowercase() {
                return Err(Malformed::Headers("a name is not in lower case"));
            }
            if read.0.iter().any(|(known, _)| *known == name) {
                return Err(Malformed::Headers("a name comes twice"));
            }
            read.0.push((name, value));
        }
        if block.is_empty() { Ok(read) } else { Err(Malformed::Headers("something follows the headers")) }
    }
}

fn text(block: &mut &[u8]) -> Result<String, Malformed> {
    let cut = || Malformed::Headers("they are cut off");
    let length = usize::try_from(block.try_get_u32().map_err(|_| cut())?).map_err(|_| cut())?;
    let (text, rest) = block.split_at_checked(length).ok_or_else(cut)?;
    *block = rest;
    String::from_utf8(text.to_vec()).map_err(|_| Malformed::Headers("they are no text"))
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
