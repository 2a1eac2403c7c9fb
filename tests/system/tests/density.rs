//! What one sandbox costs the others: nothing.

use std::{fs, process::Command};
use system::{Machine, Output};

/// A sandbox that held a mount for every other sandbox's network would make the kernel keep a million mounts for a thousand of them.
#[test]
fn no_sandbox_holds_a_mount_of_another() {
    let machine = Machine::up();
    for name in ["first", "second", "third"] {
        machine.cli(&["create", name, "--runtime", "runc"]).ok();
    }
    let pins = format!("/run/agent-sandbox/{}/netns", machine.residue().id());
    let mounts = |pid: &str| fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    assert_eq!(mounts("self").matches(&format!("{pins}/")).count(), 3, "the host's own table has all pins");
    let wanted = format!("^agent-sandbox-supervisor run --instance {}", machine.residue().id());
    let supervisors = Output::of(Command::new("pgrep").args(["-f", &wanted])).ok();
    assert_eq!(supervisors.lines().count(), 3);
    for pid in supervisors.lines() {
        let own = mounts(pid);
        assert!(own.contains("overlay") && !own.contains(&pins), "supervisor {pid} holds pins:\n{own}");
    }
    machine.purge();
}
