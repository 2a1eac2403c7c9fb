//! A world of one Sandbox: carries plans out on objects in memory, as an API server would.

#![allow(clippy::needless_pass_by_value, reason = "objects are written in place")]

use crate::sandbox::*;
use jiff::SignedDuration;
use serde_json::json;

pub(super) const START: &str = "2026-01-02T03:04:05Z";

type Objects = BTreeMap<String, Value>;

/// What the controller has seen, while the watch is held.
#[derive(Clone)]
struct Seen {
    sandbox: Option<Value>,
    pods: Objects,
    services: Objects,
    claims: Objects,
}

/// The objects as the server has them.
pub(super) struct World {
    pub(super) sandbox: Option<Value>,
    pub(super) pods: Objects,
    pub(super) services: Objects,
    pub(super) claims: Objects,
    /// Set while the watch is held: what the controller plans on.
    seen: Option<Seen>,
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
            seen: None,
            memory: Memory::default(),
            now: START.parse().unwrap(),
            refused: None,
            requests: Vec::new(),
            warnings: Vec::new(),
            version: 1,
        }
    }

    /// From now on the controller hears of nothing but the answers to its own requests.
    pub(super) fn hold_watch(&mut self) {
        self.seen = Some(self.as_seen());
    }

    /// The controller hears of everything again.
    pub(super) fn release_watch(&mut self) {
        self.seen = None;
    }

    fn as_seen(&self) -> Seen {
        self.seen.clone().unwrap_or_else(|| Seen {
            sandbox: self.sandbox.clone(),
            pods: self.pods.clone(),
            services: self.services.clone(),
            claims: self.claims.clone(),
        })
    }

    pub(super) fn snapshot(&self, failures: &[Failure]) -> Snapshot {
        let Seen { sandbox, pods, services, claims } = self.as_seen();
        let read: crd::v1beta1::LenientSandbox = serde_json::from_value(sandbox.unwrap()).unwrap();
        let sandbox = read.sandbox;
        let pods = pods.values().map(|pod| Arc::new(PodView::of(&parse(pod))));
        let service = services.get(sandbox.metadata.name.as_deref().unwrap());
        let service = service.map(|service| Arc::new(ServiceView::of(&parse(service))));
        let claims =
            claims.iter().map(|(name, claim)| (name.clone(), Arc::new(ClaimView::of(&parse(claim)))));
        Snapshot {
            sandbox: Arc::new(sandbox),
            unreadable: read.unreadable.map(|unreadable| unreadable.why),
            pods: pods.collect(),
            service,
            claims: claims.collect(),
            failures: failures.to_vec(),
            memory: self.memory.clone(),
            cluster_domain: "cluster.local".into(),
        }
    }

    /// One pass: rounds of plan and execute until a plan sends nothing. The requests of the pass, described, and when it
    /// asks to come back: a delay in milliseconds, `retry`, or both.
    pub(super) fn pass(&mut self) -> (Vec<String>, String) {
        let (mut failures, mut sent) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            if self.as_seen().sandbox.is_none() {
                return (sent, String::new());
            }
            let snapshot = self.snapshot(&failures);
            let steps = plan(&snapshot, self.now);
            assert_eq!(steps, plan(&snapshot, self.now), "a plan depends on the snapshot only");
            if !steps.iter().any(Step::is_request) {
                self.memory = self.memory.clone().after_pass(&snapshot, self.now);
                return (sent, self.settle(steps));
            }
            let before = failures.len();
            for step in steps {
                if !step.is_request() {
                    self.warnings.extend(warning(step).filter(|_| failures.len() == before));
                    continue;
                }
                sent.push(describe(&step));
                self.requests.push(describe(&step));
                match self.attempt(&step) {
                    Ok(()) => self.memory = self.memory.clone().after_step(&snapshot, &step, self.now),
                    Err((said, lasting)) => failures.push(Failure::of(&step, &said, lasting)),
                }
            }
        }
        panic!("a pass does not end: {sent:?}");
    }

    fn attempt(&mut self, step: &Step) -> Result<(), (String, bool)> {
        let text = describe(step);
        match self.refused.filter(|(part, ..)| text.contains(part)) {
            Some((_, said, lasting)) => Err((said.to_owned(), lasting)),
            None => self.carry_out(step).map_err(|said| (said, false)),
        }
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

    /// Does what the server would do, which is nothing if the object is not the one that the step was decided on.
    fn carry_out(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::CreateClaim(claim) => self.create_or_find("PersistentVolumeClaim", json!(claim)),
            Step::CreatePod(pod) => self.create_or_find("Pod", json!(pod)),
            Step::CreateService(service) => self.create_or_find("Service", json!(service)),
            Step::PatchClaim(target, patch) => self.patch("PersistentVolumeClaim", target, patch)?,
            Step::PatchPod(target, patch) => self.patch("Pod", target, patch)?,
            Step::PatchService(target, patch) => self.patch("Service", target, patch)?,
            Step::PatchSandbox(target, patch) => self.patch("Sandbox", target, patch)?,
            Step::PatchStatus(target, patch, status) => {
                self.patch("Sandbox", target, &json!({ "status": patch }))?;
                assert_eq!(self.status(), json!(status), "the patch leads to the status");
            }
            Step::DeletePod(target) => {
                let deletion = json!({"metadata": {"deletionTimestamp": START}});
                if self.pods.contains_key(&target.name) {
                    self.patch("Pod", target, &deletion)?;
                }
                self.answer("Pod", &target.name);
            }
            Step::DeleteService(target) => {
                if self.services.contains_key(&target.name) {
                    self.check("Service", target)?;
                }
                self.services.remove(&target.name);
                self.answer("Service", &target.name);
            }
            Step::DeleteSandbox(target) => {
                self.check("Sandbox", target)?;
                self.sandbox = None;
                self.answer("Sandbox", &target.name);
            }
            step => panic!("{step:?} is no request"),
        }
        Ok(())
    }

    fn objects(&mut self, kind: &str) -> &mut Objects {
        match kind {
            "Pod" => &mut self.pods,
            "Service" => &mut self.services,
            _ => &mut self.claims,
        }
    }

    /// The controller sees the server's answer about an object, or that it is gone, whatever the watch says.
    fn answer(&mut self, kind: &str, name: &str) {
        let Some(mut seen) = self.seen.take() else { return };
        if kind == "Sandbox" {
            seen.sandbox = self.sandbox.clone();
        } else {
            let known = match kind {
                "Pod" => &mut seen.pods,
                "Service" => &mut seen.services,
                _ => &mut seen.claims,
            };
            match self.objects(kind).get(name) {
                Some(object) => known.insert(name.to_owned(), object.clone()),
                None => known.remove(name),
            };
        }
        self.seen = Some(seen);
    }

    /// Creates an object, or takes note of the one that has its name.
    fn create_or_find(&mut self, kind: &str, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        if self.seen.is_none() || !self.objects(kind).contains_key(&name) {
            self.create(kind, object);
        }
        self.answer(kind, &name);
    }

    fn create(&mut self, kind: &str, mut object: Value) {
        self.version += 1;
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        object["metadata"]["uid"] = json!(format!("{name}-uid-{}", self.version));
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let before = self.objects(kind).insert(name, object);
        assert!(before.is_none(), "created over an existing {kind}");
    }

    fn patch(&mut self, kind: &str, target: &Target, patch: &Value) -> Result<(), String> {
        self.check(kind, target)?;
        self.change(kind, &target.name, patch.clone());
        self.answer(kind, &target.name);
        Ok(())
    }

    /// The precondition of a write: 404, 409, or fine. While the watch is not held the controller knows the newest state,
    /// so that anything but fine is a mistake of the plan.
    fn check(&mut self, kind: &str, target: &Target) -> Result<(), String> {
        let held = self.seen.is_some();
        let object = match kind {
            "Sandbox" => self.sandbox.as_ref(),
            _ => self.objects(kind).get(&target.name),
        };
        let version = |object: &Value| Version {
            uid: object["metadata"]["uid"].as_str().unwrap().to_owned(),
            resource_version: object["metadata"]["resourceVersion"].as_str().unwrap().to_owned(),
        };
        let result = match object {
            None => Err("not found".to_owned()),
            Some(object) if version(object) != target.version => {
                Err("the object has been modified".to_owned())
            }
            Some(_) => Ok(()),
        };
        assert!(held || result.is_ok(), "{kind} {target:?}: {result:?}");
        result
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

fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
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
