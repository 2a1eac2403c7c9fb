//! Which capabilities a container gets.

use crate::{Refusal, inputs::Policy};
use k8s_openapi::api::core::v1::{Capabilities, Container};

/// containerd's default set less `NET_RAW`, `MKNOD` and `AUDIT_WRITE`.
const DEFAULT: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// In the default set of other runtimes and not in ours. `add: [ALL]` does not bring them back.
const KNOWN: &[&str] = &[
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "IPC_OWNER",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// The set with `CAP_` prefixes, sorted.
///
/// # Errors
/// An added capability that is unknown or that the operator does not allow.
pub(crate) fn resolve(container: &Container, policy: &Policy) -> Result<Vec<String>, Refusal> {
    let asked = container.security_context.as_ref().and_then(|context| context.capabilities.as_ref());
    let dropped = names(asked.and_then(|asked| asked.drop.as_ref()));
    let mut set: Vec<String> = if dropped.iter().any(|name| name == "ALL") {
        Vec::new()
    } else {
        DEFAULT
            .iter()
            .filter(|name| !dropped.iter().any(|gone| gone == *name))
            .map(|&s| s.to_owned())
            .collect()
    };
    for name in names(asked.and_then(|asked: &Capabilities| asked.add.as_ref())) {
        allow(container, policy, &name)?;
        set.push(name);
    }
    set.sort();
    set.dedup();
    Ok(set.into_iter().map(|name| format!("CAP_{name}")).collect())
}

fn allow(container: &Container, policy: &Policy, name: &str) -> Result<(), Refusal> {
    if DEFAULT.contains(&name) || policy.extra_capabilities.contains(name) {
        return Ok(());
    }
    let known = name == "ALL" || KNOWN.contains(&name);
    let field = format!("spec.containers[{}].securityContext.capabilities.add", container.name);
    Err(if known {
        Refusal::forbidden(
            field,
            format!("capability {name} is not allowed"),
            format!("leave it out, or let the operator allow it (node option extraCapabilities: [{name}])"),
        )
    } else {
        Refusal::forbidden(field, format!("unknown capability {name:?}"), "check its spelling, without CAP_")
    })
}

/// Upper case, without `CAP_`.
fn names(list: Option<&Vec<String>>) -> Vec<String> {
    let plain = |name: &String| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)
    };
    list.into_iter().flatten().map(plain).collect()
}
