//! Turns a Pod's container into an OCI runtime spec.
//!
//! Pure: everything that has to be looked up (config maps, secrets, the image's users, facts of the host) comes in
//! through [`Inputs`]; everything that has to be done on the host (mounts to prepare, network sysctls) goes out
//! through [`Bundle`]. What must not be honoured is refused by name ([`Refusal`]), never dropped in silence.
//!
//! **Invariant:** a bundle never grants more than [`Policy`] allows: capabilities stay within the bounding set,
//! privileges never grow after start, the seccomp profile is always there.

mod bundle;
mod capabilities;
mod check;
mod downward;
mod env;
mod fields;
mod inputs;
mod linux;
mod mounts;
mod pause;
mod process;
pub mod quantity;
mod refusal;
mod resources;
mod seccomp;
mod user;

pub use bundle::{Bundle, Prepared};
pub use check::check;
pub use downward::{field_ref, resource_field_ref};
pub use env::{expand, resolve as environment};
pub use inputs::{
    CgroupVersion, Files, Host, IdRange, Image, Inputs, Isolation, Policy, Role, RootBind, Sources, Volume,
};
pub use pause::build_pause;
pub use refusal::{Reason, Refusal};
pub use resources::{Limits, qos_class};

use serde_json::json;

/// Where the init program is found inside a container that asked for one.
pub const INIT_PATH: &str = "/dev/.agent-sandbox-init";

/// Directory below [`Host::mount_dir`] that becomes the container's root.
pub const ROOTFS: &str = "rootfs";

/// Builds the OCI spec of one container.
///
/// # Errors
/// A [`Refusal`] that names the field, says what is wrong and what to do instead.
pub fn build(inputs: &Inputs<'_>) -> Result<Bundle, Refusal> {
    check::pod(inputs.pod, inputs.policy, inputs.isolation)?;
    check::container(inputs.container)?;
    let environment = env::resolve(inputs)?;
    let mut warnings = check::warnings(inputs);
    let process = process::build(inputs, &environment, &mut warnings)?;
    let mounts = mounts::build(inputs, &environment)?;
    let limits = resources::of_container(inputs)?;
    let linux = linux::build(inputs, &limits)?;
    let spec = json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": { "path": inputs.host.mount_dir.join(ROOTFS), "readonly": linux::read_only_root(inputs.container) },
        "hostname": inputs.hostname,
        "mounts": mounts.oci,
        "annotations": linux::annotations(inputs),
        "linux": linux.section,
    });
    Ok(Bundle {
        spec,
        mounts: mounts.prepared,
        net_sysctls: linux.net_sysctls,
        limits,
        tty: inputs.container.tty.unwrap_or(false),
        stdin: inputs.container.stdin.unwrap_or(false),
        stdin_once: inputs.container.stdin_once.unwrap_or(false),
        warnings,
    })
}

#[cfg(test)]
mod tests;
