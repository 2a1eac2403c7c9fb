//! The seccomp profile of every sandbox: what containerd and Docker allow by default, and a little less.

mod table;

use crate::inputs::Isolation;
use serde_json::{Value, json};

/// `EPERM`.
const EPERM: u32 = 1;

/// `ENOSYS`: programs fall back from `clone3` to `clone`, whose flags can be checked.
const ENOSYS: u32 = 38;

/// `CLONE_NEW*` flags that `clone` must not carry.
const NAMESPACE_FLAGS: u64 = 0x7E02_0000;

/// Socket families with a record of kernel holes and no use in a sandbox: `AF_ALG` and `AF_VSOCK`.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;

/// `personality` values that ordinary programs use: Linux, 32 bit, without address randomisation, query.
const PERSONALITIES: &[u64] = &[0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

/// Bits of a mode that say what kind of file it is, and the kinds that `mknod` may make.
const FILE_TYPE: u64 = 0o170_000;
const CHARACTER_DEVICE: u64 = 0o020_000;
const PLAIN_FILES: &[u64] = &[0, 0o100_000, 0o010_000, 0o140_000];

/// In the table, but allowed only with certain arguments.
const CONDITIONAL: &[&str] = &["clone", "mknod", "mknodat"];

/// `linux.seccomp` of the spec.
///
/// gVisor answers every refusal with `EPERM`, whatever the profile says, so a refused `clone3` would be final and no program
/// could make a thread. There it is allowed: the namespaces it could make are gVisor's own.
pub(crate) fn profile(isolation: Isolation) -> Value {
    let clone3 = match isolation {
        Isolation::SharedKernel => {
            json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS })
        }
        Isolation::UserKernel => json!({ "names": ["clone3"], "action": "SCMP_ACT_ALLOW" }),
    };
    let mut rules = vec![
        json!({
            "names": table::ALLOWED.iter().filter(|name| !CONDITIONAL.contains(name)).collect::<Vec<_>>(),
            "action": "SCMP_ACT_ALLOW",
        }),
        rule(
            "clone",
            &json!([{ "index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }]),
        ),
        clone3,
    ];
    for value in PERSONALITIES {
        rules.push(rule("personality", &json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }])));
    }
    // Conditions on one argument in one rule would be joined by "or": a rule each for what lies around the two.
    for (op, value) in [("SCMP_CMP_LT", AF_ALG), ("SCMP_CMP_EQ", AF_ALG + 1), ("SCMP_CMP_GT", AF_VSOCK)] {
        rules.push(rule("socket", &json!([{ "index": 0, "value": value, "op": op }])));
    }
    for (name, mode) in [("mknod", 1), ("mknodat", 2)] {
        for kind in PLAIN_FILES {
            rules.push(rule(name, &json!([masked(mode, FILE_TYPE, *kind)])));
        }
        // A character device with number 0 is no device: overlays mark deleted files so.
        let none = json!({ "index": mode + 1, "value": 0, "op": "SCMP_CMP_EQ" });
        rules.push(rule(name, &json!([masked(mode, FILE_TYPE, CHARACTER_DEVICE), none])));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        // The native one alone: a call by another way in (`int 0x80`, x32) ends the program. The 32-bit `socketcall` passes
        // its arguments in memory, where no filter can look for AF_ALG and vsock.
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules,
    })
}

/// The argument under `mask` equals `value`.
fn masked(index: u32, mask: u64, value: u64) -> Value {
    json!({ "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
}

fn rule(name: &str, args: &Value) -> Value {
    json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(name: &str) -> Vec<Value> {
        let profile = profile(Isolation::SharedKernel);
        let rules = profile["syscalls"].as_array().expect("rules").clone();
        let names =
            |rule: &Value| rule["names"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        rules.into_iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW" && names(rule)).collect()
    }

    #[test]
    fn ways_out_of_a_sandbox_are_refused() {
        let closed = [
            "mount",
            "umount2",
            "unshare",
            "setns",
            "bpf",
            "perf_event_open",
            "init_module",
            "finit_module",
            "keyctl",
            "add_key",
            "userfaultfd",
            "io_uring_setup",
            "kexec_load",
            "reboot",
            "open_by_handle_at",
            "pivot_root",
            "fsopen",
            "move_mount",
            "open_tree",
            "mount_setattr",
            "iopl",
            "ioperm",
            "swapon",
            "settimeofday",
            "clone3",
        ];
        for name in closed {
            assert!(allowed(name).is_empty(), "{name} must not be allowed");
        }
    }

    /// runsc's filter knows no error but EPERM, after which glibc does not fall back to `clone`.
    #[test]
    fn gvisor_may_make_threads_with_clone3() {
        let profile = profile(Isolation::UserKernel);
        let rules = profile["syscalls"].as_array().expect("rules");
        let rule = rules.iter().find(|rule| rule["names"][0] == "clone3").expect("a rule");
        assert_eq!(rule["action"], "SCMP_ACT_ALLOW");
    }

    #[test]
    fn clone_may_not_make_namespaces() {
        let rules = allowed("clone");
        assert_eq!(rules.len(), 1);
        let flags = rules[0]["args"][0]["value"].as_u64().expect("mask");
        for new in
            [0x0002_0000_u64, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000]
        {
            assert_eq!(flags & new, new, "{new:#x}");
        }
    }

    #[test]
    fn device_nodes_are_refused_by_their_kind() {
        for name in ["mknod", "mknodat"] {
            let rules = allowed(name);
            assert_eq!(rules.len(), 5, "{rules:?}");
            assert!(rules.iter().all(|rule| rule["args"][0]["op"] == "SCMP_CMP_MASKED_EQ"));
        }
    }

    /// i386 has `socketcall`, whose socket family a filter cannot see; with one architecture no i386 call is let through.
    #[test]
    fn only_native_calls_are_let_through() {
        for isolation in [Isolation::SharedKernel, Isolation::UserKernel] {
            assert_eq!(profile(isolation)["architectures"], json!(["SCMP_ARCH_X86_64"]));
        }
        assert!(allowed("socketcall").is_empty());
    }

    #[test]
    fn the_table_has_no_duplicates() {
        let mut names = table::ALLOWED.to_vec();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
