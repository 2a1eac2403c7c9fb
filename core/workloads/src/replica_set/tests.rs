use super::*;
use crate::Phase;
use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::json;

const NOW: i64 = 1_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn set(replicas: i32, min_ready: i32) -> ReplicaSet {
    serde_json::from_value(json!({"metadata": {"name": "web", "generation": 3},
        "spec": {"replicas": replicas, "minReadySeconds": min_ready, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "tier": "x"}}}}}))
    .unwrap()
}

/// A pod that has been ready for a thousand seconds.
fn pod(name: &str) -> Pod {
    let since = Timestamp::from_second(NOW - 1000).ok();
    Pod {
        name: name.to_owned(),
        uid: name.to_owned(),
        labels: [("app".to_owned(), "web".to_owned()), ("tier".to_owned(), "x".to_owned())].into(),
        created: since,
        node: "host".to_owned(),
        phase: Phase::Running,
        ready: true,
        ready_changed: since,
        ..Pod::default()
    }
}

fn deleted(set: &ReplicaSet, pods: &[Pod]) -> Vec<String> {
    let pods: Vec<&Pod> = pods.iter().collect();
    match plan(set, &pods, &pods, now()) {
        Step::Delete(list) => list.iter().map(|pod| pod.name.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pods_are_made_up_to_the_number_and_those_that_ended_do_not_count() {
    let over = Pod { phase: Phase::Failed, ..pod("over") };
    let going = Pod { deleting: true, ..pod("going") };
    let alive = pod("alive");
    let pods = [&over, &going, &alive];
    assert_eq!(plan(&set(3, 0), &pods, &[], now()), Step::Create(2));
    assert_eq!(plan(&set(1, 0), &pods, &[], now()), Step::Nothing);
    assert_eq!(plan(&set(5000, 0), &pods, &[], now()), Step::Create(BURST));
    let mut dying = set(3, 0);
    dying.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    assert_eq!(plan(&dying, &pods, &[], now()), Step::Nothing);
}

/// Fact: `ActivePodsWithRanks` in `pkg/controller/controller_utils.go`. Every pair is tried both ways round.
#[test]
fn what_costs_least_to_lose_goes_first() {
    let at = |seconds: i64| Timestamp::from_second(NOW - seconds).ok();
    let ladder = [
        Pod { node: String::new(), phase: Phase::Pending, ready: false, ..pod("unassigned") },
        Pod { phase: Phase::Pending, ready: false, ..pod("pending") },
        Pod { phase: Phase::Unknown, ready: false, ..pod("unknown") },
        Pod { ready: false, ..pod("not-ready") },
        Pod { cost: -5, ..pod("cheap") },
        Pod { ready_changed: at(3), ..pod("just-ready") },
        Pod { restarts: 4, ..pod("restarted") },
        Pod { created: at(3), ..pod("young") },
        pod("plain"),
        Pod { cost: 7, ..pod("dear") },
    ];
    for (i, first) in ladder.iter().enumerate() {
        for second in &ladder[i + 1..] {
            for pods in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
                assert_eq!(
                    deleted(&set(1, 0), &pods),
                    [first.name.as_str()],
                    "{} before {}",
                    first.name,
                    second.name
                );
            }
        }
    }
}

#[test]
fn of_pods_alike_one_goes_from_the_node_that_has_more() {
    let far = |name: &str, node: &str| Pod { node: node.to_owned(), ..pod(name) };
    let pods = [far("a", "one"), far("b", "two"), far("c", "two")];
    assert_eq!(deleted(&set(2, 0), &pods), ["b"]);
}

#[test]
fn the_status_counts_what_is_there_ready_and_available() {
    let unready = Pod { ready: false, ..pod("unready") };
    let fresh = Pod { ready_changed: Timestamp::from_second(NOW - 4).ok(), ..pod("fresh") };
    let odd = Pod { labels: [("app".to_owned(), "web".to_owned())].into(), ..pod("odd") };
    let going = Pod { deleting: true, ..pod("going") };
    let pods = [&unready, &fresh, &odd, &going];
    let status = status(&set(3, 10), &pods, None, now());
    assert_eq!(
        serde_json::to_value(&status).unwrap(),
        json!({"replicas": 3, "fullyLabeledReplicas": 2, "readyReplicas": 2, "availableReplicas": 1,
            "terminatingReplicas": 1, "observedGeneration": 3})
    );
    assert_eq!(next_look(&set(3, 10), &pods, now()), Some(std::time::Duration::from_secs(6)));
    assert_eq!(next_look(&set(3, 0), &pods, now()), None);
}

#[test]
fn a_failure_is_a_condition_until_a_pass_succeeds() {
    let trouble = Trouble { creating: true, message: "exceeded quota".to_owned() };
    let mut set = set(1, 0);
    set.status = Some(status(&set, &[], Some(&trouble), now()));
    let conditions = set.status.clone().unwrap().conditions.unwrap();
    assert_eq!(
        (conditions[0].type_.as_deref(), conditions[0].reason.as_deref(), conditions[0].message.as_deref()),
        (Some("ReplicaFailure"), Some("FailedCreate"), Some("exceeded quota"))
    );
    let later = Timestamp::from_second(NOW + 60).unwrap();
    let other = Trouble { creating: true, message: "other words".to_owned() };
    assert_eq!(status(&set, &[], Some(&other), later).conditions, Some(conditions), "it stays as first seen");
    assert_eq!(status(&set, &[], None, later).conditions, None);
}
