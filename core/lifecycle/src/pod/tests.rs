//! The plan's tables: a Pod, what is known of it, and the steps that must follow.

mod life;
mod shown;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use super::*;

const START: i64 = 1_800_000_000;

/// A Pod under test: its spec, what is known, and the status last written.
struct Case {
    spec: Spec,
    facts: Facts,
    deletion: Option<Deletion>,
    written: PodStatus,
    stale_since: Option<Timestamp>,
    now: Timestamp,
}

// === impl Case ===

impl Case {
    fn new(spec: &Value) -> Self {
        let pod = json!({
            "metadata": {"namespace": "ns", "name": "p", "uid": "u", "generation": 1}, "spec": spec
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let facts = Facts { accepted_at: Some(at(0)), runtime: Stage::Ready(()), ..Facts::default() };
        let written = PodStatus::default();
        Self { spec: Spec::of(&pod), facts, deletion: None, written, stale_since: Some(at(-10)), now: at(0) }
    }

    /// One container `app`, network, volumes and image there.
    fn prepared(extra: &Value) -> Self {
        let mut container = json!({"name": "app", "image": "i:1"});
        merge(&mut container, extra);
        let mut case = Self::new(&json!({"containers": [container]}));
        case.provide(&["app"]);
        case
    }

    fn provide(&mut self, images: &[&str]) {
        self.facts.network = Stage::Ready(Network { ips: vec!["10.0.0.2".to_owned()] });
        self.facts.volumes = Stage::Ready(());
        for name in images {
            self.facts.entry(name).image = Stage::Ready(Image { id: "sha256:1".to_owned() });
        }
    }

    fn runs(&mut self, name: &str) -> &mut Self {
        let image = self.spec.container(name).unwrap().image.clone();
        let started_at = self.now;
        let entry = self.facts.entry(name);
        entry.begin_start(started_at);
        entry.started(Running {
            id: format!("x://{name}"),
            image,
            image_id: "sha256:1".to_owned(),
            started_at,
        });
        self
    }

    fn ends(&mut self, name: &str, code: i32) -> &mut Self {
        let exit = exit(code, self.now);
        self.facts.entry(name).exited(exit, false);
        self
    }

    fn later(&mut self, seconds: i64) -> &mut Self {
        self.now += Duration::from_secs(seconds.try_into().unwrap());
        self
    }

    fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            spec: &self.spec,
            facts: &self.facts,
            deletion: self.deletion,
            written: &self.written,
            stale_since: self.stale_since,
            host_ips: &[],
        }
    }

    fn plan(&self) -> Vec<Step> {
        plan(&self.snapshot(), self.now)
    }

    /// The plan in short words, without status writes.
    fn steps(&self) -> Vec<String> {
        self.plan().iter().filter_map(|step| word(step, self.now)).collect()
    }

    fn status(&self) -> PodStatus {
        status(&self.snapshot(), self.now)
    }

    /// `phase Ready=.. app:state(reason)`.
    fn shown(&self) -> String {
        let status = self.status();
        let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready").unwrap();
        let mut words = vec![status.phase.clone().unwrap(), format!("ready={}", ready.status)];
        for container in status.init_container_statuses.iter().chain(&status.container_statuses).flatten() {
            let state = container.state.clone().unwrap();
            let state = match (state.running, state.waiting, state.terminated) {
                (Some(_), ..) => "running".to_owned(),
                (_, Some(waiting), _) => waiting.reason.unwrap(),
                (.., Some(ended)) => format!("{}:{}", ended.reason.unwrap(), ended.exit_code),
                _ => "nothing".to_owned(),
            };
            words.push(format!("{}={state}/{}", container.name, container.restart_count));
        }
        words.join(" ")
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn exit(code: i32, finished_at: Timestamp) -> Exit {
    let reason = if code == 0 { reason::COMPLETED } else { reason::ERROR }.to_owned();
    let (id, image_id, message) = ("x://old".to_owned(), "sha256:1".to_owned(), String::new());
    Exit { id, image_id, code, signal: 0, reason, message, started_at: Some(finished_at), finished_at }
}

fn merge(target: &mut Value, extra: &Value) {
    for (key, value) in extra.as_object().unwrap() {
        target[key] = value.clone();
    }
}

fn word(step: &Step, now: Timestamp) -> Option<String> {
    Some(match step {
        Step::AttachNetwork => "network".to_owned(),
        Step::PrepareVolumes => "volumes".to_owned(),
        Step::RefreshVolumes => "refresh".to_owned(),
        Step::EnsureImage { container } => format!("image {container}"),
        Step::StartContainer { container, attempt } => format!("start {container} {attempt}"),
        Step::RunPostStart { container } => format!("hook {container}"),
        Step::StartProbe { container, kind } => format!("+{kind:?} {container}"),
        Step::StopProbe { container, kind } => format!("-{kind:?} {container}"),
        Step::StopContainer { container, grace, .. } => format!("stop {container} {}s", grace.as_secs()),
        Step::Fail(verdict) => format!("fail {}", verdict.reason),
        Step::WriteStatus(_) => return None,
        Step::DetachNetwork => "detach".to_owned(),
        Step::FreeDisk => "free".to_owned(),
        Step::CleanUp => "clean".to_owned(),
        Step::DeletePod => "delete".to_owned(),
        Step::RequeueAt(at) => format!("wake {}s", at.duration_since(now).as_secs()),
    })
}
