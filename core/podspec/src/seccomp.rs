//! The seccomp profile of every sandbox: what containerd and Docker allow by default, and a little less.

mod table;

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

/// `linux.seccomp` of the spec.
pub(crate) fn profile() -> Value {
    let mut rules = vec![
        json!({
            "names": table::ALLOWED.iter().filter(|name| **name != "clone").collect::<Vec<_>>(),
            "action": "SCMP_ACT_ALLOW",
        }),
        rule(
            "clone",
            &json!([{ "index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }]),
        ),
        json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }),
    ];
    for value in PERSONALITIES {
        rules.push(rule("personality", &json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }])));
    }
    // Conditions on one argument in one rule would be joined by "or": a rule each for what lies around the two.
    for (op, value) in [("SCMP_CMP_LT", AF_ALG), ("SCMP_CMP_EQ", AF_ALG + 1), ("SCMP_CMP_GT", AF_VSOCK)] {
        rules.push(rule("socket", &json!([{ "index": 0, "value": value, "op": op }])));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    })
}

fn rule(name: &str, args: &Value) -> Value {
    json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(name: &str) -> Vec<Value> {
        let profile = profile();
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
    fn the_table_has_no_duplicates() {
        let mut names = table::ALLOWED.to_vec();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
