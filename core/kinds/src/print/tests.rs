//! The cells are those that Kubernetes 1.36's printers make of the same objects.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::table::{by_kind, lookup};

const NOW: &str = "2026-01-02T00:00:00Z";

fn cells(group: &str, kind: &str, object: &Value) -> Vec<Value> {
    let kind = by_kind(group, "v1", kind).unwrap();
    let row = super::row(kind, object, NOW.parse::<Timestamp>().unwrap());
    assert_eq!(row.cells.len(), super::columns(kind).len());
    row.cells
}

fn metadata() -> Value {
    json!({"name": "x", "creationTimestamp": "2026-01-01T23:55:00Z"})
}

/// READY, STATUS and RESTARTS of a pod with two containers and the given spec and status.
fn pod(spec: &Value, status: &Value) -> [String; 3] {
    let mut spec = spec.clone();
    spec["containers"] = json!([{"name": "a"}, {"name": "b"}]);
    let cells = cells("", "Pod", &json!({"metadata": metadata(), "spec": spec, "status": status}));
    [1, 2, 3].map(|index| cells[index].as_str().unwrap().to_owned())
}

#[test]
fn the_status_of_a_pod_is_what_its_containers_do() {
    let running = json!({"ready": true, "state": {"running": {}}});
    let waiting = |reason: &str| json!({"state": {"waiting": {"reason": reason}}, "restartCount": 3});
    let ended =
        |code: i64, reason: &str| json!({"state": {"terminated": {"exitCode": code, "reason": reason}}});
    let ready = json!([{"type": "Ready", "status": "True"}]);
    for (status, want) in [
        (json!({"phase": "Pending"}), ["0/2", "Pending", "0"]),
        (
            json!({"phase": "Pending", "containerStatuses": [waiting("ContainerCreating")]}),
            ["0/2", "ContainerCreating", "3"],
        ),
        (json!({"phase": "Running", "containerStatuses": [running, running]}), ["2/2", "Running", "0"]),
        (
            json!({"phase": "Running", "containerStatuses": [running, waiting("CrashLoopBackOff")]}),
            ["1/2", "CrashLoopBackOff", "3"],
        ),
        (
            json!({"phase": "Succeeded", "containerStatuses": [ended(0, "Completed"), ended(0, "Completed")]}),
            ["0/2", "Completed", "0"],
        ),
        (json!({"phase": "Failed", "containerStatuses": [ended(1, "Error")]}), ["0/2", "Error", "0"]),
        (json!({"phase": "Failed", "containerStatuses": [ended(3, "")]}), ["0/2", "ExitCode:3", "0"]),
        (
            json!({"phase": "Running", "containerStatuses": [ended(0, "Completed"), running], "conditions": ready}),
            ["1/2", "Running", "0"],
        ),
        (
            json!({"phase": "Running", "containerStatuses": [ended(0, "Completed"), running]}),
            ["1/2", "NotReady", "0"],
        ),
        (json!({"phase": "Failed", "reason": "Evicted"}), ["0/2", "Evicted", "0"]),
        (
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            ["0/2", "SchedulingGated", "0"],
        ),
    ] {
        assert_eq!(pod(&json!({}), &status), want, "{status}");
    }
}

#[test]
fn init_containers_and_sidecars_show_how_far_they_are() {
    let spec = json!({"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]});
    let done = json!({"name": "i", "state": {"terminated": {"exitCode": 0}}});
    let sidecar =
        json!({"name": "s", "started": true, "ready": true, "state": {"running": {}}, "restartCount": 1});
    for (status, want) in [
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            ["0/3", "Init:0/2", "0"],
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [done, {"name": "s", "state": {"waiting": {"reason": "PodInitializing"}}}]}),
            ["0/3", "Init:1/2", "0"],
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}]}),
            ["0/3", "Init:ErrImagePull", "0"],
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1}}}]}),
            ["0/3", "Init:ExitCode:1", "0"],
        ),
        (
            json!({"phase": "Running", "initContainerStatuses": [done, sidecar], "containerStatuses": [{"ready": true, "state": {"running": {}}}]}),
            ["2/3", "Running", "1"],
        ),
    ] {
        assert_eq!(pod(&spec, &status), want, "{status}");
    }
}

#[test]
fn a_pod_that_is_being_deleted_terminates_and_restarts_say_when() {
    let mut object = json!({"metadata": metadata(), "spec": {"nodeName": "n", "containers": [{"name": "a"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "containerStatuses": [
            {"restartCount": 2, "ready": true, "state": {"running": {}},
             "lastState": {"terminated": {"finishedAt": "2026-01-01T23:59:00Z"}}}]}});
    let want = ["x", "1/1", "Running", "2 (60s ago)", "5m", "10.0.0.1", "n", "<none>", "<none>"];
    assert_eq!(cells("", "Pod", &object), want);
    object["metadata"]["deletionTimestamp"] = json!(NOW);
    assert_eq!(cells("", "Pod", &object)[2], "Terminating");
}

#[test]
fn finished_pods_are_marked() {
    let kind = lookup("", "v1", "pods").unwrap();
    let row = super::row(kind, &json!({"status": {"phase": "Succeeded"}}), Timestamp::UNIX_EPOCH);
    assert_eq!(row.conditions[0]["type"], "Completed");
}

#[test]
fn services_and_endpoints() {
    let service = json!({"metadata": metadata(), "spec": {"type": "ClusterIP", "clusterIPs": ["10.0.0.1"],
        "selector": {"b": "2", "a": "1"}, "ports": [{"port": 80, "protocol": "TCP"},
        {"port": 81, "nodePort": 30081, "protocol": "UDP"}]}});
    assert_eq!(
        cells("", "Service", &service),
        ["x", "ClusterIP", "10.0.0.1", "<none>", "80/TCP,81:30081/UDP", "5m", "a=1,b=2"]
    );
    let pending = json!({"metadata": metadata(), "spec": {"type": "LoadBalancer"}});
    assert_eq!(
        cells("", "Service", &pending),
        ["x", "LoadBalancer", "<none>", "<pending>", "<none>", "5m", "<none>"]
    );
    let addresses = json!([{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}, {"ip": "1.1.1.3"}, {"ip": "1.1.1.4"}]);
    let endpoints =
        json!({"metadata": metadata(), "subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]});
    assert_eq!(cells("", "Endpoints", &endpoints)[1], "1.1.1.1:80,1.1.1.2:80,1.1.1.3:80 + 1 more...");
    let slice = json!({"metadata": metadata(), "addressType": "IPv4", "ports": [{"port": 80}],
                       "endpoints": [{"addresses": ["1.1.1.1"]}]});
    assert_eq!(cells("discovery.k8s.io", "EndpointSlice", &slice), ["x", "IPv4", "80", "1.1.1.1", "5m"]);
    let policy = json!({"metadata": metadata(), "spec": {"podSelector": {"matchLabels": {"a": "b"}}}});
    assert_eq!(cells("networking.k8s.io", "NetworkPolicy", &policy), ["x", "a=b", "5m"]);
}

#[test]
fn storage() {
    let claim = json!({"metadata": metadata(), "spec": {"volumeName": "v", "storageClassName": "local",
        "volumeMode": "Filesystem"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"]}});
    assert_eq!(
        cells("", "PersistentVolumeClaim", &claim),
        ["x", "Bound", "v", "1Gi", "RWO", "local", "<unset>", "5m", "Filesystem"]
    );
    let volume = json!({"metadata": metadata(), "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Delete",
        "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "local"}, "status": {"phase": "Bound"}});
    assert_eq!(
        cells("", "PersistentVolume", &volume),
        ["x", "1Gi", "RWO,RWX", "Delete", "Bound", "n/c", "local", "<unset>", "", "5m", "<unset>"]
    );
    let mut class = json!({"metadata": metadata(), "provisioner": "p"});
    class["metadata"]["annotations"] = json!({"storageclass.kubernetes.io/is-default-class": "true"});
    assert_eq!(
        cells("storage.k8s.io", "StorageClass", &class),
        [json!("x (default)"), json!("p"), json!("Delete"), json!("Immediate"), json!(false), json!("5m")]
    );
}

#[test]
fn workloads() {
    let template =
        json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]}});
    let selector = json!({"matchLabels": {"a": "b"}});
    let deployment = json!({"metadata": metadata(), "spec": {"replicas": 2, "template": template, "selector": selector},
                            "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}});
    assert_eq!(
        cells("apps", "Deployment", &deployment),
        [
            json!("x"),
            json!("1/2"),
            json!(2),
            json!(1),
            json!("5m"),
            json!("a,b"),
            json!("i:1,j"),
            json!("a=b")
        ]
    );
    let job = json!({"metadata": metadata(), "spec": {"completions": 1, "template": template},
        "status": {"succeeded": 1, "startTime": "2026-01-01T23:50:00Z", "completionTime": "2026-01-01T23:51:30Z",
                   "conditions": [{"type": "Complete", "status": "True"}]}});
    assert_eq!(cells("batch", "Job", &job), ["x", "Complete", "1/1", "90s", "5m", "a,b", "i:1,j", "<none>"]);
}

#[test]
fn the_smaller_kinds() {
    let node = json!({"metadata": {"name": "n", "creationTimestamp": "2026-01-01T23:55:00Z",
        "labels": {"node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [
            {"type": "InternalIP", "address": "10.0.0.1"}], "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian",
            "kernelVersion": "6.1", "architecture": "amd64", "containerRuntimeVersion": "runc://1"}}});
    assert_eq!(
        cells("", "Node", &node),
        [
            "n",
            "Ready,SchedulingDisabled",
            "control-plane",
            "5m",
            "v1",
            "10.0.0.1",
            "<none>",
            "Debian",
            "6.1 (amd64)",
            "runc://1"
        ]
    );
    let event = json!({"apiVersion": "v1", "metadata": {"name": "e"}, "type": "Normal", "reason": "Started",
        "message": " m ", "involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": "2026-01-01T23:55:00Z", "lastTimestamp": "2026-01-01T23:59:00Z", "count": 2});
    let want = [
        json!("60s"),
        json!("Normal"),
        json!("Started"),
        json!("pod/p"),
        json!(""),
        json!("kubelet, n"),
        json!("m"),
        json!("5m"),
        json!(2),
        json!("e"),
    ];
    assert_eq!(cells("", "Event", &event), want);
    let mut new_form = event;
    crate::event::to_group(&mut new_form, "events.k8s.io");
    assert_eq!(cells("events.k8s.io", "Event", &new_form), want);
    let map = json!({"metadata": metadata(), "data": {"a": "1"}, "binaryData": {"b": ""}});
    assert_eq!(cells("", "ConfigMap", &map), [json!("x"), json!(2), json!("5m")]);
    let quota = json!({"metadata": metadata(), "status": {"hard": {"pods": "4", "limits.cpu": "2"},
                       "used": {"pods": "1"}}});
    assert_eq!(cells("", "ResourceQuota", &quota), ["x", "pods: 1/4", "limits.cpu: 0/2", "5m"]);
    let role = json!({"metadata": metadata()});
    assert_eq!(cells("rbac.authorization.k8s.io", "Role", &role), ["x", "2026-01-01T23:55:00Z"]);
    assert_eq!(cells("", "ServiceAccount", &role), ["x", "5m"]);
}

#[test]
fn custom_kinds_show_their_printer_columns() {
    let kind = lookup("agents.x-k8s.io", "v1beta1", "sandboxes").unwrap();
    let names: Vec<String> = super::columns(kind).iter().map(|c| c.name.to_string()).collect();
    assert_eq!(names, ["Name", "Ready", "Reason", "Age"]);
    let now = NOW.parse().unwrap();
    let object = json!({"metadata": metadata(), "status": {"conditions": [
        {"type": "Other", "status": "False"}, {"type": "Ready", "status": "True", "reason": "DependenciesReady"}]}});
    assert_eq!(super::row(kind, &object, now).cells, ["x", "True", "DependenciesReady", "5m"]);
    let bare = json!({"metadata": metadata()});
    assert_eq!(super::row(kind, &bare, now).cells, [json!("x"), Value::Null, Value::Null, json!("5m")]);
    let templates = lookup("extensions.agents.x-k8s.io", "v1beta1", "sandboxtemplates").unwrap();
    assert_eq!(super::row(templates, &bare, now).cells, ["x", "5m"]);
}

#[test]
fn every_kind_has_a_cell_for_each_column_even_of_nonsense() {
    let now = NOW.parse().unwrap();
    for kind in crate::table() {
        for object in [json!(null), json!({}), json!({"spec": 1, "status": [], "metadata": "x"})] {
            assert_eq!(
                super::row(kind, &object, now).cells.len(),
                super::columns(kind).len(),
                "{}",
                kind.kind
            );
        }
    }
}
