//! A kind of the user's own, by an unmodified kubectl.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use system::{Machine, eventually, manifest};

const DEFINITION: &str = include_str!("definitions/widgets.yaml");
const WIDGET: &str = "
apiVersion: example.com/v1
kind: Widget
metadata: {name: first}
spec: {issuer: ca, usages: [signing]}
";

const HOSTS: &str = include_str!("definitions/hosts.yaml");
const WEBHOOK: &str = include_str!("definitions/webhook.py");

fn told(said: &system::Output, want: &str) {
    assert!(said.code != 0 && said.err.contains(want), "{want}\n{said:?}");
}

#[test]
fn a_definition_is_used_changed_and_deleted() {
    let machine = Machine::up();
    // The definition and an object of it at once: the server answers when the kind is served.
    machine.apply(DEFINITION).ok();
    machine
        .kubectl(&["wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=20s"])
        .ok();
    assert!(machine.apply(WIDGET).ok().contains("widget.example.com/first created"));
    assert!(machine.apply(WIDGET).ok().contains("unchanged"));
    let explained = machine.kubectl(&["explain", "widget.spec.issuer"]).ok();
    assert!(explained.contains("Who issued it. It stays."), "{explained}");

    validates(&machine);
    shows(&machine);

    // A definition that is changed counts at once.
    let changed = DEFINITION.replace("note: {type: string}", "note: {type: string, default: none}");
    assert!(machine.apply(&changed).ok().contains("configured"));
    assert_eq!(machine.get("wd", "first")["spec"]["note"], "none");

    let owned = "{apiVersion: v1, kind: ConfigMap, metadata: {name: owned, ownerReferences: [{apiVersion: example.com/v1, kind: Widget, name: first, uid: UID}]}}";
    let uid = machine.get("wd", "first")["metadata"]["uid"].as_str().expect("uid").to_owned();
    machine.apply(&owned.replace("UID", &uid)).ok();
    machine.kubectl(&["delete", "crd", "widgets.example.com", "--timeout=60s"]).ok();
    // kubectl remembers for some minutes that there was such a kind.
    told(&machine.kubectl(&["get", "widgets"]), "the server could not find the requested resource");
    eventually("what the widget owned is gone", || {
        machine.kubectl(&["get", "configmap", "owned", "--ignore-not-found", "-o", "name"]).ok().is_empty()
    });
    machine.purge();
}

fn validates(machine: &Machine) {
    let patch = |patch: &str| machine.kubectl(&["patch", "wd", "first", "--type=merge", "-p", patch]);
    told(&patch(r#"{"spec":{"issuer":"other"}}"#), "issuer is immutable");
    told(&patch(r#"{"spec":{"replicas":6}}"#), "only the big issuer has more than five");
    told(&patch(r#"{"spec":{"usages":["dancing"]}}"#), "supported values: \"signing\", \"encryption\"");
    told(&machine.apply(&WIDGET.replace("issuer:", "isuer: x, issuer:")), "unknown field \"spec.isuer\"");
}

fn shows(machine: &Machine) {
    machine.kubectl(&["scale", "widget/first", "--replicas=3"]).ok();
    let ready = r#"{"status":{"replicas":3,"conditions":[{"type":"Ready","status":"True"}]}}"#;
    machine.kubectl(&["patch", "wd", "first", "--subresource=status", "--type=merge", "-p", ready]).ok();
    machine.kubectl(&["wait", "--for=condition=Ready", "widget/first", "--timeout=20s"]).ok();
    let table = machine.kubectl(&["get", "wd", "-o", "wide"]).ok();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "READY", "ISSUER", "AGE"]);
    assert_eq!(rows[1][..3], ["first", "True", "ca"]);
    let selected = ["get", "wd", "--field-selector", "spec.issuer=ca", "-o", "name"];
    assert_eq!(machine.kubectl(&selected).ok().trim(), "widget.example.com/first");
    let old = machine.kubectl(&[
        "get",
        "widgets.v1alpha1.example.com",
        "first",
        "-o",
        "jsonpath={.apiVersion} {.spec}",
    ]);
    assert!(
        old.err.contains("example.com/v1alpha1 Widget is deprecated; use example.com/v1 Widget"),
        "{old:?}"
    );
    assert_eq!(old.ok(), r#"example.com/v1alpha1 {"issuer":"ca","replicas":3}"#);
    assert!(machine.kubectl(&["get", "all", "-o", "name"]).ok().contains("widget.example.com/first"));
}

/// The API server reaches the webhook through the node, and trusts it by the definition's certificate.
#[test]
fn a_pod_behind_a_service_converts() {
    let machine = Machine::up();
    let made = rcgen::generate_simple_self_signed(["hooks.default.svc".to_owned()]).expect("a certificate");
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let files = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook"},
        "stringData": {"cert.pem": cert, "key.pem": key, "webhook.py": WEBHOOK}});
    machine.apply(&files.to_string()).ok();
    let container = manifest::with(
        manifest::container("hook", "exec python3 /hook/webhook.py"),
        json!({"volumeMounts": [{"name": "hook", "mountPath": "/hook"}],
            "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1}}),
    );
    let spec =
        json!({"containers": [container], "volumes": [{"name": "hook", "secret": {"secretName": "hook"}}]});
    let mut pod = manifest::pod("hook", spec);
    pod["metadata"]["labels"] = json!({"app": "hook"});
    machine.apply(&pod.to_string()).ok();
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hooks"},
        "spec": {"selector": {"app": "hook"}, "ports": [{"port": 443, "targetPort": 8443}]}});
    machine.apply(&service.to_string()).ok();
    machine.apply(&HOSTS.replace("BUNDLE", &BASE64_STANDARD.encode(cert))).ok();
    machine.kubectl(&["wait", "--for=condition=Ready", "pod/hook", "--timeout=60s"]).ok();
    let host = "{apiVersion: example.com/v1, kind: Host, metadata: {name: a}, spec: {hostPort: 'b.c:80'}}";
    eventually("the service knows its pod", || machine.apply(host).code == 0);
    assert_eq!(machine.get("hosts.v2.example.com", "a")["spec"], json!({"host": "b.c", "port": 80}));
    assert_eq!(machine.get("hosts.v1.example.com", "a")["spec"], json!({"hostPort": "b.c:80"}));
    machine.kubectl(&["delete", "pod", "hook", "--timeout=30s"]).ok();
    told(
        &machine.kubectl(&["get", "hosts.v1.example.com", "a"]),
        "conversion webhook for example.com/v2, Kind=Host failed",
    );
    machine.purge();
}
