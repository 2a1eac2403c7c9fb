//! A current kubectl, unmodified, on a standalone machine.

use system::{Machine, eventually};

/// As upstream's documentation prints it, with an image that needs no registry.
const MINIMAL: &str = include_str!("../../../examples/minimal.yaml");

#[test]
fn the_minimal_manifest_works_as_printed_and_answers_to_its_name() {
    let machine = Machine::up();
    assert!(machine.apply(MINIMAL).ok().contains("sandbox.agents.x-k8s.io/my-sandbox created"));
    machine.kubectl(&["wait", "--for=condition=Ready", "sandbox/my-sandbox", "--timeout=60s"]).ok();
    assert!(machine.apply(MINIMAL).ok().contains("unchanged"));
    machine.cli(&["create", "asker"]).ok();
    let lookup = "import socket; print(socket.gethostbyname('my-sandbox'))";
    let seen = machine.cli(&["exec", "asker", "--", "python3", "-c", lookup]).ok();
    let sandbox = machine.get("sandboxes.v1beta1.agents.x-k8s.io", "my-sandbox");
    assert_eq!(seen.trim(), sandbox["status"]["podIPs"][0].as_str().expect("address"));
    machine.purge();
}

#[test]
fn get_describe_exec_logs_patch_and_delete() {
    let machine = Machine::up();
    machine.apply(MINIMAL).ok();
    machine.kubectl(&["wait", "--for=condition=Ready", "sandbox/my-sandbox", "--timeout=60s"]).ok();
    let table = machine.kubectl(&["get", "sandboxes.v1beta1.agents.x-k8s.io"]).ok();
    assert!(table.starts_with("NAME") && table.contains("DependenciesReady"), "{table}");
    let pods = machine.kubectl(&["get", "pods", "-o", "wide"]).ok();
    assert!(pods.contains("1/1") && pods.contains("Running"), "{pods}");
    assert!(machine.kubectl(&["describe", "pod", "my-sandbox"]).ok().contains("Started"));
    assert!(machine.kubectl(&["describe", "sandbox", "my-sandbox"]).ok().contains("DependenciesReady"));
    assert_eq!(machine.kubectl(&["exec", "my-sandbox", "--", "echo", "hello"]).ok(), "hello\n");
    assert_eq!(machine.kubectl(&["exec", "my-sandbox", "--", "sh", "-c", "exit 7"]).code, 7);
    let patch = r#"{"spec":{"operatingMode":"Suspended"}}"#;
    machine
        .kubectl(&["patch", "sandboxes.v1beta1.agents.x-k8s.io", "my-sandbox", "--type=merge", "-p", patch])
        .ok();
    machine
        .kubectl(&[
            "wait",
            "--for=condition=Suspended",
            "sandboxes.v1beta1.agents.x-k8s.io/my-sandbox",
            "--timeout=60s",
        ])
        .ok();
    assert_eq!(machine.get("sandboxes.v1alpha1.agents.x-k8s.io", "my-sandbox")["spec"]["replicas"], 0);
    machine.kubectl(&["delete", "sandbox", "my-sandbox", "--timeout=60s"]).ok();
    eventually("the pod is gone too", || machine.kubectl(&["get", "pods", "-o", "name"]).ok().is_empty());
    machine.purge();
}
