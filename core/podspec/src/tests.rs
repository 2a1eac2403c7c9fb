//! What Kubernetes promises about a container, checked on the spec.
#![allow(clippy::needless_pass_by_value, reason = "test cases are written in place")]
use super::*;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// Everything an input needs, with a pod given as JSON.
struct Case {
    pod: Pod,
    image: Image,
    host: Host,
    policy: Policy,
    sources: Sources,
    volumes: BTreeMap<String, Volume>,
    files: Files,
    isolation: Isolation,
    ids: Option<IdRange>,
    /// Which container is built.
    at: usize,
}

fn case(spec: Value) -> Case {
    let pod = json!({ "metadata": { "name": "p", "namespace": "ns", "uid": "u1", "labels": { "app": "x" } }, "spec": spec });
    Case {
        pod: serde_json::from_value(pod).expect("pod"),
        image: Image { entrypoint: vec!["/entry".into()], cmd: vec!["cmd".into()], ..Image::default() },
        host: Host {
            instance: "abc123".into(),
            cgroup: CgroupVersion::V1,
            swap_accounting: false,
            max_open_files: 20_000,
            cpu_millis: 4000,
            memory_bytes: 8 << 30,
            node_name: "node".into(),
            node_ips: vec!["10.0.0.1".into()],
            mount_dir: "/run/m".into(),
        },
        policy: Policy::default(),
        sources: Sources::default(),
        volumes: BTreeMap::new(),
        files: Files::default(),
        isolation: Isolation::SharedKernel,
        ids: Some(IdRange { base: 100_000, size: 65_536 }),
        at: 0,
    }
}

impl Case {
    fn container(&self) -> &Container {
        &self.pod.spec.as_ref().expect("spec").containers[self.at]
    }

    fn build(&self) -> Result<Bundle, Refusal> {
        build(&Inputs {
            pod: &self.pod,
            container: self.container(),
            image: &self.image,
            host: &self.host,
            policy: &self.policy,
            sources: &self.sources,
            volumes: &self.volumes,
            files: &self.files,
            isolation: self.isolation,
            role: &Role::Alone,
            ids: self.ids,
            netns: Path::new("/run/netns/x"),
            hostname: "p",
            pod_ips: &["10.1.0.5".to_owned()],
            root_binds: &[],
            init: None,
        })
    }

    fn spec(&self) -> Value {
        self.build().expect("builds").spec
    }
}

fn container(extra: Value) -> Value {
    let mut container = json!({ "name": "app", "image": "i" });
    for (key, value) in extra.as_object().expect("object") {
        container[key] = value.clone();
    }
    json!({ "containers": [container] })
}

/// Refused: a text that must be part of the field path, one of the message.
fn refused(case: &Case, field: &str, message: &str) {
    let refusal = case.build().expect_err("must be refused");
    assert!(refusal.field.contains(field), "{refusal:?}");
    assert!(refusal.to_string().contains(message), "{refusal}");
}

#[test]
fn command_and_args_replace_entrypoint_and_cmd_as_in_kubernetes() {
    let check =
        |extra: Value, expect: Value| assert_eq!(case(container(extra)).spec()["process"]["args"], expect);
    check(json!({}), json!(["/entry", "cmd"]));
    check(json!({ "args": ["a"] }), json!(["/entry", "a"]));
    check(json!({ "command": ["c"] }), json!(["c"]));
    check(json!({ "command": ["c"], "args": ["$(X)"] }), json!(["c", "$(X)"]));
    check(
        json!({ "command": ["c", "$$(X)", "$(X)", "$X"], "env": [{ "name": "X", "value": "1" }] }),
        json!(["c", "$(X)", "1", "$X"]),
    );
}

#[test]
fn environment_follows_kubernetes_precedence() {
    let mut case = case(container(json!({
        "envFrom": [{ "configMapRef": { "name": "m" }, "prefix": "P_" }],
        "env": [
            { "name": "A", "value": "1" },
            { "name": "B", "value": "$(A)$(P_K)$(NONE)$(SVC)" },
            { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            { "name": "L", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
            { "name": "CPU", "valueFrom": { "resourceFieldRef": { "resource": "limits.cpu" } } },
            { "name": "OPT", "valueFrom": { "secretKeyRef": { "name": "no", "key": "k", "optional": true } } },
            { "name": "PATH", "value": "/x" }
        ]
    })));
    case.sources.config_maps.insert("m".into(), BTreeMap::from([("K".into(), "v".into())]));
    case.sources.services.push(("SVC".into(), "s".into()));
    case.image.env = vec!["PATH=/bin".into(), "IMG=1".into()];
    let env: Vec<String> = serde_json::from_value(case.spec()["process"]["env"].clone()).expect("env");
    for expect in
        ["A=1", "B=1v$(NONE)s", "IP=10.1.0.5", "L=x", "CPU=4", "PATH=/x", "IMG=1", "P_K=v", "HOSTNAME=p"]
    {
        assert!(env.iter().any(|e| e == expect), "{expect} in {env:?}");
    }
    assert!(!env.iter().any(|e| e.starts_with("OPT")));
    assert_eq!(env.iter().filter(|e| e.starts_with("PATH=")).count(), 1);
}

#[test]
fn missing_sources_are_worded_as_kubelet_words_them() {
    let env = |source: Value| case(container(json!({ "env": [{ "name": "X", "valueFrom": source }] })));
    let mut with_key = env(json!({ "configMapKeyRef": { "name": "m", "key": "k" } }));
    refused(&with_key, "env", "configmap \"m\" not found");
    with_key.sources.config_maps.insert("m".into(), BTreeMap::new());
    refused(&with_key, "env", "couldn't find key k in ConfigMap ns/m");
    refused(&env(json!({ "secretKeyRef": { "name": "s", "key": "k" } })), "env", "secret \"s\" not found");
}

#[test]
fn dangerous_fields_are_refused_by_name() {
    let check = |spec: Value, field: &str| refused(&case(spec), field, ";");
    let with = |name: &str, value: Value| {
        let mut spec = container(json!({}));
        spec[name] = value;
        spec
    };
    check(with("hostNetwork", json!(true)), "spec.hostNetwork");
    check(with("hostPID", json!(true)), "spec.hostPID");
    check(with("hostIPC", json!(true)), "spec.hostIPC");
    check(with("hostUsers", json!(true)), "spec.hostUsers");
    check(with("shareProcessNamespace", json!(true)), "spec.shareProcessNamespace");
    check(with("volumes", json!([{ "name": "v", "hostPath": { "path": "/" } }])), "volumes[v].hostPath");
    check(with("volumes", json!([{ "name": "v", "nfs": { "server": "s", "path": "/" } }])), "volumes[v].nfs");
    check(
        with("securityContext", json!({ "sysctls": [{ "name": "kernel.msgmax", "value": "1" }] })),
        "sysctls",
    );
    check(with("securityContext", json!({ "seccompProfile": { "type": "Unconfined" } })), "seccompProfile");
    let context = |value: Value| container(json!({ "securityContext": value }));
    check(context(json!({ "privileged": true })), "securityContext.privileged");
    check(context(json!({ "procMount": "Unmasked" })), "procMount");
    check(context(json!({ "capabilities": { "add": ["NET_RAW"] } })), "capabilities.add");
    check(context(json!({ "capabilities": { "add": ["ALL"] } })), "capabilities.add");
    check(context(json!({ "runAsUser": 70000 })), "runAsUser");
    check(container(json!({ "volumeDevices": [{ "name": "d", "devicePath": "/dev/x" }] })), "volumeDevices");
    check(container(json!({ "ports": [{ "containerPort": 80, "hostPort": 80 }] })), "hostPort");
    check(with("resources", json!({ "limits": { "cpu": "1" } })), "spec.resources");
    check(with("volumes", json!([{ "name": "v", "ephemeral": {} }])), "volumes[v].ephemeral");
    let mount = |field: &str, value: &str| json!([{ "name": "v", "mountPath": "/v", field: value }]);
    check(
        container(json!({ "volumeMounts": mount("recursiveReadOnly", "Enabled") })),
        "volumeMounts.recursiveReadOnly",
    );
    check(
        container(json!({ "volumeMounts": mount("mountPropagation", "Bidirectional") })),
        "volumeMounts.mountPropagation",
    );
    check(container(json!({ "resources": { "limits": { "nvidia.com/gpu": "1" } } })), "nvidia.com/gpu");
}

#[test]
fn host_paths_below_an_allowed_directory_pass_and_dots_do_not_lead_out() {
    let volume = |path: &str| {
        let mut spec = container(json!({}));
        spec["volumes"] = json!([{ "name": "v", "hostPath": { "path": path } }]);
        let mut case = case(spec);
        case.policy.host_paths = vec!["/srv/data".into()];
        case.build().is_ok()
    };
    assert!(volume("/srv/data/x"));
    assert!(!volume("/srv/data/../../etc"));
    assert!(!volume("/srv/database"));
}

/// The agent is root on the host, where loopback and the cloud's metadata service can be reached.
#[test]
fn probes_and_hooks_may_not_name_a_host() {
    let get = json!({ "httpGet": { "host": "169.254.169.254", "port": 80 } });
    let tcp = json!({ "tcpSocket": { "host": "127.0.0.1", "port": 22 } });
    for action in [&get, &tcp] {
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            refused(&case(container(json!({ probe: action }))), "app].*.host", "no other host");
        }
        for hook in ["postStart", "preStop"] {
            refused(&case(container(json!({ "lifecycle": { hook: action } }))), "app].*.host", "remove");
        }
    }
    let plain = json!({ "readinessProbe": { "httpGet": { "host": "", "port": 80 } } });
    assert!(case(container(plain)).build().is_ok());
}

#[test]
fn what_has_no_effect_is_warned_about_once_for_the_pod() {
    let mut spec = container(json!({ "securityContext": { "allowPrivilegeEscalation": true } }));
    spec["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "topologyKey": "kubernetes.io/hostname" } ] } });
    spec["topologySpreadConstraints"] = json!([
        { "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" } ]);
    let warnings = case(spec.clone()).build().expect("builds").warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].contains("anti-affinity") && warnings[2].starts_with("container app:"));
    spec["containers"].as_array_mut().expect("list").insert(0, json!({ "name": "first", "image": "i" }));
    let mut second = case(spec);
    second.at = 1;
    let warnings = second.build().expect("builds").warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn a_host_path_is_opened_below_what_was_allowed_and_keeps_the_hosts_ids() {
    let mut case = case(container(json!({ "volumeMounts": [
        { "name": "h", "mountPath": "/h", "subPath": "s" }, { "name": "r", "mountPath": "/r" } ] })));
    let host = |beneath: &str| Volume::Host { allowed: "/srv/data".into(), beneath: beneath.to_owned() };
    case.volumes.insert("h".into(), host("x/y"));
    case.volumes.insert("r".into(), host(""));
    let built = case.build().expect("builds");
    let of = |name: &str| built.mounts.iter().find(|mount| mount.name == name).expect("mount");
    let (deep, top) = (of("volume0"), of("volume1"));
    assert_eq!((deep.source.as_path(), deep.sub_path.as_deref()), (Path::new("/srv/data"), Some("x/y/s")));
    assert!(deep.no_links && !deep.idmap && top.no_links && top.sub_path.is_none());
}

#[test]
fn capabilities_are_the_bounded_default_less_what_is_dropped() {
    let bounding = |add: Value, drop: Value| {
        let spec = container(json!({ "securityContext": { "capabilities": { "add": add, "drop": drop } } }));
        case(spec).spec()["process"]["capabilities"]["bounding"].clone()
    };
    let all = bounding(json!([]), json!([]));
    assert_eq!(all.as_array().map(Vec::len), Some(11));
    for gone in ["CAP_NET_RAW", "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SYS_ADMIN"] {
        assert!(!all.to_string().contains(gone));
    }
    assert_eq!(bounding(json!([]), json!(["ALL"])), json!([]));
    // Kubernetes: drop ALL, then add what is named.
    assert_eq!(bounding(json!(["NET_BIND_SERVICE"]), json!(["ALL"])), json!(["CAP_NET_BIND_SERVICE"]));
    assert!(!bounding(json!([]), json!(["CAP_CHOWN"])).to_string().contains("CHOWN"));
}

#[test]
fn every_process_is_confined() {
    let spec = case(container(json!({ "securityContext": { "allowPrivilegeEscalation": true } }))).spec();
    assert_eq!(spec["process"]["noNewPrivileges"], true);
    assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    assert!(spec["linux"]["maskedPaths"].to_string().contains("/proc/kcore"));
    assert_eq!(spec["linux"]["resources"]["pids"]["limit"], 1024);
    assert_eq!(spec["linux"]["uidMappings"][0]["hostID"], 100_000);
    assert_eq!(spec["linux"]["cgroupsPath"], "/agent-sandbox-abc123/u1/app");
    assert_eq!(spec["process"]["rlimits"][0]["hard"], 20_000);
}

#[test]
fn limits_become_cgroup_numbers_as_kubelet_computes_them() {
    let resources = json!({ "requests": { "cpu": "250m", "memory": "1Gi" }, "limits": { "cpu": "500m", "memory": "2Gi" } });
    let built = case(container(json!({ "resources": resources }))).build().expect("builds");
    assert_eq!(built.limits.cpu_shares, 256);
    assert_eq!(built.limits.cpu_quota, Some(50_000));
    assert_eq!(built.limits.memory, Some(2 << 30));
    // 1000 - 1000 * 1 GiB / 8 GiB.
    assert_eq!(built.spec["process"]["oomScoreAdj"], 875);
    let score = |resources: Value| {
        case(container(json!({ "resources": resources }))).spec()["process"]["oomScoreAdj"].clone()
    };
    assert_eq!(score(json!({})), 1000);
    assert_eq!(score(json!({ "limits": { "cpu": "1", "memory": "1Gi" } })), 0);
}

#[test]
fn run_as_non_root_says_what_kubelet_says() {
    let with = |context: Value, user: &str| {
        let mut case = case(container(json!({ "securityContext": context })));
        case.image.user = user.into();
        case.image.passwd = "root:x:0:0::/:\nbob:x:1000:1001::/:\n".into();
        case.image.group = "wheel:x:10:bob\nbob:x:1001:\n".into();
        case
    };
    refused(&with(json!({ "runAsNonRoot": true }), ""), "runAsNonRoot", "image will run as root");
    refused(&with(json!({ "runAsNonRoot": true }), "bob"), "runAsNonRoot", "non-numeric user (bob)");
    refused(
        &with(json!({ "runAsNonRoot": true, "runAsUser": 0 }), "5"),
        "runAsNonRoot",
        "breaks non-root policy",
    );
    refused(&with(json!({}), "alice"), "image", "unable to find user alice");
    let user = |case: &Case| case.spec()["process"]["user"].clone();
    assert_eq!(
        user(&with(json!({}), "bob")),
        json!({ "uid": 1000, "gid": 1001, "additionalGids": [10, 1001] })
    );
    assert_eq!(
        user(&with(json!({ "runAsUser": 7 }), "bob")),
        json!({ "uid": 7, "gid": 0, "additionalGids": [0] })
    );
    assert_eq!(user(&with(json!({}), "7:wheel")), json!({ "uid": 7, "gid": 10, "additionalGids": [10] }));
}

#[test]
fn volumes_are_bound_parents_first_through_prepared_mounts() {
    let mut case = case(container(json!({ "volumeMounts": [
        { "name": "a", "mountPath": "/data/inner", "subPathExpr": "$(X)/y" },
        { "name": "b", "mountPath": "/data", "readOnly": true },
        { "name": "m", "mountPath": "/mem", "subPath": "s" },
        { "name": "e", "mountPath": "/etc" }
    ], "env": [{ "name": "X", "value": "x" }] })));
    case.volumes.insert("a".into(), Volume::Dir { path: "/va".into(), read_only: false });
    case.volumes.insert("b".into(), Volume::Dir { path: "/vb".into(), read_only: false });
    case.volumes.insert("m".into(), Volume::Memory { path: "/vm".into() });
    case.files.hosts = Some("/h".into());
    case.volumes.insert("e".into(), Volume::Dir { path: "/ve".into(), read_only: false });
    let built = case.build().expect("builds");
    let targets: Vec<String> = built.spec["mounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .filter_map(|mount| mount["destination"].as_str())
        .map(str::to_owned)
        .collect();
    let at = |target: &str| targets.iter().position(|t| t == target).expect(target);
    assert!(at("/data") < at("/data/inner"));
    assert!(at("/etc") < at("/etc/hosts"), "a volume over /etc does not hide the pod's own hosts");
    let a = built.mounts.iter().find(|m| m.source == Path::new("/va")).expect("a");
    assert_eq!((a.sub_path.as_deref(), a.idmap, a.read_only), (Some("x/y"), true, false));
    assert!(built.mounts.iter().any(|m| m.source == Path::new("/vb") && m.read_only));
    let memory = built.mounts.iter().find(|m| m.source == Path::new("/vm")).expect("m");
    // Kernels before 6.3 cannot shift the ids of a file system in memory: it is made with the right ones.
    assert_eq!((memory.sub_path.as_deref(), memory.idmap, memory.read_only), (Some("s"), false, false));
}

#[test]
fn a_mount_without_volume_and_a_path_that_leads_out_are_refused() {
    let mount = |mount: Value| {
        let mut case = case(container(json!({ "volumeMounts": [mount] })));
        case.volumes.insert("a".into(), Volume::Dir { path: "/va".into(), read_only: false });
        case
    };
    refused(
        &mount(json!({ "name": "z", "mountPath": "/d" })),
        "volumeMounts[z]",
        "not one of the pod's volumes",
    );
    refused(&mount(json!({ "name": "a", "mountPath": "/d", "subPath": "../x" })), "volumeMounts[a]", "..");
}

#[test]
fn gvisor_gets_no_host_user_namespace_and_its_own_sysfs() {
    let mut case = case(container(json!({})));
    case.isolation = Isolation::UserKernel;
    case.ids = None;
    let built = case.build().expect("builds");
    assert!(built.net_sysctls.is_empty());
    let text = built.spec.to_string();
    assert!(!text.contains("uidMappings") && !text.contains("{\"type\":\"user\"}"));
    assert!(text.contains("\"sysfs\""));
}

#[test]
fn class_of_service_is_kubernetes_own() {
    let check = |resources: Value, expect: &str| {
        assert_eq!(qos_class(&case(container(json!({ "resources": resources }))).pod), expect);
    };
    check(json!({}), "BestEffort");
    check(json!({ "limits": { "cpu": "1", "memory": "1Gi" } }), "Guaranteed");
    check(
        json!({ "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "1", "memory": "1Gi" } }),
        "Guaranteed",
    );
    check(json!({ "requests": { "cpu": "1" } }), "Burstable");
    check(json!({ "limits": { "memory": "1Gi" } }), "Burstable");
}
