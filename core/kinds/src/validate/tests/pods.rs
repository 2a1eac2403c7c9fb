//! Pods.

use serde_json::{Value, json};

use super::{create, update};

/// A pod whose only container has some fields more.
fn container(more: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    if let (Some(map), Value::Object(more)) = (container.as_object_mut(), more) {
        map.extend(more);
    }
    json!({"spec": {"containers": [container]}})
}

fn spec(more: Value) -> Value {
    let mut pod = container(json!({}));
    if let (Some(map), Value::Object(more)) = (pod["spec"].as_object_mut(), more) {
        map.extend(more);
    }
    pod
}

fn check(cases: &[(Value, &str)]) {
    for (pod, want) in cases {
        assert_eq!(create("", "Pod", pod), [*want], "{pod}");
    }
}

#[test]
fn containers() {
    assert_eq!(create("", "Pod", &container(json!({}))), [""; 0]);
    check(&[
        (json!({"spec": {"containers": []}}), "spec.containers: Required value"),
        (json!({"spec": {"containers": [{"image": "i"}]}}), "spec.containers[0].name: Required value"),
        (json!({"spec": {"containers": [{"name": "c"}]}}), "spec.containers[0].image: Required value"),
        (
            json!({"spec": {"containers": [{"name": "a.b", "image": "i"}]}}),
            "spec.containers[0].name: Invalid value: \"a.b\": must not contain dots",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]}}),
            "spec.containers[1].name: Duplicate value: \"a\"",
        ),
        (
            spec(json!({"initContainers": [{"name": "c", "image": "i"}]})),
            "spec.initContainers[0].name: Duplicate value: \"c\"",
        ),
        (
            container(json!({"image": " i"})),
            "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
        ),
        (
            container(json!({"imagePullPolicy": "Maybe"})),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \
             \"IfNotPresent\", \"Never\"",
        ),
        (
            container(json!({"securityContext": {"runAsUser": -1}})),
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, \
             inclusive",
        ),
    ]);
}

#[test]
fn ports_and_environment() {
    check(&[
        (
            container(json!({"ports": [{"containerPort": 0}]})),
            "spec.containers[0].ports[0].containerPort: Required value",
        ),
        (
            container(json!({"ports": [{"containerPort": 65536}]})),
            "spec.containers[0].ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
        ),
        (
            container(
                json!({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]}),
            ),
            "spec.containers[0].ports[1].name: Duplicate value: \"a\"",
        ),
        (
            container(json!({"ports": [{"containerPort": 1, "protocol": "ICMP"}]})),
            "spec.containers[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \
             \"UDP\"",
        ),
        (container(json!({"env": [{"name": ""}]})), "spec.containers[0].env[0].name: Required value"),
        (
            container(json!({"env": [{"name": "a=b"}]})),
            "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist \
             only of printable ASCII characters other than '='",
        ),
        (
            container(
                json!({"env": [{"name": "a", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]}),
            ),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ),
        (
            container(json!({"env": [{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s"}}}]})),
            "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            container(
                json!({"env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nope"}}}]}),
            ),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.nope\": error converting \
             fieldPath: field label not supported: metadata.nope",
        ),
        (
            container(
                json!({"env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory",
                             "divisor": "3Mi"}}}]}),
            ),
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.memory\": only \
             divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory \
             resource",
        ),
        (
            container(json!({"envFrom": [{}]})),
            "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
        ),
    ]);
}

#[test]
fn volumes_and_mounts() {
    let with = |volumes: Value, mounts: Value| json!({"spec": {"volumes": volumes, "containers": [{"name": "c", "image": "i", "volumeMounts": mounts}]}});
    check(&[
        (
            with(json!([]), json!([{"name": "data", "mountPath": "/d"}])),
            "spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
        ),
        (
            with(json!([{"name": "v"}]), json!([{"name": "v"}])),
            "spec.containers[0].volumeMounts[0].mountPath: Required value",
        ),
        (
            with(
                json!([{"name": "v"}]),
                json!([{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]),
            ),
            "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
        ),
        (
            with(json!([{"name": "v"}, {"name": "v"}]), json!([])),
            "spec.volumes[1].name: Duplicate value: \"v\"",
        ),
        (
            with(json!([{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]), json!([])),
            "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
        ),
        (
            with(json!([{"name": "v", "secret": {}}]), json!([])),
            "spec.volumes[0].secret.secretName: Required value",
        ),
        (
            with(json!([{"name": "v", "persistentVolumeClaim": {}}]), json!([])),
            "spec.volumes[0].persistentVolumeClaim.claimName: Required value",
        ),
        (
            with(
                json!([{"name": "v", "configMap": {"name": "m", "items": [{"key": "k", "path": "../x"}]}}]),
                json!([]),
            ),
            "spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
        ),
        (
            with(json!([{"name": "v", "configMap": {"name": "m", "defaultMode": 512}}]), json!([])),
            "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), \
             both inclusive",
        ),
        (
            with(json!([{"name": "v"}]), json!([{"name": "v", "mountPath": "/a", "subPath": "/x"}])),
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"/x\": must be a relative path",
        ),
    ]);
}

#[test]
fn resources() {
    let with = |resources: Value| container(json!({"resources": resources}));
    check(&[
        (
            with(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            with(json!({"requests": {"memory": "-1"}})),
            "spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
        (
            with(json!({"requests": {"storage": "1"}})),
            "spec.containers[0].resources.requests[storage]: Invalid value: \"storage\": must be a standard resource \
             for containers",
        ),
        (
            with(json!({"requests": {"memory": "1x"}})),
            "spec.containers[0].resources.requests[memory]: Invalid value: \"1x\": quantities must match the regular \
             expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ]);
    assert_eq!(create("", "Pod", &with(json!({"limits": {"nvidia.com/gpu": 1}}))), [""; 0]);
}

#[test]
fn probes_and_hooks() {
    let with = |probe: Value| container(json!({"livenessProbe": probe}));
    check(&[
        (with(json!({})), "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
        (with(json!({"exec": {}})), "spec.containers[0].livenessProbe.exec.command: Required value"),
        (
            with(json!({"tcpSocket": {"port": 0}})),
            "spec.containers[0].livenessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            with(json!({"tcpSocket": {"port": 1}, "exec": {"command": ["a"]}})),
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            with(json!({"exec": {"command": ["a"]}, "successThreshold": 2})),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            with(json!({"exec": {"command": ["a"]}, "periodSeconds": -1})),
            "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            spec(json!({"initContainers": [
                {"name": "i", "image": "i", "readinessProbe": {"exec": {"command": ["a"]}}}]})),
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without \
             restartPolicy=Always",
        ),
        (
            container(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}})),
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than \
             terminationGracePeriodSeconds (30)",
        ),
    ]);
}

#[test]
fn the_rest_of_the_spec() {
    check(&[
        (
            spec(json!({"restartPolicy": "Sometimes"})),
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \
             \"Never\"",
        ),
        (
            spec(json!({"activeDeadlineSeconds": 0})),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (spec(json!({"hostname": "a.b"})), "spec.hostname: Invalid value: \"a.b\": must not contain dots"),
        (
            spec(json!({"dnsPolicy": "None"})),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            spec(json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]})),
            "spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
        ),
    ]);
}

#[test]
fn a_pod_that_exists_changes_little() {
    let pod = container(json!({}));
    for allowed in [json!({"containers": [{"image": "j"}]}), json!({"activeDeadlineSeconds": 5})] {
        let errors = update("", "Pod", &pod, |p| {
            if let Some(image) = allowed.pointer("/containers/0/image") {
                p["spec"]["containers"][0]["image"] = image.clone();
            } else {
                p["spec"]["activeDeadlineSeconds"] = json!(5);
            }
        });
        assert_eq!(errors, [""; 0]);
    }
    let errors = update("", "Pod", &pod, |p| p["spec"]["restartPolicy"] = json!("Never"));
    assert_eq!(
        errors,
        ["spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
          `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
          tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n\
          spec.restartPolicy: \"Always\" -> \"Never\""]
    );
    let errors = update("", "Pod", &pod, |p| {
        p["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "d", "image": "i"}));
    });
    assert_eq!(errors, ["spec.containers: Forbidden: pod updates may not add or remove containers"]);
    let errors = update("", "Pod", &pod, |p| p["spec"]["tolerations"] = json!([{"operator": "Exists"}]));
    assert_eq!(
        errors,
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
    );
}

#[test]
fn a_container_that_ended_for_good_does_not_come_back() {
    let kind = super::kind("", "Pod");
    let pod = |policy: &str, state: Value| {
        json!({"metadata": {"name": "x", "namespace": "n"}, "spec": {"restartPolicy": policy,
               "containers": [{"name": "c"}]}, "status": {"containerStatuses": [{"name": "c", "state": state}]}})
    };
    let ended = |code: i64| json!({"terminated": {"exitCode": code}});
    let running = json!({"running": {}});
    for (policy, code, refused) in
        [("Never", 1, true), ("OnFailure", 0, true), ("OnFailure", 1, false), ("Always", 0, false)]
    {
        let (old, new) = (pod(policy, ended(code)), pod(policy, running.clone()));
        let errors = crate::validate_update(kind, Some("status"), &new, &old);
        assert_eq!(errors.len(), usize::from(refused), "{policy} {code}");
        if refused {
            let want = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state";
            assert_eq!(errors[0].to_string(), want);
        }
    }
}
