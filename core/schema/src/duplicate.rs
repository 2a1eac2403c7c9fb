//! Finds fields that a JSON text gives twice. A parsed value cannot tell: the last one has won.

use std::collections::HashSet;
use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The most paths returned.
const MAX_PATHS: usize = 100;

/// The paths of all fields that occur more than once in their object, as Kubernetes' strict decoding prints
/// them (`spec.replicas`), each once. Text that is not JSON has none.
pub fn duplicates(text: &[u8]) -> Vec<String> {
    let mut walk = Walk { path: String::new(), found: Vec::new() };
    let mut reader = serde_json::Deserializer::from_slice(text);
    // What is wrong with the text is for the parser proper to say.
    let _ = Node(&mut walk).deserialize(&mut reader);
    walk.found
}

struct Walk {
    path: String,
    found: Vec<String>,
}

struct Node<'a>(&'a mut Walk);

// === impl Node ===

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let length = self.0.path.len();
            if length > 0 {
                self.0.path.push('.');
            }
            self.0.path.push_str(&key);
            if !seen.insert(key) && self.0.found.len() < MAX_PATHS && !self.0.found.contains(&self.0.path) {
                self.0.found.push(self.0.path.clone());
            }
            map.next_value_seed(Node(self.0))?;
            self.0.path.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let length = self.0.path.len();
        for index in 0.. {
            let _ = write!(self.0.path, "[{index}]");
            let more = items.next_element_seed(Node(self.0))?;
            self.0.path.truncate(length);
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(IgnoredAny).map(drop)
    }
}
