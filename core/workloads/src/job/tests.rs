#![allow(clippy::needless_pass_by_value, reason = "the values of tests are literals")]

use super::*;
use crate::Phase;
use serde_json::json;
use std::collections::BTreeMap;

/// A Job and its pods, driven through every pass.
struct World {
    job: Job,
    pods: BTreeMap<String, Pod>,
    now: i64,
    made: usize,
    notes: Vec<String>,
}

// === impl World ===

impl World {
    fn new(spec: Value) -> World {
        let mut job = json!({"metadata": {"name": "work", "uid": "j"}, "spec": {"parallelism": 1, "backoffLimit": 6,
            "completionMode": "NonIndexed", "podReplacementPolicy": "TerminatingOrFailed",
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}}});
        merge::merge_patch(&mut job["spec"], &spec).unwrap();
        let job = serde_json::from_value(job).unwrap();
        World { job, pods: BTreeMap::new(), now: 1000, made: 0, notes: Vec::new() }
    }

    fn change(&mut self, patch: &Value) {
        let mut value = serde_json::to_value(&self.job).unwrap();
        merge::merge_patch(&mut value, patch).unwrap();
        self.job = serde_json::from_value(value).unwrap();
    }

    /// One pass that dies after `steps` requests.
    fn pass_until(&mut self, mut steps: usize) -> usize {
        let (job, pods, now) =
            (self.job.clone(), self.pods.clone(), Timestamp::from_second(self.now).unwrap());
        let borrowed: Vec<&Pod> = pods.values().collect();
        let facts = Facts { job: &job, pods: &borrowed, now };
        let plan = plan(&facts);
        let mut done = 0;
        let mut may = || {
            let go = steps > 0;
            steps = steps.saturating_sub(1);
            done += usize::from(go);
            go
        };
        if let Some(status) = &plan.status {
            if !may() {
                return done;
            }
            self.change(&json!({"status": status}));
        }
        self.notes.extend(plan.notes.iter().map(|note| note.reason.to_owned()));
        for pod in &plan.untrack {
            if may() {
                self.untrack(&pod.uid);
            }
        }
        for pod in &plan.end {
            if may() {
                self.pods.get_mut(&pod.uid).unwrap().deleting = true;
            }
        }
        for pod in &plan.withdraw {
            if may() {
                self.untrack(&pod.uid);
                self.pods.remove(&pod.uid);
            }
        }
        for index in &plan.create {
            if may() {
                self.made += 1;
                let uid = format!("p{}", self.made);
                let finalizers = vec![crate::pod::TRACKING.to_owned()];
                let pod =
                    Pod { uid: uid.clone(), name: uid.clone(), index: *index, finalizers, ..Pod::default() };
                self.pods.insert(uid, pod);
            }
        }
        done
    }

    fn pass(&mut self) -> bool {
        self.pass_until(usize::MAX) > 0
    }

    fn untrack(&mut self, uid: &str) {
        let pod = self.pods.get_mut(uid).unwrap();
        pod.finalizers.clear();
        if pod.deleting {
            self.pods.remove(uid);
        }
    }

    /// Passes until nothing happens.
    fn settle(&mut self) {
        for _ in 0..50 {
            if !self.pass() {
                return;
            }
        }
        panic!("no end: {:?}", self.job.status);
    }

    fn end(&mut self, uid: &str, phase: Phase) {
        let pod = self.pods.get_mut(uid).unwrap();
        (pod.phase, pod.ended) = (phase, Timestamp::from_second(self.now).ok());
    }

    fn active(&self) -> Vec<String> {
        self.pods.values().filter(|pod| pod.is_active()).map(|pod| pod.uid.clone()).collect()
    }

    fn status(&self) -> Value {
        serde_json::to_value(self.job.status.clone().unwrap()).unwrap()
    }

    fn reason(&self, kind: &str) -> Option<String> {
        conditions::get(self.job.status.as_ref()?, kind)?.reason.clone()
    }
}

#[test]
fn a_job_runs_until_enough_pods_have_succeeded() {
    let mut world = World::new(json!({"completions": 3, "parallelism": 2}));
    world.settle();
    assert_eq!((world.active().len(), &world.status()["active"]), (2, &json!(2)));
    world.end("p1", Phase::Succeeded);
    world.settle();
    assert_eq!(world.active(), ["p2", "p3"]);
    world.end("p2", Phase::Succeeded);
    world.end("p3", Phase::Succeeded);
    world.settle();
    let status = world.status();
    assert_eq!((&status["succeeded"], status.get("active")), (&json!(3), None));
    assert_eq!(status["uncountedTerminatedPods"], json!({}));
    assert_eq!(world.reason("SuccessCriteriaMet").as_deref(), Some("CompletionsReached"));
    assert_eq!(world.reason("Complete").as_deref(), Some("CompletionsReached"));
    assert!(status["completionTime"].is_string());
    assert_eq!((world.made, world.notes.clone()), (3, vec!["Completed".to_owned()]));
}

/// Wherever the controller dies, each pod is counted exactly once.
#[test]
fn no_pod_is_counted_twice_whatever_is_lost() {
    for first in 0..6 {
        for second in 0..6 {
            let mut world = World::new(json!({"completions": 2, "parallelism": 2}));
            world.settle();
            world.end("p1", Phase::Succeeded);
            world.pass_until(first);
            world.end("p2", Phase::Failed);
            world.pass_until(second);
            world.now += 100;
            world.settle();
            let last = world.active().pop().unwrap();
            world.end(&last, Phase::Succeeded);
            world.settle();
            let status = world.status();
            assert_eq!((&status["succeeded"], &status["failed"]), (&json!(2), &json!(1)), "{first} {second}");
            assert!(world.reason("Complete").is_some());
            assert!(world.pods.values().all(|pod| pod.finalizers.is_empty()));
        }
    }
}

#[test]
fn a_job_gives_up_after_its_backoff_limit_and_says_why() {
    let mut world = World::new(json!({"completions": 1, "backoffLimit": 1}));
    for round in 0..2 {
        world.settle();
        let pod = world.active().pop().unwrap_or_else(|| panic!("no pod in round {round}"));
        world.end(&pod, Phase::Failed);
        world.settle();
        assert!(world.active().is_empty(), "it waits before the next try");
        world.now += 700;
    }
    world.settle();
    assert_eq!(world.reason("FailureTarget").as_deref(), Some("BackoffLimitExceeded"));
    assert_eq!(world.reason("Failed").as_deref(), Some("BackoffLimitExceeded"));
    assert_eq!((world.status()["failed"].clone(), world.made), (json!(2), 2));
    assert_eq!(world.notes, ["BackoffLimitExceeded"]);
}

#[test]
fn a_job_that_takes_too_long_ends_its_pods_first_and_fails_then() {
    let mut world = World::new(json!({"completions": 1, "activeDeadlineSeconds": 30}));
    world.settle();
    world.now += 31;
    world.pass();
    assert_eq!(world.reason("FailureTarget").as_deref(), Some("DeadlineExceeded"));
    assert_eq!(world.reason("Failed"), None, "its pod is still going");
    world.settle();
    assert_eq!(world.reason("Failed").as_deref(), Some("DeadlineExceeded"));
    assert_eq!(world.status()["failed"], 1);
}

#[test]
fn restarts_in_place_count_towards_the_limit() {
    let mut world = World::new(json!({"completions": 1, "backoffLimit": 2,
        "template": {"spec": {"restartPolicy": "OnFailure"}}}));
    world.settle();
    world.pods.get_mut("p1").unwrap().all_restarts = 2;
    world.settle();
    assert_eq!(world.reason("Failed").as_deref(), Some("BackoffLimitExceeded"));
}

#[test]
fn a_suspended_job_has_no_pods_and_starts_anew() {
    let mut world = World::new(json!({"completions": 1, "suspend": true}));
    world.settle();
    assert_eq!((world.made, world.reason("Suspended").as_deref()), (0, Some("JobSuspended")));
    assert!(world.status().get("startTime").is_none());
    world.change(&json!({"spec": {"suspend": false}}));
    world.settle();
    assert_eq!((world.active().len(), world.reason("Suspended").as_deref()), (1, Some("JobResumed")));
    world.change(&json!({"spec": {"suspend": true}}));
    world.settle();
    assert!(world.active().is_empty());
    assert_eq!(world.status().get("failed"), None, "what was withdrawn has not failed");
    assert_eq!(world.notes, ["Suspended", "Resumed", "Suspended"]);
}

#[test]
fn an_indexed_job_has_one_pod_for_each_index() {
    let mut world = World::new(json!({"completions": 4, "parallelism": 2, "completionMode": "Indexed"}));
    world.settle();
    let indexes = |world: &World| {
        world.pods.values().filter(|pod| pod.is_active()).filter_map(|pod| pod.index).collect::<Vec<_>>()
    };
    assert_eq!(indexes(&world), [0, 1]);
    world.end("p2", Phase::Succeeded);
    world.settle();
    assert_eq!((indexes(&world), &world.status()["completedIndexes"]), (vec![0, 2], &json!("1")));
    world.end("p1", Phase::Failed);
    world.now += 100;
    world.settle();
    assert_eq!(indexes(&world), [2, 0]);
    for _ in 0..4 {
        for pod in world.active() {
            world.end(&pod, Phase::Succeeded);
        }
        world.settle();
    }
    assert_eq!(
        (&world.status()["completedIndexes"], &world.status()["succeeded"]),
        (&json!("0-3"), &json!(4))
    );
    assert!(world.reason("Complete").is_some());
}

#[test]
fn a_job_without_completions_is_done_with_the_first_success_and_the_last_pod() {
    let mut world = World::new(json!({"parallelism": 3}));
    world.settle();
    world.end("p1", Phase::Succeeded);
    world.settle();
    assert_eq!((world.active().len(), world.reason("Complete")), (2, None));
    world.end("p2", Phase::Succeeded);
    world.end("p3", Phase::Succeeded);
    world.settle();
    assert_eq!((world.made, world.status()["succeeded"].clone()), (3, json!(3)));
    assert!(world.reason("Complete").is_some());
}

#[test]
fn a_finished_job_goes_when_its_time_is_over() {
    let mut world = World::new(json!({"completions": 1, "ttlSecondsAfterFinished": 10}));
    world.settle();
    world.end("p1", Phase::Succeeded);
    world.settle();
    let plan_at = |world: &World, seconds: i64| {
        let now = Timestamp::from_second(world.now + seconds).unwrap();
        let facts = Facts { job: &world.job, pods: &[], now };
        let plan = plan(&facts);
        (plan.expire, plan.again.map(|wait| wait.as_secs()))
    };
    assert_eq!(plan_at(&world, 4), (false, Some(6)));
    assert_eq!(plan_at(&world, 10), (true, None));
}

#[test]
fn a_pod_of_an_indexed_job_is_told_its_index() {
    let world = World::new(json!({"completions": 2, "completionMode": "Indexed"}));
    let pod = serde_json::to_value(pod(&world.job, Some(1))).unwrap();
    assert_eq!(pod["metadata"]["generateName"], "work-1-");
    assert_eq!(pod["metadata"]["finalizers"], json!(["batch.kubernetes.io/job-tracking"]));
    assert_eq!(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"], "1");
    assert_eq!(pod["spec"]["hostname"], "work-1");
    let variable = &pod["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(
        variable["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.labels['batch.kubernetes.io/job-completion-index']"
    );
}
