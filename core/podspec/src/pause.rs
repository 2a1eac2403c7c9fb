//! The container that holds a gVisor sandbox for several containers.

use crate::{
    Bundle, INIT_PATH, Prepared, ROOTFS, Refusal,
    inputs::{Inputs, Role},
    linux, mounts, resources, seccomp,
};
use serde_json::{Value, json};

/// Builds the root container of a sandbox with several containers: it runs the init program as `pause`, sees
/// nothing and may do nothing, and carries the limits of the whole pod. `inputs.container` is not looked at.
///
/// # Errors
/// A [`Refusal`] when `inputs.init` is missing, or for a container whose resources are refused.
pub fn build_pause(inputs: &Inputs<'_>) -> Result<Bundle, Refusal> {
    let init =
        inputs.init.ok_or_else(|| Refusal::config("init", "the pause container needs the init program"))?;
    let limits = resources::of_pod(inputs.pod, inputs.policy.pids_limit)?;
    let inputs = Inputs { role: &Role::Pause, ..*inputs };
    let mut oci = mounts::system(&inputs);
    oci.retain(|mount| mount["destination"] == "/proc" || mount["destination"] == "/dev");
    oci.push(json!({
        "destination": INIT_PATH,
        "type": "bind",
        "source": inputs.host.mount_dir.join("init"),
        "options": ["bind", "rprivate", "nosuid", "nodev", "ro"],
    }));
    let prepared = Prepared {
        name: "init".to_owned(),
        source: init.to_owned(),
        sub_path: None,
        idmap: false,
        read_only: true,
        no_links: false,
    };
    Ok(Bundle {
        spec: spec(&inputs, &limits, &oci),
        mounts: vec![prepared],
        net_sysctls: Vec::new(),
        limits,
        tty: false,
        stdin: false,
        stdin_once: false,
        warnings: Vec::new(),
    })
}

fn spec(inputs: &Inputs<'_>, limits: &resources::Limits, oci: &[Value]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": [INIT_PATH, "pause"],
            "env": [],
            "cwd": "/",
            "capabilities": { "bounding": [], "effective": [], "permitted": [] },
            "noNewPrivileges": true,
        },
        "root": { "path": inputs.host.mount_dir.join(ROOTFS), "readonly": true },
        "hostname": inputs.hostname,
        "mounts": oci,
        "annotations": linux::annotations(inputs),
        "linux": {
            "namespaces": linux::namespaces(inputs),
            "cgroupsPath": linux::cgroups_path(inputs, ".pause"),
            "resources": resources::section(limits, inputs.host.swap_accounting),
            "seccomp": seccomp::profile(inputs.isolation),
        },
    })
}
