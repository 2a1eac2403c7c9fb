//! Deployments, Jobs and quotas as kubectl users know them, on a real node.

use serde_json::{Value, json};
use system::{Machine, eventually};

fn template(command: &str, restart: &str, marker: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"restartPolicy": restart, "runtimeClassName": "runc",
        "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "agent-sandbox/host",
            "command": ["sh", "-c", command], "env": [{"name": "MARKER", "value": marker}]}]}})
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": template("trap exit TERM; sleep 1000 & wait", "Always", "one")}})
}

#[test]
fn a_deployment_rolls_out_back_and_to_another_size_with_kubectl() {
    let machine = Machine::up();
    machine.create(&deployment()).ok();
    let status = ["rollout", "status", "deployment/web", "--timeout=120s"];
    assert!(machine.kubectl(&status).ok().contains("successfully rolled out"));
    machine.kubectl(&["set", "env", "deployment/web", "MARKER=two"]).ok();
    machine.kubectl(&status).ok();
    let history = machine.kubectl(&["rollout", "history", "deployment/web"]).ok();
    assert!(history.contains("\n1 ") && history.contains("\n2 "), "{history}");
    machine.kubectl(&["rollout", "undo", "deployment/web"]).ok();
    machine.kubectl(&status).ok();
    let web = machine.get("deployment", "web");
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"], "one");
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    machine.kubectl(&["rollout", "restart", "deployment/web"]).ok();
    machine.kubectl(&status).ok();
    machine.kubectl(&["rollout", "pause", "deployment/web"]).ok();
    machine.kubectl(&["rollout", "resume", "deployment/web"]).ok();
    machine.kubectl(&["scale", "deployment/web", "--replicas=3"]).ok();
    machine.kubectl(&status).ok();
    let table = machine.kubectl(&["get", "deployment", "web"]).ok();
    assert!(table.contains("3/3"), "{table}");
    machine.kubectl(&["expose", "deployment", "web", "--port=80"]).ok();
    eventually("three pods stand behind the service", || {
        let found = machine.get("endpoints", "web");
        found["subsets"][0]["addresses"].as_array().is_some_and(|all| all.len() == 3)
    });
    machine.kubectl(&["delete", "deployment", "web", "--timeout=60s"]).ok();
    eventually("its pods are gone too", || machine.kubectl(&["get", "pods", "-o", "name"]).ok().is_empty());
    machine.purge();
}

#[test]
fn a_job_runs_to_its_end() {
    let machine = Machine::up();
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"}, "spec": {
        "completions": 3, "parallelism": 2, "completionMode": "Indexed",
        "template": template("echo done $JOB_COMPLETION_INDEX", "Never", "x")}});
    machine.create(&job).ok();
    machine.kubectl(&["wait", "--for=condition=complete", "job/work", "--timeout=120s"]).ok();
    let table = machine.kubectl(&["get", "job", "work"]).ok();
    assert!(table.contains("Complete") && table.contains("3/3"), "{table}");
    let last = "batch.kubernetes.io/job-completion-index=2";
    assert_eq!(machine.kubectl(&["logs", "-l", last]).ok(), "done 2\n");
    machine.kubectl(&["delete", "job", "work", "--timeout=60s"]).ok();
    eventually("its pods are gone too", || machine.kubectl(&["get", "pods", "-o", "name"]).ok().is_empty());
    machine.purge();
}

#[test]
fn a_quota_refuses_what_it_has_no_room_for() {
    let machine = Machine::up();
    machine.kubectl(&["create", "quota", "q", "--hard=pods=1"]).ok();
    let mut web = deployment();
    web["spec"]["replicas"] = json!(1);
    machine.create(&web).ok();
    machine.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    eventually("the quota says so", || machine.get("quota", "q")["status"]["used"]["pods"] == "1");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
        "spec": template("true", "Never", "x")["spec"]});
    let refused = machine.create(&pod);
    let said = "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    assert!(refused.code != 0 && refused.err.contains(said), "{refused:?}");
    machine.purge();
}
