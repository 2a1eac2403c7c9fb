#![allow(clippy::needless_pass_by_value, reason = "the values of tests are literals")]

use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::json;

/// A Deployment, its sets, and pods that become available at once or never.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    now: i64,
    notes: Vec<String>,
    /// Images whose pods never become ready.
    broken: Vec<&'static str>,
}

fn deployment(replicas: i32, strategy: Value) -> Deployment {
    serde_json::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "revisionHistoryLimit": 2, "progressDeadlineSeconds": 600,
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "one"}]}}}}))
    .unwrap()
}

fn rolling(surge: Value, missing: Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}})
}

fn merged<T: serde::Serialize + serde::de::DeserializeOwned>(object: &T, patch: &Value) -> T {
    let mut value = serde_json::to_value(object).unwrap();
    merge::merge_patch(&mut value, patch).unwrap();
    serde_json::from_value(value).unwrap()
}

// === impl World ===

impl World {
    fn new(deployment: Deployment) -> World {
        World { deployment, sets: Vec::new(), now: 1000, notes: Vec::new(), broken: Vec::new() }
    }

    fn change(&mut self, patch: &Value) {
        self.deployment = merged(&self.deployment, patch);
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
    }

    fn image(&mut self, image: &str) {
        self.change(
            &json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}),
        );
    }

    /// One pass; whether it did anything.
    fn pass(&mut self) -> bool {
        let now = Timestamp::from_second(self.now).unwrap();
        let sets: Vec<&ReplicaSet> = self.sets.iter().collect();
        let facts = Facts { deployment: &self.deployment, sets: &sets, pods: &[], now };
        let (steps, _) = plan(&facts);
        let busy = !steps.is_empty();
        for step in steps {
            self.apply(step, now);
        }
        busy
    }

    fn apply(&mut self, step: Step, now: Timestamp) {
        match step {
            Step::Create(mut set) => {
                set.metadata.uid = set.metadata.name.clone();
                set.metadata.creation_timestamp = Some(Time(now));
                set.metadata.generation = Some(1);
                let size = crate::replica_set::wanted(&set);
                self.notes.push(scaled_note(set.metadata.name.as_deref().unwrap(), 0, size));
                self.sets.push(*set);
            }
            Step::Update(change) => {
                let set = self
                    .sets
                    .iter_mut()
                    .find(|set| set.metadata.name.as_ref() == Some(&change.name))
                    .unwrap();
                *set = merged(set, &change.patch);
                if let Some((from, to)) = change.scaled {
                    self.notes.push(scaled_note(&change.name, from, to));
                }
            }
            Step::Delete(name) => self.sets.retain(|set| set.metadata.name.as_ref() != Some(&name)),
            Step::Status(patch) => self.deployment = merged(&self.deployment, &patch),
        }
        self.now += 1;
    }

    /// The pods of every set come and go as it wants.
    fn settle(&mut self) {
        for set in &mut self.sets {
            let wanted = crate::replica_set::wanted(set);
            let value = serde_json::to_value(&*set).unwrap();
            let image =
                value["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
            let up = if self.broken.contains(&image.as_str()) { 0 } else { wanted };
            set.status = serde_json::from_value(json!({"replicas": wanted, "readyReplicas": up,
                "availableReplicas": up, "observedGeneration": set.metadata.generation}))
            .unwrap();
        }
    }

    /// Passes until nothing happens, checking the bounds of every moment.
    fn run(&mut self, least: i32, most: i32) {
        for _ in 0..100 {
            self.now += 1;
            let busy = self.pass();
            let (total, available) = self.totals();
            assert!(total <= most, "{total} pods wanted, {most} may be: {:?}", self.notes);
            assert!(available >= least, "{available} available, {least} must be: {:?}", self.notes);
            self.settle();
            if !busy {
                return;
            }
        }
        panic!("no end: {:?}", self.notes);
    }

    /// Pods wanted by all sets, and pods that are available and stay.
    fn totals(&self) -> (i32, i32) {
        let wanted = |set: &ReplicaSet| crate::replica_set::wanted(set);
        let available =
            |set: &ReplicaSet| set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0);
        (
            self.sets.iter().map(wanted).sum(),
            self.sets.iter().map(|set| available(set).min(wanted(set))).sum(),
        )
    }

    fn condition(&self, kind: &str) -> (String, String, String) {
        let status = self.deployment.status.as_ref().unwrap();
        let found = conditions::get(status, kind).unwrap().clone();
        (found.status.unwrap(), found.reason.unwrap(), found.message.unwrap())
    }

    fn revision(&self) -> &str {
        &self.deployment.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"]
    }

    fn sizes(&self) -> Vec<i32> {
        self.sets.iter().map(crate::replica_set::wanted).collect()
    }
}

#[test]
fn a_new_deployment_makes_one_set_and_is_complete_when_it_is_up() {
    let mut world = World::new(deployment(3, rolling(json!("25%"), json!("25%"))));
    world.pass();
    let set = world.sets[0].clone();
    let hash = set.metadata.labels.as_ref().unwrap()["pod-template-hash"].clone();
    assert_eq!(set.metadata.name.as_deref(), Some(&*format!("web-{hash}")));
    let value = serde_json::to_value(&set).unwrap();
    assert_eq!(value["spec"]["selector"]["matchLabels"], json!({"app": "web", "pod-template-hash": hash}));
    assert_eq!(value["spec"]["template"]["metadata"]["labels"]["pod-template-hash"], json!(hash));
    assert_eq!(value["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"], "3");
    assert_eq!(value["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"], "4");
    assert_eq!(value["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetCreated");
    assert_eq!(world.condition("Available").1, "MinimumReplicasUnavailable");
    world.settle();
    world.run(0, 4);
    let name = set.metadata.name.unwrap();
    assert_eq!(
        world.condition("Progressing"),
        (
            "True".to_owned(),
            "NewReplicaSetAvailable".to_owned(),
            format!("ReplicaSet \"{name}\" has successfully progressed.")
        )
    );
    assert_eq!(world.condition("Available").2, "Deployment has minimum availability.");
    assert_eq!(world.notes, [format!("Scaled up replica set {name} from 0 to 3")]);
    assert_eq!(world.revision(), "1");
}

#[test]
fn an_update_rolls_and_going_back_takes_the_old_set_with_a_new_revision() {
    let mut world = World::new(deployment(4, rolling(json!(1), json!(1))));
    world.run(0, 5);
    world.image("two");
    world.run(3, 5);
    assert_eq!((world.sizes(), world.revision()), (vec![0, 4], "2"));
    world.image("one");
    world.run(3, 5);
    assert_eq!((world.sizes(), world.revision()), (vec![4, 0], "3"));
    let annotations = world.sets[0].metadata.annotations.clone().unwrap();
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
}

#[test]
fn only_so_many_old_sets_are_kept() {
    let mut world = World::new(deployment(1, rolling(json!(1), json!(0))));
    for image in ["one", "two", "three", "four", "five"] {
        world.image(image);
        world.run(0, 2);
    }
    world.settle();
    world.run(1, 2);
    assert_eq!(world.sets.len(), 3, "the newest and two old ones");
}

#[test]
fn a_rollout_whose_pods_do_not_come_up_stops_and_times_out() {
    let mut world = World::new(deployment(4, rolling(json!(1), json!(1))));
    world.run(0, 5);
    world.broken.push("bad");
    world.image("bad");
    world.run(3, 5);
    assert_eq!(world.sizes().iter().sum::<i32>(), 5);
    world.now += 700;
    world.pass();
    let name = world.sets[1].metadata.name.clone().unwrap();
    assert_eq!(
        world.condition("Progressing"),
        (
            "False".to_owned(),
            "ProgressDeadlineExceeded".to_owned(),
            format!("ReplicaSet \"{name}\" has timed out progressing.")
        )
    );
}

#[test]
fn recreate_has_no_pods_of_two_templates_at_once() {
    let mut world = World::new(deployment(3, json!({"type": "Recreate"})));
    world.run(0, 3);
    world.image("two");
    world.pass();
    assert_eq!(world.sizes(), [0], "first the old ones go");
    world.pass();
    assert_eq!(world.sets.len(), 1, "they have not gone yet");
    world.settle();
    world.pass();
    assert_eq!(world.sizes(), [0, 3]);
}

#[test]
fn recreate_waits_for_pods_on_their_way_out() {
    let mut world = World::new(deployment(1, json!({"type": "Recreate"})));
    world.run(0, 1);
    world.image("two");
    world.pass();
    world.settle();
    let going = Pod { deleting: true, phase: crate::Phase::Running, ..Pod::default() };
    let uid = world.sets[0].metadata.uid.clone().unwrap();
    let sets: Vec<&ReplicaSet> = world.sets.iter().collect();
    let now = Timestamp::from_second(world.now).unwrap();
    let pods = [(uid.as_str(), &going)];
    let (steps, _) = plan(&Facts { deployment: &world.deployment, sets: &sets, pods: &pods, now });
    assert!(!steps.iter().any(|step| matches!(step, Step::Create(_))), "{steps:?}");
}

#[test]
fn a_paused_deployment_makes_no_new_set_but_follows_its_size() {
    let mut world = World::new(deployment(2, rolling(json!(1), json!(1))));
    world.run(0, 3);
    world.change(&json!({"spec": {"paused": true}}));
    world.image("two");
    world.change(&json!({"spec": {"replicas": 5}}));
    world.run(1, 6);
    assert_eq!(world.sizes(), [5]);
    assert_eq!(
        world.condition("Progressing"),
        ("Unknown".to_owned(), "DeploymentPaused".to_owned(), "Deployment is paused".to_owned())
    );
    world.change(&json!({"spec": {"paused": null}}));
    world.run(4, 6);
    assert_eq!(world.sizes(), [0, 5]);
}

#[test]
fn another_size_in_the_middle_of_a_rollout_keeps_the_proportions() {
    let mut world = World::new(deployment(10, rolling(json!(3), json!(2))));
    world.run(0, 13);
    world.broken.push("two");
    world.image("two");
    world.run(8, 13);
    assert_eq!(world.sizes(), [8, 5]);
    world.change(&json!({"spec": {"replicas": 15}}));
    world.pass();
    // Fact: the example of the Deployment documentation: 8 and 5 become 11 and 7.
    assert_eq!(world.sizes(), [11, 7]);
}

#[test]
fn a_refused_set_is_said_once_in_the_condition() {
    let world = World::new(deployment(1, rolling(json!(1), json!(0))));
    let now = Timestamp::from_second(1).unwrap();
    let patch = generic_failure(&world.deployment, "web-x", "exceeded quota", now).unwrap();
    assert_eq!(patch["conditions"][0]["reason"], "ReplicaSetCreateError");
    assert_eq!(
        patch["conditions"][0]["message"],
        "Failed to create new replica set \"web-x\": exceeded quota"
    );
    let told = merged(&world.deployment, &json!({"status": patch}));
    assert_eq!(generic_failure(&told, "web-x", "exceeded quota", now), None);
}

proptest! {
    /// Whatever the sizes and bounds: a rollout ends with every pod new, and never leaves its bounds.
    #[test]
    fn every_rollout_stays_in_its_bounds_and_ends(replicas in 0..12_i32, surge in 0..120_i32, missing in 0..100_i32) {
        let percent = |share: i32| json!(format!("{share}%"));
        let mut world = World::new(deployment(replicas, rolling(percent(surge), percent(missing))));
        let mut spare = (replicas * surge + 99) / 100;
        let mut gone = replicas * missing / 100;
        if spare == 0 && gone == 0 {
            (spare, gone) = (0, 1);
        }
        world.run(0, replicas + spare);
        world.image("two");
        world.run(replicas - gone.min(replicas), replicas + spare);
        prop_assert_eq!(world.sizes(), vec![0, replicas]);
        prop_assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable".to_owned());
    }
}
