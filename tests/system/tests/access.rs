//! Who may do what, asked by a current kubectl: roles, tokens, `auth can-i`, `--as`; and a sandbox with an account's token.

use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use system::{
    Machine,
    manifest::{idle, pod},
};

const AUDIT: &str = "/var/tmp/agent-sandbox-test-audit";

/// kubectl with a kubeconfig that holds the token and nothing else.
fn with_token(machine: &Machine, name: &str, token: &str) -> impl Fn(&[&str]) -> system::Output {
    let file = machine.scratch().join(format!("{name}.kubeconfig"));
    let config = machine.kubectl(&["config", "view", "--raw", "-o", "json"]).ok();
    let mut config: Value = serde_json::from_str(&config).expect("kubeconfig");
    config["users"][0]["user"] = json!({"token": token});
    std::fs::write(&file, config.to_string()).expect("kubeconfig");
    move |args: &[&str]| {
        let mut command = machine.kubectl_command();
        system::Output::of(command.env("KUBECONFIG", &file).args(args))
    }
}

#[test]
fn a_person_gets_a_role_and_a_token_and_kubectl_says_what_they_are_good_for() {
    let log = format!("{AUDIT}-{}", std::process::id());
    let machine = Machine::up_with(&["--audit-log", &log]);
    machine.kubectl(&["create", "serviceaccount", "builder"]).ok();
    let token = machine.kubectl(&["create", "token", "builder"]).ok();
    let kubectl = with_token(&machine, "builder", token.trim());
    let refused = kubectl(&["get", "pods"]).refused();
    let want = "pods is forbidden: User \"system:serviceaccount:default:builder\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert!(refused.contains(want), "{refused}");
    assert_eq!(kubectl(&["auth", "can-i", "create", "sandboxes"]).code, 1);

    machine
        .kubectl(&[
            "create",
            "rolebinding",
            "builder",
            "--clusterrole=edit",
            "--serviceaccount=default:builder",
        ])
        .ok();
    assert_eq!(kubectl(&["auth", "can-i", "create", "sandboxes.agents.x-k8s.io"]).ok().trim(), "yes");
    let refused = kubectl(&["auth", "can-i", "create", "rolebindings.rbac.authorization.k8s.io"]);
    assert!(refused.code == 1 && refused.out.starts_with("no"), "{}", refused.out);
    let list = kubectl(&["auth", "can-i", "--list"]).ok();
    assert!(list.contains("sandboxes.agents.x-k8s.io") && list.contains("/version"), "{list}");
    let me = kubectl(&["auth", "whoami"]).ok();
    assert!(
        me.contains("system:serviceaccount:default:builder") && me.contains("system:authenticated"),
        "{me}"
    );
    kubectl(&["create", "configmap", "made", "--from-literal=a=b"]).ok();
    let refused = kubectl(&["create", "namespace", "mine"]).refused();
    assert!(
        refused.contains("cannot create resource \"namespaces\" in API group \"\" at the cluster scope"),
        "{refused}"
    );

    let acted = machine.kubectl(&["get", "secrets", "--as", "jane", "--as-group", "devs"]).refused();
    assert!(acted.contains("User \"jane\" cannot list resource \"secrets\""), "{acted}");
    assert_eq!(machine.kubectl(&["auth", "can-i", "*", "*"]).ok().trim(), "yes");

    machine.kubectl(&["delete", "serviceaccount", "builder"]).ok();
    let refused = kubectl(&["get", "pods"]).refused();
    assert!(refused.contains("Unauthorized") || refused.contains("must be logged in"), "{refused}");
    drop(kubectl);
    machine.purge();
    let text = std::fs::read_to_string(&log).expect("audit log");
    let mode = std::fs::metadata(&log).expect("audit log").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(text.contains("\"system:serviceaccount:default:builder\"") && text.contains("\"forbid\""));
    assert!(!text.contains(token.trim()));
    std::fs::remove_file(&log).expect("remove the log");
}

/// 127.0.0.2 stands for another address of this machine: it is reached, and no certificate names it unasked.
#[test]
fn beyond_loopback_nobody_is_anonymous_and_the_certificate_names_what_was_asked_for() {
    let machine = Machine::prepare(&[]);
    let listen = format!("0.0.0.0:{}", machine.port());
    let mut up = machine.command();
    up.args(["up", "--detach", "--listen", &listen, "--tls-san", "box.example", "--tls-san", "127.0.0.2"]);
    let said = system::Output::of(up.arg("--data-dir").arg(machine.data())).ok();
    let (ca, port) = (machine.data().join("pki/ca.crt"), machine.port());
    let told = format!("connect to https://box.example:{port} with the authority {}", ca.display());
    assert!(said.contains("is open to the network") && said.contains(&told), "{said}");

    // As docs/access.md says it: the authority, a token, and the name.
    machine.kubectl(&["create", "serviceaccount", "ann"]).ok();
    machine
        .kubectl(&["create", "rolebinding", "ann", "--clusterrole=view", "--serviceaccount=default:ann"])
        .ok();
    let token = machine.kubectl(&["create", "token", "ann"]).ok();
    let from_elsewhere = |server: &str, more: &[&str]| {
        let mut kubectl = machine.kubectl_command();
        kubectl.env("KUBECONFIG", "/dev/null").args(["--context", "", "--certificate-authority"]).arg(&ca);
        kubectl.args(["--server", server]).args(more);
        system::Output::of(&mut kubectl)
    };
    let (named, unnamed) = (format!("https://127.0.0.2:{port}"), format!("https://127.0.0.3:{port}"));
    let get = ["--token", token.trim(), "get", "configmaps"];
    assert!(from_elsewhere(&named, &get).ok().contains("kube-root-ca.crt"));
    let by_name = [&["--tls-server-name", "box.example"], &get[..]].concat();
    from_elsewhere(&unnamed, &by_name).ok();
    let refused = from_elsewhere(&unnamed, &get).refused();
    assert!(refused.contains("certificate is valid for") && refused.contains("127.0.0.2"), "{refused}");
    for path in [
        "/healthz",
        "/livez",
        "/readyz",
        "/version",
        "/metrics",
        "/api",
        "/apis",
        "/openapi/v3",
        "/api/v1/pods",
        "/",
    ] {
        let url = format!("{named}{path}");
        let mut curl = machine.tool("curl");
        curl.args(["-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]).arg(&ca);
        assert_eq!(system::Output::of(curl.arg(&url)).ok(), "401", "{path} without a proof");
    }
    let said = machine.cli(&["status", "--data-dir", &machine.data().display().to_string()]).ok();
    assert!(said.contains("certs      server until 20") && said.contains("authority until 20"), "{said}");
    machine.purge();
}

#[test]
fn a_pod_of_an_account_that_gives_its_token_has_one_that_counts() {
    let machine = Machine::shared();
    machine.kubectl(&["create", "serviceaccount", "bot"]).ok();
    let waits = idle("work");
    machine.ready_pod(&pod("bot", json!({"serviceAccountName": "bot", "containers": [waits.clone()]})));
    let dir = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert_eq!(
        machine.sh("bot", &format!("ls {dir}")).split_whitespace().collect::<Vec<_>>(),
        ["ca.crt", "namespace", "token"]
    );
    assert_eq!(machine.sh("bot", &format!("cat {dir}/namespace")), "default");
    let token = machine.sh("bot", &format!("cat {dir}/token"));
    let kubectl = with_token(&machine, "bot", &token);
    let me = kubectl(&["auth", "whoami", "-o", "json"]).ok();
    assert!(me.contains("system:serviceaccount:default:bot") && me.contains("pod-name"), "{me}");
    machine.ready_pod(&pod("plain", json!({"containers": [waits]})));
    assert!(!machine.sh("plain", &format!("ls {dir} 2>&1 || true")).contains("token"));
}
