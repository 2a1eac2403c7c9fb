//! Network policies and endpoint slices.

use std::net::IpAddr;

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, labels, one_of, port, required};
use crate::value::{items, text};

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const TYPES: [&str; 2] = ["Ingress", "Egress"];
/// Most endpoints in a slice.
const ENDPOINTS_MAX: usize = 1000;

/// A network policy.
pub(super) fn policy(policy: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let spec = policy.get("spec").unwrap_or(&Value::Null);
    labels::selector(errors, &path.child("podSelector"), spec.get("podSelector"));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = path.child(direction);
        for (index, rule) in items(spec, &format!("/{direction}")).enumerate() {
            let at = rules.index(index);
            let ports = at.child("ports");
            for (index, port) in items(rule, "/ports").enumerate() {
                policy_port(port, &ports.index(index), errors);
            }
            let list = at.child(peers);
            for (index, peer) in items(rule, &format!("/{peers}")).enumerate() {
                policy_peer(peer, &list.index(index), errors);
            }
        }
    }
    let types = path.child("policyTypes");
    if items(spec, "/policyTypes").len() > TYPES.len() {
        let given = spec.get("policyTypes").cloned().unwrap_or_default();
        errors.push(FieldError::invalid(types, given, "may not specify more than two policyTypes"));
        return;
    }
    for (index, kind) in items(spec, "/policyTypes").filter_map(Value::as_str).enumerate() {
        one_of(errors, &types.index(index), kind, &TYPES);
    }
}

fn policy_port(own: &Value, path: &Path<'_>, errors: &mut Errors) {
    one_of(errors, &path.child("protocol"), text(own, "/protocol"), &PROTOCOLS);
    let end = own.get("endPort").and_then(Value::as_i64);
    let at = path.child("endPort");
    match (own.get("port"), end) {
        (None, Some(end)) => {
            errors.push(FieldError::invalid(at, end, "may not be specified when `port` is not specified"));
        }
        (Some(Value::String(_)), Some(end)) => {
            errors.push(FieldError::invalid(at, end, "may not be specified when `port` is non-numeric"));
        }
        (Some(first), Some(end)) => {
            let first = first.as_i64().unwrap_or(0);
            if end < first {
                errors.push(FieldError::invalid(at, first, "must be greater than or equal to `port`"));
            }
            let problems = names::port_number(end);
            errors.extend(problems.into_iter().map(|problem| FieldError::invalid(at, end, problem)));
        }
        (_, None) => {}
    }
    if own.get("port").is_some() {
        port(errors, &path.child("port"), own.get("port"));
    }
}

fn policy_peer(peer: &Value, path: &Path<'_>, errors: &mut Errors) {
    let kinds = ["podSelector", "namespaceSelector", "ipBlock"];
    let count = kinds.iter().filter(|kind| peer.get(**kind).is_some()).count();
    for kind in ["podSelector", "namespaceSelector"] {
        labels::selector(errors, &path.child(kind), peer.get(kind));
    }
    if let Some(block) = peer.get("ipBlock") {
        ip_block(block, &path.child("ipBlock"), errors);
    }
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if count > 1 && peer.get("ipBlock").is_some() {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
}

fn ip_block(block: &Value, path: &Path<'_>, errors: &mut Errors) {
    const WHY: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let whole = text(block, "/cidr");
    required(errors, &path.child("cidr"), whole);
    if whole.is_empty() {
        return;
    }
    let outer = parse_cidr(whole);
    if outer.is_none() {
        errors.push(FieldError::invalid(path.child("cidr"), whole, WHY));
    }
    let list = path.child("except");
    for (index, except) in items(block, "/except").filter_map(Value::as_str).enumerate() {
        match (outer, parse_cidr(except)) {
            (_, None) => errors.push(FieldError::invalid(list.index(index), except, WHY)),
            (Some(outer), Some(inner)) if !strictly_within(inner, outer) => {
                let why = "must be a strict subset of `cidr`";
                errors.push(FieldError::invalid(list.index(index), except, why));
            }
            _ => {}
        }
    }
}

/// Address bits, prefix length, and address length, in bits.
fn parse_cidr(text: &str) -> Option<(u128, u32, u32)> {
    let (address, prefix) = text.split_once('/')?;
    let (bits, length) = match address.parse().ok()? {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= length)?;
    Some((bits, prefix, length))
}

fn strictly_within(inner: (u128, u32, u32), outer: (u128, u32, u32)) -> bool {
    let shift = outer.2 - outer.1;
    let same = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
    inner.2 == outer.2 && inner.1 > outer.1 && same(inner.0) == same(outer.0)
}

/// An endpoint slice.
pub(super) fn slice(slice: &Value, errors: &mut Errors) {
    one_of(errors, &Path::root("addressType"), text(slice, "/addressType"), &["FQDN", "IPv4", "IPv6"]);
    let endpoints = Path::root("endpoints");
    let count = items(slice, "/endpoints").len();
    if count > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(endpoints, count, ENDPOINTS_MAX));
    }
    for (index, endpoint) in items(slice, "/endpoints").enumerate() {
        if items(endpoint, "/addresses").len() == 0 {
            let why = "must contain at least 1 address";
            errors.push(FieldError::required(endpoints.index(index).child("addresses"), why));
        }
    }
}
