//! Wrong manifests: each is refused, or says on the object what is wrong, in words that name the field or the cause; and
//! nothing is left of it after it is deleted.

use serde_json::{Value, json};
use system::{
    Machine, eventually,
    manifest::{container, idle, pod, sandbox, with},
};

const SANDBOX: &str = "sandboxes.v1beta1.agents.x-k8s.io";

/// Both ways to bring a manifest: kubectl create (which validates strictly) and our own apply. Nothing may come of it.
#[track_caller]
fn refused_everywhere(machine: &Machine, object: &Value, expected: &str) {
    let said = machine.create(object).refused();
    assert!(said.contains(expected), "kubectl: expected {expected:?} in:\n{said}");
    let file = machine.scratch().join("bad.json");
    std::fs::write(&file, object.to_string()).expect("write");
    let field = expected.rsplit(['"', '.']).find(|part| !part.is_empty()).expect("a word");
    let said = machine.cli(&["apply", "-f", &file.display().to_string()]).refused();
    assert!(said.starts_with("error: apply Sandbox") && said.contains(field), "our apply: {said}");
    let name = object["metadata"]["name"].as_str().expect("name");
    assert_eq!(machine.kubectl(&["get", SANDBOX, name, "--ignore-not-found"]).ok(), "");
}

/// Creates the Sandbox and waits until its Ready condition says `expected`; then deletes it and sees everything go.
#[track_caller]
fn says_on_the_sandbox(machine: &Machine, object: &Value, expected: &str) -> String {
    machine.create(object).ok();
    let name = object["metadata"]["name"].as_str().expect("name");
    let mut message = String::new();
    eventually(&format!("{expected:?} on sandbox {name}"), || {
        let conditions = machine.get(SANDBOX, name)["status"]["conditions"].clone();
        let ready = conditions.as_array().into_iter().flatten().find(|one| one["type"] == "Ready").cloned();
        message = ready
            .map_or_else(String::new, |one| format!("{}: {}", text(&one["reason"]), text(&one["message"])));
        message.contains(expected)
    });
    let why = machine.cli(&["why", name]).ok();
    deleted_without_a_trace(machine, name);
    format!("{message}\n{why}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[track_caller]
fn deleted_without_a_trace(machine: &Machine, name: &str) {
    machine.kubectl(&["delete", SANDBOX, name, "--timeout=60s"]).ok();
    eventually(&format!("nothing is left of {name}"), || {
        let left = machine.kubectl(&["get", "sandboxes,pods,services,pvc,pv", "-o", "name"]).ok();
        !left.lines().any(|line| line.contains(name))
    });
}

#[test]
fn an_unknown_field_is_refused_by_its_path() {
    let machine = Machine::shared();
    let mut object = sandbox("unknown-field", json!({"containers": [idle("work")]}));
    object["spec"]["podTemplate"]["spec"]["containers"][0]["imagee"] = json!("x");
    let path = r#"unknown field "spec.podTemplate.spec.containers[0].imagee""#;
    refused_everywhere(&machine, &object, path);
}

#[test]
fn a_wrong_type_is_refused_with_the_type_that_is_wanted() {
    let machine = Machine::shared();
    let mut object = sandbox("wrong-type", json!({"containers": [idle("work")]}));
    object["spec"]["podTemplate"]["spec"]["containers"][0]["workingDir"] = json!(5);
    let said = machine.create(&object).refused();
    // Kubernetes 1.36 on a custom resource: "Invalid value: "integer": <path> in body must be of type string: "integer"".
    let wanted = "spec.podTemplate.spec.containers[0].workingDir: Invalid value: \"integer\"";
    assert!(said.contains(wanted) && said.contains("must be of type string"), "{said}");
    refused_everywhere(&machine, &object, "workingDir");
}

#[test]
fn a_bad_quantity_is_refused() {
    let machine = Machine::shared();
    let limits = json!({"resources": {"limits": {"memory": "12Potatoes"}}});
    let object = sandbox("bad-quantity", json!({"containers": [with(idle("work"), limits)]}));
    refused_everywhere(&machine, &object, "spec.podTemplate.spec.containers[0].resources.limits.memory");
    let said = machine.cli(&["create", "bad-quantity", "--memory", "12Potatoes"]).refused();
    assert!(said.contains("memory") && said.contains("12Potatoes"), "{said}");
}

#[test]
fn a_missing_container_is_refused_or_said_on_the_sandbox() {
    let machine = Machine::shared();
    let mut object = sandbox("no-containers", json!({}));
    refused_everywhere(&machine, &object, "spec.podTemplate.spec.containers");
    // An empty list has the right type; it is the Pod that may not be without a container.
    object["spec"]["podTemplate"]["spec"]["containers"] = json!([]);
    says_on_the_sandbox(&machine, &object, "spec.containers: Required value");
}

#[test]
fn a_long_name_with_a_service_says_the_limit() {
    let machine = Machine::shared();
    let name = "n".repeat(64);
    let mut object = sandbox(&name, json!({"containers": [idle("work")]}));
    object["spec"]["service"] = json!(true);
    let said = says_on_the_sandbox(&machine, &object, "63");
    assert!(said.contains("service"), "{said}");
    // Without a Service the name is legal.
    object["spec"]["service"] = json!(false);
    machine.create(&object).ok();
    let what = format!("{SANDBOX}/{name}");
    machine.kubectl(&["wait", "--for=condition=Ready", &what, "--timeout=60s"]).ok();
    deleted_without_a_trace(&machine, &name);
}

#[test]
fn a_mount_without_its_volume_names_the_volume() {
    let machine = Machine::shared();
    let mounts = json!({"volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]});
    let object = sandbox("no-volume", json!({"containers": [with(idle("work"), mounts)]}));
    let wanted = r#"spec.containers[0].volumeMounts[0].name: Not found: "nowhere""#;
    says_on_the_sandbox(&machine, &object, wanted);
}

#[test]
fn an_unknown_runtime_class_is_named() {
    let machine = Machine::shared();
    let spec = json!({"runtimeClassName": "firecracker", "containers": [idle("work")]});
    let said =
        says_on_the_sandbox(&machine, &sandbox("no-class", spec), r#"RuntimeClass "firecracker" not found"#);
    assert!(said.contains("runc") && said.contains("gvisor"), "why lists those that exist:\n{said}");
    let said = machine.cli(&["create", "no-class-2", "--runtime", "firecracker"]).refused();
    assert!(said.contains(r#"RuntimeClass "firecracker" not found"#), "{said}");
    deleted_without_a_trace(&machine, "no-class-2");
}

#[test]
fn an_image_that_does_not_exist_is_named_on_pod_event_and_cli() {
    let machine = Machine::shared();
    let container = with(idle("work"), json!({"image": "registry.invalid/nothing:1"}));
    machine.create(&sandbox("no-image", json!({"containers": [container]}))).ok();
    let reason = "/status/containerStatuses/0/state/waiting/reason";
    machine.wait_for_pod("no-image", reason, &json!("ImagePullBackOff"));
    let events = machine.events("no-image");
    assert!(events.contains("Failed to pull image \"registry.invalid/nothing:1\""), "{events}");
    let why = machine.cli(&["why", "no-image"]).ok();
    assert!(why.contains("registry.invalid/nothing:1") && why.contains("check the image's name"), "{why}");
    deleted_without_a_trace(&machine, "no-image");
    let run = machine.cli(&["run", "--image", "registry.invalid/nothing:1", "--", "true"]);
    assert_eq!(run.code, 125, "{run:?}");
    assert!(run.err.contains("registry.invalid/nothing:1"), "{}", run.err);
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let machine = Machine::shared();
    let container = json!({"name": "work", "image": "agent-sandbox/host", "command": ["no-such-command"]});
    for runtime in ["runc", "gvisor"] {
        let name = format!("no-command-{runtime}");
        let spec = json!({"runtimeClassName": runtime, "restartPolicy": "Never", "containers": [container]});
        machine.create(&sandbox(&name, spec)).ok();
        // The kubelet's reason for a container whose process could not be started; 127 is every shell's code for it.
        let state = "/status/containerStatuses/0/state/terminated/reason";
        machine.wait_for_pod(&name, state, &json!("ContainerCannotRun"));
        let ended =
            machine.get("pod", &name)["status"]["containerStatuses"][0]["state"]["terminated"].clone();
        assert_eq!(ended["exitCode"], 127, "{ended}");
        assert!(ended["message"].as_str().expect("message").contains("no-such-command"), "{ended}");
        let why = machine.cli(&["why", &name]).ok();
        assert!(why.contains("no-such-command"), "{why}");
        deleted_without_a_trace(&machine, &name);
        let run = machine.cli(&["run", "--runtime", runtime, "--", "no-such-command"]);
        assert_eq!(run.code, 127, "{run:?}");
        assert!(run.err.contains("no-such-command"), "{}", run.err);
    }
}

#[test]
fn a_volume_larger_than_the_disk_waits_and_says_so() {
    let machine = Machine::shared();
    let mounts = json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]});
    let mut object = sandbox("huge", json!({"containers": [with(idle("work"), mounts)]}));
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "900Ti"}}});
    object["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": claim}]);
    machine.create(&object).ok();
    eventually("it is said on the claim", || {
        let events = machine.events("data-huge");
        events.contains("ProvisioningFailed") && events.contains("900Ti")
    });
    assert_eq!(machine.get("pvc", "data-huge")["status"]["phase"], "Pending");
    let why = machine.cli(&["why", "huge"]).ok();
    assert!(why.contains("data-huge") && why.contains("900Ti"), "{why}");
    deleted_without_a_trace(&machine, "huge");
}

#[test]
fn what_would_break_the_isolation_is_refused_by_name() {
    let machine = Machine::shared();
    let privileged = json!({"securityContext": {"privileged": true}});
    let host_path = json!([{"name": "etc", "hostPath": {"path": "/etc"}}]);
    let cases = [
        ("privileged", json!({"containers": [with(idle("work"), privileged)]})),
        ("hostNetwork", json!({"hostNetwork": true, "containers": [idle("work")]})),
        ("hostPID", json!({"hostPID": true, "containers": [idle("work")]})),
        ("hostIPC", json!({"hostIPC": true, "containers": [idle("work")]})),
        ("hostPath", json!({"volumes": host_path, "containers": [idle("work")]})),
    ];
    for (field, spec) in cases {
        let name = format!("bad-{}", field.to_lowercase());
        machine.create(&sandbox(&name, spec)).ok();
        let refused = machine.wait_for_pod(&name, "/status/phase", &json!("Failed"));
        assert_eq!(refused["status"]["reason"], "Forbidden", "{field}");
        assert!(refused["status"]["message"].as_str().expect("message").contains(field), "{refused}");
        assert!(machine.events(&name).contains(field), "{field} is in an event");
        let why = machine.cli(&["why", &name]).ok();
        assert!(why.contains(field), "{field} is in:\n{why}");
        deleted_without_a_trace(&machine, &name);
    }
}

#[test]
fn no_service_account_token_is_mounted() {
    let machine = Machine::shared();
    machine.ready_pod(&pod("no-token", json!({"containers": [idle("work")]})));
    assert_eq!(machine.sh("no-token", "ls /var/run/secrets/kubernetes.io 2>/dev/null; true"), "");
    assert_eq!(machine.get("pod", "no-token")["spec"].pointer("/containers/0/volumeMounts"), None);
    machine.kubectl(&["delete", "pod", "no-token"]).ok();
}

#[test]
fn flags_of_the_command_line_are_checked_before_anything_is_made() {
    let machine = Machine::shared();
    for (flags, expected) in [
        (["--volume", "data"], "NAME:PATH[:SIZE]"),
        (["--env", "NOT_SET_ANYWHERE"], "not set in this shell"),
        (["--label", "x"], "not KEY=VALUE"),
        (["--expires", "soon"], "neither a duration"),
        (["--cpu", "many"], "cpu"),
        (["--workdir", "relative"], "workingDir"),
    ] {
        let said = machine.cli(&["create", "bad-flag", "--timeout", "5", flags[0], flags[1]]).refused();
        assert!(said.contains(expected), "{flags:?}: {said}");
        machine.cli(&["rm", "--force", "bad-flag", "--wait"]).ok();
    }
    let said = machine.cli(&["create", "Not_A_Name"]).refused();
    assert!(said.contains("metadata.name: Invalid value: \"Not_A_Name\""), "{said}");
}

#[test]
fn a_container_that_ends_at_once_is_told_with_its_code() {
    let machine = Machine::shared();
    let spec = json!({"restartPolicy": "Never", "containers": [container("work", "exit 3")]});
    let said = says_on_the_sandbox(&machine, &sandbox("ends", spec), "PodFailed");
    assert!(said.contains("exit code 3"), "{said}");
}
