//! What an image says about running it.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The part of an image's configuration that running it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// The program, before `cmd`.
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    /// Its default arguments, or the program if there is no entry point.
    #[serde(deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    /// The environment, as `NAME=value`.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// `user`, `uid`, `user:group`, `uid:gid`; empty for root.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// The working directory; empty for `/`.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Ports, as `80/tcp`.
    #[serde(deserialize_with = "keys", serialize_with = "as_keys")]
    pub exposed_ports: Vec<String>,
    /// The signal that asks the program to end, by name or number.
    pub stop_signal: Option<String>,
}

/// Writers put `null` where they mean nothing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A set, written as an object with empty values.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let set: Option<BTreeMap<String, serde::de::IgnoredAny>> = Option::deserialize(deserializer)?;
    Ok(set.unwrap_or_default().into_keys().collect())
}

fn as_keys<S: serde::Serializer>(ports: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(ports.iter().map(|port| (port, BTreeMap::<String, String>::new())))
}
