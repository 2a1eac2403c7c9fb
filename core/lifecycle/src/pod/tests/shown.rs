//! What clients see, and when it is written.

use super::*;

fn writes(case: &Case) -> bool {
    case.plan().iter().any(|step| matches!(step, Step::WriteStatus(_)))
}

#[test]
fn creating_is_held_back_so_that_ready_is_the_only_write() {
    let mut case = Case::new(&json!({"containers": [{"name": "app", "image": "i:1"}]}));
    case.stale_since = Some(case.now);
    assert!(!writes(&case));
    assert!(matches!(case.plan().last(), Some(Step::RequeueAt(_))));
    case.provide(&["app"]);
    case.runs("app");
    assert!(writes(&case), "ready is written at once");
}

#[test]
fn what_is_held_back_is_written_after_a_moment() {
    let mut case = Case::new(&json!({"containers": [{"name": "app", "image": "i:1"}]}));
    case.stale_since = Some(case.now);
    case.now += COALESCE;
    assert!(writes(&case));
}

#[test]
fn an_error_is_written_at_once() {
    let mut case = Case::prepared(&json!({}));
    case.stale_since = Some(case.now);
    let now = case.now;
    case.facts.entry("app").unmade(reason::CONFIG, "configmap \"c\" not found", now);
    assert!(writes(&case));
    assert_eq!(case.shown(), "Pending ready=False app=CreateContainerConfigError/0");
}

#[test]
fn a_status_that_is_written_is_not_written_again() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app");
    case.written = case.status();
    case.later(100);
    assert_eq!(case.plan(), []);
}

#[test]
fn conditions_are_the_kubelets_in_its_order_and_keep_those_of_others() {
    let mut case = Case::prepared(&json!({}));
    let foreign =
        serde_json::from_value(json!({"conditions": [{"type": "Mine", "status": "Unknown"}]})).unwrap();
    case.written = foreign;
    case.runs("app");
    let types: Vec<_> = case.status().conditions.unwrap().into_iter().map(|c| (c.type_, c.status)).collect();
    let want = [
        "Mine:Unknown",
        "PodReadyToStartContainers:True",
        "Initialized:True",
        "Ready:True",
        "ContainersReady:True",
        "PodScheduled:True",
    ];
    let got: Vec<_> = types.iter().map(|(kind, status)| format!("{kind}:{status}")).collect();
    assert_eq!(got, want);
}

#[test]
fn unready_containers_are_named_as_the_kubelet_names_them() {
    let mut case = Case::new(&json!({
        "initContainers": [{"name": "i1", "image": "i:1"}, {"name": "i2", "image": "i:1"}],
        "containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "i:1"}],
    }));
    case.provide(&[]);
    let conditions = case.status().conditions.unwrap();
    let of = |kind: &str| conditions.iter().find(|c| c.type_ == kind).unwrap().clone();
    let (ready, init) = (of("Ready"), of("Initialized"));
    assert_eq!(ready.reason.as_deref(), Some("ContainersNotReady"));
    assert_eq!(ready.message.as_deref(), Some("containers with unready status: [a b]"));
    assert_eq!(init.reason.as_deref(), Some("ContainersNotInitialized"));
    assert_eq!(init.message.as_deref(), Some("containers with incomplete status: [i1 i2]"));
}

#[test]
fn a_transition_time_stays_while_the_status_of_a_condition_stays() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app");
    case.written = case.status();
    case.later(50);
    case.facts.entry("app").restarts = 9;
    let since =
        |status: &PodStatus| status.conditions.clone().unwrap()[2].last_transition_time.clone().unwrap().0;
    assert_eq!(since(&case.status()), at(0));
    case.ends("app", 1);
    assert_eq!(since(&case.status()), at(50));
}

#[test]
fn a_pull_shows_how_far_it_has_come() {
    let mut case = Case::new(&json!({"containers": [{"name": "app", "image": "i:1"}]}));
    let message = |case: &Case| {
        let state = case.status().container_statuses.unwrap().remove(0).state.unwrap();
        state.waiting.map(|waiting| (waiting.reason.unwrap(), waiting.message))
    };
    assert_eq!(message(&case), Some((reason::CREATING.to_owned(), None)));
    case.facts.entry("app").pulling = "half".to_owned();
    assert_eq!(message(&case), Some((reason::CREATING.to_owned(), Some("half".to_owned()))));
    let now = case.now;
    case.facts.entry("app").image.fail(reason::PULL, "cut off", now);
    assert_eq!(case.shown(), "Pending ready=False app=ContainerCreating/0", "the next try is under way");
    case.facts.entry("app").pulling = String::new();
    assert_eq!(case.shown(), "Pending ready=False app=ErrImagePull/0");
}

#[test]
fn a_crash_loop_names_delay_container_and_pod() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app").ends("app", 1);
    case.runs("app").ends("app", 1);
    assert_eq!(case.shown(), "Running ready=False app=CrashLoopBackOff/1");
    let container = case.status().container_statuses.unwrap().remove(0);
    let message = container.state.unwrap().waiting.unwrap().message.unwrap();
    assert_eq!(message, "back-off 10s restarting failed container=app pod=p_ns(u)");
    assert_eq!(container.last_state.unwrap().terminated.unwrap().exit_code, 1);
}

#[test]
fn a_command_that_cannot_run_says_so_in_both_states() {
    let mut case = Case::prepared(&json!({}));
    let now = case.now;
    let mut exit = exit(127, now);
    exit.reason = reason::CANNOT_RUN.to_owned();
    exit.message = "exec: \"nope\": executable file not found in $PATH".to_owned();
    case.facts.entry("app").begin_start(now);
    case.facts.entry("app").exited(exit, false);
    assert_eq!(case.shown(), "Running ready=False app=RunContainerError/0");
    case.spec.restart = Restart::Never;
    assert_eq!(case.shown(), "Failed ready=False app=ContainerCannotRun:127/0");
}

#[test]
fn a_final_phase_is_never_left() {
    let mut case = Case::prepared(&json!({}));
    case.written.phase = Some("Succeeded".to_owned());
    case.facts.network = Stage::Absent;
    assert_eq!(case.plan(), [], "nothing was made here, so nothing is written over the last status");
    case.runs("app");
    assert_eq!(case.steps(), ["stop app 30s"]);
    assert_eq!(case.status().phase.as_deref(), Some("Succeeded"));
}

#[test]
fn a_deleted_pod_whose_containers_exited_cleanly_has_succeeded() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app").ends("app", 0);
    case.deletion = Some(Deletion { grace: Duration::ZERO });
    assert_eq!(case.shown(), "Succeeded ready=False app=Completed:0/0");
    case.ends("app", 137);
    assert_eq!(case.shown(), "Failed ready=False app=Error:137/0");
}

#[test]
fn a_lost_record_counts_running_containers_as_ended_with_137() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app");
    let facts = Facts::recover(&case.status(), case.now);
    let exit = facts.container("app").exit().cloned().unwrap();
    assert_eq!((exit.code, exit.reason.as_str()), (137, "ContainerStatusUnknown"));
    assert_eq!(facts.accepted_at, case.facts.accepted_at);
}

#[test]
fn an_adopted_container_stays_ready_until_its_probe_says_otherwise() {
    let probe = json!({"exec": {"command": ["true"]}});
    let mut case = Case::prepared(&json!({"startupProbe": probe, "readinessProbe": probe}));
    case.runs("app");
    case.facts.entry("app").startup = Counter::settled(true);
    case.facts.entry("app").readiness = Counter::settled(true);
    case.written = case.status();
    (case.facts.entry("app").startup, case.facts.entry("app").readiness) = Default::default();
    assert!(case.status() != case.written);
    case.facts.adopt_verdicts(&case.spec, &case.written);
    assert_eq!(case.status(), case.written);
}

#[test]
fn quality_of_service_follows_requests_and_limits() {
    for (resources, class) in [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "1"}}), "Burstable"),
        (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
        (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}), "Burstable"),
    ] {
        let case = Case::prepared(&json!({"resources": resources}));
        assert_eq!(case.spec.qos, class, "{resources}");
    }
}

#[test]
fn an_image_without_a_fixed_tag_is_pulled_always() {
    let table = [
        ("a", Pull::Always),
        ("a:latest", Pull::Always),
        ("a:1", Pull::IfNotPresent),
        ("h:5000/a", Pull::Always),
        ("a@sha256:0", Pull::IfNotPresent),
    ];
    for (image, pull) in table {
        let case = Case::prepared(&json!({"image": image}));
        assert_eq!(case.spec.containers[0].pull, pull, "{image}");
    }
}
