//! The subresources of built-in kinds.

use super::Subresource;

const CONNECT: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

const fn own(name: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource { name, payload: None, verbs }
}

const fn other(
    name: &'static str,
    payload: (&'static str, &'static str, &'static str),
    verbs: &'static [&'static str],
) -> Subresource {
    Subresource { name, payload: Some(payload), verbs }
}

pub(crate) const STATUS: Subresource = own("status", &["get", "patch", "update"]);
pub(crate) const SCALE: Subresource =
    other("scale", ("autoscaling", "v1", "Scale"), &["get", "patch", "update"]);

pub(super) const POD: &[Subresource] = &[
    other("attach", ("", "v1", "PodAttachOptions"), CONNECT),
    other("binding", ("", "v1", "Binding"), &["create"]),
    own("ephemeralcontainers", &["get", "patch", "update"]),
    other("eviction", ("policy", "v1", "Eviction"), &["create"]),
    other("exec", ("", "v1", "PodExecOptions"), CONNECT),
    own("log", &["get"]),
    other("portforward", ("", "v1", "PodPortForwardOptions"), CONNECT),
    other("proxy", ("", "v1", "PodProxyOptions"), PROXY),
    STATUS,
];
pub(super) const NAMESPACE: &[Subresource] = &[own("finalize", &["update"]), STATUS];
pub(super) const NODE: &[Subresource] = &[other("proxy", ("", "v1", "NodeProxyOptions"), PROXY), STATUS];
pub(super) const SERVICE: &[Subresource] =
    &[other("proxy", ("", "v1", "ServiceProxyOptions"), PROXY), STATUS];
pub(super) const SERVICE_ACCOUNT: &[Subresource] =
    &[other("token", ("authentication.k8s.io", "v1", "TokenRequest"), &["create"])];
pub(super) const SCALABLE: &[Subresource] = &[SCALE, STATUS];
pub(super) const ONLY_STATUS: &[Subresource] = &[STATUS];
