//! Cluster addresses of services.
//!
//! **Invariant:** an address belongs to at most one service: it is a key of the store, claimed in the same transaction
//! that writes the service and given up in the one that deletes it.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use store::{Expect, Op, Store, Template};
use wire::{FieldError, Qualified, Status};

use crate::{object, random};

/// The addresses that services may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    first: u32,
    count: u32,
}

// === impl Range ===

impl Range {
    /// The usable addresses of `network/prefix`: all but the first and the last.
    pub(crate) fn new(network: Ipv4Addr, prefix: u8) -> Self {
        let size = 1_u32 << (32 - u32::from(prefix.clamp(8, 30)));
        let base = u32::from(network) & !(size - 1);
        Self { first: base + 1, count: size - 2 }
    }

    /// Gives a new service its address, if it wants one.
    pub(super) fn claim(&self, store: &Store, service: &mut Value) -> Result<Vec<Op>, Status> {
        if !wants_address(service) {
            return Ok(Vec::new());
        }
        let address = match service["spec"]["clusterIP"].as_str().filter(|asked| !asked.is_empty()) {
            Some(asked) => self.asked(store, service, asked)?,
            None => self.free(store)?,
        };
        service["spec"]["clusterIP"] = address.to_string().into();
        service["spec"]["clusterIPs"] = json!([address.to_string()]);
        Ok(vec![Op::Put {
            key: key(&address.to_string()),
            expect: Expect::Absent,
            value: Template::default(),
        }])
    }

    /// Follows a service that begins or ceases to have an address (its type changed).
    pub(super) fn change(&self, store: &Store, new: &mut Value, old: &Value) -> Result<Vec<Op>, Status> {
        match (address_of(old), wants_address(new)) {
            (Some(address), true) if new["spec"]["clusterIP"].as_str().unwrap_or_default().is_empty() => {
                new["spec"]["clusterIP"] = address.into();
                new["spec"]["clusterIPs"] = json!([address]);
                Ok(Vec::new())
            }
            (Some(_), true) => Ok(Vec::new()),
            (Some(_), false) => {
                let spec = new["spec"].as_object_mut();
                spec.into_iter().for_each(|spec| drop((spec.remove("clusterIP"), spec.remove("clusterIPs"))));
                Ok(release(old))
            }
            (None, true) => self.claim(store, new),
            (None, false) => Ok(Vec::new()),
        }
    }

    fn asked(&self, store: &Store, service: &Value, asked: &str) -> Result<Ipv4Addr, Status> {
        let refused = |why: String| {
            let error = FieldError::invalid("spec.clusterIPs", json!([asked]), why);
            Status::invalid(Qualified::new("", "Service"), object::name(service), &[error])
        };
        let address = asked.parse::<Ipv4Addr>();
        let address = address.map_err(|error| refused(format!("failed to allocate IP {asked}: {error}")))?;
        if !(self.first..self.first + self.count).contains(&u32::from(address)) {
            return Err(refused(format!(
                "failed to allocate IP {asked}: the provided network does not match"
            )));
        }
        if store.get(&key(asked)).is_some() {
            return Err(refused(format!("failed to allocate IP {asked}: provided IP is already allocated")));
        }
        Ok(address)
    }

    fn free(&self, store: &Store) -> Result<Ipv4Addr, Status> {
        let start = u32::from_be_bytes(random::bytes::<4>()) % self.count;
        let all = (0..self.count).map(|step| Ipv4Addr::from(self.first + (start + step) % self.count));
        let free = all.into_iter().find(|address| store.get(&key(&address.to_string())).is_none());
        free.ok_or_else(|| Status::internal("failed to allocate a serviceIP: range is full"))
    }
}

/// Gives up the address of a service.
pub(super) fn release(service: &Value) -> Vec<Op> {
    let key = address_of(service).map(key);
    key.map(|key| Op::Delete { key, expect: Expect::Any, last: Template::default() }).into_iter().collect()
}

fn key(address: &str) -> String {
    format!("internal/addresses//{address}")
}

fn wants_address(service: &Value) -> bool {
    service["spec"]["type"] != "ExternalName" && service["spec"]["clusterIP"] != "None"
}

fn address_of(service: &Value) -> Option<&str> {
    service["spec"]["clusterIP"].as_str().filter(|address| !address.is_empty() && *address != "None")
}
