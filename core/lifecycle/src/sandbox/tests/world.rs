//! A world of one Sandbox: carries plans out on objects in memory, as an API server would.

#![allow(clippy::needless_pass_by_value, reason = "objects are written in place")]

use crate::sandbox::*;
use jiff::SignedDuration;
use serde_json::json;

pub(super) const START: &str = "2026-01-02T03:04:05Z";

/// The objects as the server has them.
pub(super) struct World {
    pub(super) sandbox: Option<Value>,
    pub(super) pods: BTreeMap<String, Value>,
    pub(super) services: BTreeMap<String, Value>,
    pub(super) claims: BTreeMap<String, Value>,
    pub(super) memory: Memory,
    pub(super) now: Timestamp,
    /// Requests that the server refuses: part of their description, text, lasting.
    pub(super) refused: Option<(&'static str, &'static str, bool)>,
    /// Descriptions of all requests, in order.
    pub(super) requests: Vec<String>,
    /// Warnings told.
    pub(super) warnings: Vec<String>,
    version: u64,
}

impl World {
    /// A world with one new Sandbox named `s` of this spec; `podTemplate` is filled in if missing.
    pub(super) fn new(spec: Value) -> Self {
        Self::named("s", spec)
    }

    pub(super) fn named(name: &str, mut spec: Value) -> Self {
        if spec["podTemplate"].is_null() {
            spec["podTemplate"] = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        }
        let sandbox = json!({
            "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "spec": spec,
            "metadata": {"name": name, "namespace": "ns", "uid": "sandbox-uid", "resourceVersion": "1", "generation": 1}
        });
        Self {
            sandbox: Some(sandbox),
            pods: BTreeMap::new(),
            services: BTreeMap::new(),
            claims: BTreeMap::new(),
            memory: Memory::default(),
            now: START.parse().unwrap(),
            refused: None,
            requests: Vec::new(),
            warnings: Vec::new(),
            version: 1,
        }
    }

    pub(super) fn snapshot(&self, failures: &[Failure]) -> Snapshot {
        let sandbox: Sandbox = serde_json::from_value(self.sandbox.clone().unwrap()).unwrap();
        let pods = self
            .pods
            .values()
            .map(|pod| Arc::new(PodView::of(&serde_json::from_value(pod.clone()).unwrap())));
        let name = sandbox.metadata.name.clone().unwrap();
        let service = self
            .services
            .get(&name)
            .map(|service| Arc::new(ServiceView::of(&serde_json::from_value(service.clone()).unwrap())));
        let claims = self.claims.iter().map(|(name, claim)| {
            (name.clone(), Arc::new(ClaimView::of(&serde_json::from_value(claim.clone()).unwrap())))
        });
        Snapshot {
            sandbox: Arc::new(sandbox),
            pods: pods.collect(),
            service,
            claims: claims.collect(),
            failures: failures.to_vec(),
            memory: self.memory,
            cluster_domain: "cluster.local".into(),
        }
    }

    /// One pass: rounds of plan and execute until a plan sends nothing. The requests of the pass, described, and when it
    /// asks to come back: a delay in milliseconds, `retry`, or both.
    pub(super) fn pass(&mut self) -> (Vec<String>, String) {
        let (mut failures, mut sent) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            if self.sandbox.is_none() {
                return (sent, String::new());
            }
            let steps = plan(&self.snapshot(&failures), self.now);
            assert_eq!(
                steps,
                plan(&self.snapshot(&failures), self.now),
                "a plan depends on the snapshot only"
            );
            let (requests, rest): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(Step::is_request);
            if requests.is_empty() {
                return (sent, self.settle(rest));
            }
            self.warnings.extend(rest.into_iter().filter_map(warning));
            for step in requests {
                let text = describe(&step);
                sent.push(text.clone());
                self.requests.push(text.clone());
                match self.refused.filter(|(part, ..)| text.contains(part)) {
                    Some((_, text, lasting)) => {
                        failures.push(Failure { subject: step.subject(), text: text.to_owned(), lasting });
                    }
                    None => self.carry_out(step),
                }
            }
        }
        panic!("a pass does not end: {sent:?}");
    }

    /// Passes at the same instant until nothing changes; all requests.
    pub(super) fn settled(&mut self) -> Vec<String> {
        let (sent, _) = self.pass();
        let (again, _) = self.pass();
        assert!(again.is_empty(), "a second look at the same world sends {again:?}");
        sent
    }

    fn settle(&mut self, rest: Vec<Step>) -> String {
        let mut words = Vec::new();
        for step in rest {
            match step {
                Step::Wake(wait) => words.push(wait.as_millis().to_string()),
                Step::Retry => words.push("retry".to_owned()),
                step => self.warnings.extend(warning(step)),
            }
        }
        words.join(" ")
    }

    fn carry_out(&mut self, step: Step) {
        match step {
            Step::CreateClaim(claim) => self.create("PersistentVolumeClaim", json!(claim)),
            Step::CreatePod(pod) => self.create("Pod", json!(pod)),
            Step::CreateService(service) => self.create("Service", json!(service)),
            Step::PatchClaim(target, patch) => self.patch("PersistentVolumeClaim", &target, &patch),
            Step::PatchPod(target, patch) => self.patch("Pod", &target, &patch),
            Step::PatchService(target, patch) => self.patch("Service", &target, &patch),
            Step::PatchSandbox(target, patch) => self.patch("Sandbox", &target, &patch),
            Step::PatchStatus(target, patch, status) => {
                let old = self.snapshot(&[]).sandbox.status.clone();
                self.memory = self.memory.after(old.as_ref(), &status, self.now);
                self.patch("Sandbox", &target, &json!({ "status": patch }));
                assert_eq!(self.status(), json!(status), "the patch leads to the status");
            }
            Step::DeletePod(target) => {
                self.check(&self.pods[&target.name], &target);
                self.change("Pod", &target.name, json!({"metadata": {"deletionTimestamp": START}}));
            }
            Step::DeleteService(target) => {
                self.check(&self.services[&target.name], &target);
                self.services.remove(&target.name);
            }
            Step::DeleteSandbox(target) => {
                self.check(self.sandbox.as_ref().unwrap(), &target);
                self.sandbox = None;
            }
            step => panic!("{step:?} is no request"),
        }
    }

    fn objects(&mut self, kind: &str) -> &mut BTreeMap<String, Value> {
        match kind {
            "Pod" => &mut self.pods,
            "Service" => &mut self.services,
            _ => &mut self.claims,
        }
    }

    fn create(&mut self, kind: &str, mut object: Value) {
        self.version += 1;
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        object["metadata"]["uid"] = json!(format!("{name}-uid-{}", self.version));
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let before = self.objects(kind).insert(name, object);
        assert!(before.is_none(), "created over an existing {kind}");
    }

    fn patch(&mut self, kind: &str, target: &Target, patch: &Value) {
        let object = match kind {
            "Sandbox" => self.sandbox.clone().unwrap(),
            _ => self.objects(kind)[&target.name].clone(),
        };
        self.check(&object, target);
        self.change(kind, &target.name, patch.clone());
    }

    fn check(&self, object: &Value, target: &Target) {
        assert_eq!(object["metadata"]["uid"], target.version.uid.as_str());
        assert_eq!(object["metadata"]["resourceVersion"], target.version.resource_version.as_str());
    }

    /// Somebody changes an object.
    pub(super) fn change(&mut self, kind: &str, name: &str, patch: Value) {
        self.version += 1;
        let version = self.version.to_string();
        let object = match kind {
            "Sandbox" => self.sandbox.as_mut().unwrap(),
            _ => self.objects(kind).get_mut(name).unwrap(),
        };
        if kind == "Sandbox" && patch.get("spec").is_some() {
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
        }
        merge(object, &patch);
        object["metadata"]["resourceVersion"] = json!(version);
    }

    /// Somebody makes a Pod that nobody owns.
    pub(super) fn stray_pod(&mut self, name: &str, metadata: Value) {
        let mut pod =
            json!({"metadata": {"name": name}, "spec": {"containers": []}, "status": {"phase": "Running"}});
        merge(&mut pod["metadata"], &metadata);
        self.create("Pod", pod);
    }

    pub(super) fn stray_service(&mut self, metadata: Value, spec: Value) {
        let mut service = json!({"metadata": {"name": "s"}, "spec": spec});
        merge(&mut service["metadata"], &metadata);
        self.create("Service", service);
    }

    pub(super) fn stray_claim(&mut self, name: &str, metadata: Value) {
        let mut claim = json!({"metadata": {"name": name}, "spec": {}});
        merge(&mut claim["metadata"], &metadata);
        self.create("PersistentVolumeClaim", claim);
    }

    /// The scheduler and the node bring the Pod up.
    pub(super) fn schedule(&mut self, name: &str) {
        let status = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]});
        self.change("Pod", name, json!({"spec": {"nodeName": "n"}, "status": status}));
    }

    pub(super) fn run(&mut self, name: &str) {
        self.schedule(name);
        let conditions =
            json!([{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}]);
        let status = json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": conditions});
        self.change("Pod", name, json!({ "status": status }));
    }

    /// A running world with Ready True, everything quiet for a long time.
    pub(super) fn running(spec: Value) -> Self {
        let mut world = Self::new(spec);
        world.settled();
        world.run("s");
        world.settled();
        world.advance(60_000);
        world.requests.clear();
        assert_eq!(world.ready(), "True DependenciesReady");
        world
    }

    pub(super) fn advance(&mut self, milliseconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_millis(milliseconds)).unwrap();
    }

    pub(super) fn spec(&mut self, spec: Value) {
        self.change("Sandbox", "s", json!({ "spec": spec }));
    }

    pub(super) fn status(&self) -> Value {
        self.sandbox.as_ref().unwrap()["status"].clone()
    }

    /// A condition as `status reason: message`, or `absent`.
    pub(super) fn condition(&self, kind: &str) -> String {
        let status = self.status();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let Some(condition) = conditions.iter().find(|condition| condition["type"] == kind) else {
            return "absent".to_owned();
        };
        let text = |field: &str| condition[field].as_str().unwrap().to_owned();
        format!("{} {}: {}", text("status"), text("reason"), text("message"))
    }

    pub(super) fn ready(&self) -> String {
        self.condition("Ready").split(':').next().unwrap().to_owned()
    }
}

fn warning(step: Step) -> Option<String> {
    match step {
        Step::Warn { reason, note } => Some(format!("{reason}: {note}")),
        _ => None,
    }
}

/// A request in short.
pub(super) fn describe(step: &Step) -> String {
    let named = |object: Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    match step {
        Step::CreateClaim(claim) => format!("create claim {}", named(json!(claim))),
        Step::CreatePod(pod) => format!("create pod {}", named(json!(pod))),
        Step::CreateService(service) => format!("create service {}", named(json!(service))),
        Step::PatchClaim(target, _) => format!("patch claim {}", target.name),
        Step::PatchPod(target, _) => format!("patch pod {}", target.name),
        Step::PatchService(target, _) => format!("patch service {}", target.name),
        Step::PatchSandbox(..) => "patch sandbox".to_owned(),
        Step::PatchStatus(..) => "patch status".to_owned(),
        Step::DeletePod(target) => format!("delete pod {}", target.name),
        Step::DeleteService(target) => format!("delete service {}", target.name),
        Step::DeleteSandbox(_) => "delete sandbox".to_owned(),
        step => format!("{step:?}"),
    }
}

/// JSON merge patch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.as_object_mut().unwrap().remove(key);
            }
            value => merge(&mut target[key], value),
        }
    }
}
