//! What is done, from the first step of a Pod to the last.

use super::*;

#[test]
fn a_new_pod_gets_network_volumes_and_image_at_once() {
    let case = Case::new(&json!({"containers": [{"name": "app", "image": "i:1"}]}));
    assert_eq!(case.steps(), ["network", "volumes", "image app"]);
}

#[test]
fn a_container_starts_when_all_it_needs_is_there() {
    assert_eq!(Case::prepared(&json!({})).steps(), ["start app 0"]);
}

#[test]
fn nothing_is_planned_for_a_pod_that_runs_without_probes() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app");
    assert_eq!(case.steps(), [""; 0]);
}

#[test]
fn failed_network_is_tried_again_after_a_doubling_delay() {
    let mut case = Case::prepared(&json!({}));
    case.facts.network = Stage::Absent;
    case.facts.network.fail(reason::SANDBOX, "no address left", case.now);
    assert_eq!(case.steps(), ["wake 2s"]);
    case.later(2);
    assert_eq!(case.steps(), ["network"]);
    case.facts.network.fail(reason::SANDBOX, "no address left", case.now);
    assert_eq!(case.steps(), ["wake 4s"]);
}

#[test]
fn an_unusable_runtime_starts_nothing() {
    let mut case = Case::prepared(&json!({}));
    case.facts.runtime.fail(reason::SANDBOX, "install runsc", case.now);
    assert_eq!(case.steps(), ["wake 2s"]);
    assert_eq!(case.shown(), "Pending ready=False app=CreatePodSandboxError/0");
}

#[test]
fn the_first_restart_is_immediate_then_ten_seconds_doubling_to_five_minutes() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app").later(1).ends("app", 1);
    assert_eq!(case.steps(), ["start app 1"]);
    let mut delays = Vec::new();
    for _ in 0..7 {
        case.runs("app").later(1).ends("app", 1);
        let Some(Step::RequeueAt(wake)) = case.plan().pop() else { panic!("no back-off") };
        delays.push(wake.duration_since(case.now).as_secs());
        case.now = wake;
        assert!(case.steps()[0].starts_with("start app"), "after its delay it starts");
    }
    assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
}

#[test]
fn a_long_run_is_forgiven() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app").later(1).ends("app", 1);
    case.runs("app").later(1200).ends("app", 1);
    assert_eq!(case.steps(), ["start app 2"]);
}

#[test]
fn restart_policies_decide_what_runs_again() {
    for (policy, code, steps, shown) in [
        ("Always", 0, vec!["start app 1"], "Running ready=False app=Completed:0/0"),
        ("OnFailure", 1, vec!["start app 1"], "Running ready=False app=Error:1/0"),
        ("OnFailure", 0, vec!["detach"], "Succeeded ready=False app=Completed:0/0"),
        ("Never", 3, vec!["detach"], "Failed ready=False app=Error:3/0"),
    ] {
        let mut case = Case::new(&json!({
            "restartPolicy": policy, "containers": [{"name": "app", "image": "i:1"}]
        }));
        case.provide(&["app"]);
        case.runs("app").later(1).ends("app", code);
        assert_eq!(case.steps(), steps, "{policy} {code}");
        assert_eq!(case.shown(), shown, "{policy} {code}");
    }
}

#[test]
fn init_containers_run_in_order_and_before_the_others() {
    let mut case = Case::new(&json!({
        "initContainers": [{"name": "one", "image": "i:1"}, {"name": "two", "image": "i:1"}],
        "containers": [{"name": "app", "image": "i:1"}],
    }));
    case.provide(&["one", "two", "app"]);
    assert_eq!(case.steps(), ["start one 0"]);
    assert_eq!(
        case.shown(),
        "Pending ready=False one=PodInitializing/0 two=PodInitializing/0 app=PodInitializing/0"
    );
    case.runs("one");
    assert_eq!(case.steps(), [""; 0]);
    case.ends("one", 0);
    assert_eq!(case.steps(), ["start two 0"]);
    case.runs("two").ends("two", 0);
    assert_eq!(case.steps(), ["start app 0"]);
    case.runs("app");
    assert_eq!(case.shown(), "Running ready=True one=Completed:0/0 two=Completed:0/0 app=running/0");
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let mut case = Case::new(&json!({
        "restartPolicy": "Never",
        "initContainers": [{"name": "one", "image": "i:1"}], "containers": [{"name": "app", "image": "i:1"}],
    }));
    case.provide(&["one", "app"]);
    case.runs("one").ends("one", 1);
    assert_eq!(case.steps(), ["detach"]);
    assert_eq!(case.shown(), "Failed ready=False one=Error:1/0 app=PodInitializing/0");
}

#[test]
fn a_failed_init_container_is_restarted_and_a_successful_one_never() {
    let mut case = Case::new(&json!({
        "initContainers": [{"name": "one", "image": "i:1"}], "containers": [{"name": "app", "image": "i:1"}],
    }));
    case.provide(&["one", "app"]);
    case.runs("one").ends("one", 1);
    assert_eq!(case.steps(), ["start one 1"]);
    case.runs("one").ends("one", 0);
    case.runs("app").ends("app", 1);
    assert_eq!(case.steps(), ["start app 1"]);
}

#[test]
fn a_sidecar_starts_first_keeps_running_and_stops_last() {
    let mut case = Case::new(&json!({
        "restartPolicy": "Never",
        "initContainers": [
            {"name": "s1", "image": "i:1", "restartPolicy": "Always"},
            {"name": "s2", "image": "i:1", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "app", "image": "i:1"}],
    }));
    case.provide(&["s1", "s2", "app"]);
    assert_eq!(case.steps(), ["start s1 0"]);
    case.runs("s1");
    assert_eq!(case.steps(), ["start s2 0"]);
    case.runs("s2");
    assert_eq!(case.steps(), ["start app 0"]);
    case.runs("app").ends("s1", 0);
    assert_eq!(
        case.steps(),
        ["start s1 1"],
        "a sidecar that ends runs again even in a Pod that never restarts"
    );
    case.runs("s1").ends("app", 0);
    assert_eq!(case.steps(), ["stop s2 30s"], "last in, first out");
    case.ends("s2", 143);
    assert_eq!(case.steps(), ["stop s1 30s"]);
    case.ends("s1", 143);
    assert_eq!(case.steps(), ["detach"]);
    assert_eq!(case.shown(), "Succeeded ready=False s1=Error:143/1 s2=Error:143/0 app=Completed:0/0");
}

#[test]
fn a_sidecar_with_a_startup_probe_holds_the_others_until_it_succeeds() {
    let probe = json!({"exec": {"command": ["true"]}});
    let mut case = Case::new(&json!({
        "initContainers": [{"name": "s", "image": "i:1", "restartPolicy": "Always", "startupProbe": probe}],
        "containers": [{"name": "app", "image": "i:1"}],
    }));
    case.provide(&["s", "app"]);
    case.runs("s");
    assert_eq!(case.steps(), ["+Startup s"]);
    case.facts.entry("s").startup = Counter::settled(true);
    assert_eq!(case.steps(), ["-Startup s", "start app 0"]);
}

#[test]
fn deletion_stops_containers_writes_the_end_and_removes_everything() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app");
    case.deletion = Some(Deletion { grace: Duration::from_secs(5) });
    assert_eq!(case.steps(), ["stop app 5s"]);
    let now = case.now;
    case.facts.entry("app").begin_stop(Duration::from_secs(5), StopCause::PodEnds, now);
    assert_eq!(case.steps(), ["stop app 5s"], "named again while under way");
    case.ends("app", 0);
    assert_eq!(case.steps(), ["detach"], "object and directories wait for the final status");
    case.written = case.status();
    assert_eq!(case.steps(), ["detach", "clean", "delete"], "and for nothing else");
    let last = case.written.clone();
    (case.facts.cleaned, case.facts.network) = (true, Stage::Absent);
    assert_eq!(case.status(), last, "one write says all");
    assert_eq!(case.steps(), ["delete"]);
}

#[test]
fn a_pod_deleted_before_anything_was_made_only_goes() {
    let mut case = Case::new(&json!({"containers": [{"name": "app", "image": "i:1"}]}));
    case.deletion = Some(Deletion { grace: Duration::ZERO });
    case.facts.cleaned = true;
    assert_eq!(case.plan(), [Step::DeletePod]);
}

#[test]
fn a_container_that_is_being_started_is_waited_for_and_then_stopped() {
    let mut case = Case::prepared(&json!({}));
    let now = case.now;
    case.facts.entry("app").begin_start(now);
    case.deletion = Some(Deletion { grace: Duration::ZERO });
    assert_eq!(case.steps(), [""; 0]);
}

#[test]
fn a_later_order_to_stop_may_only_shorten_the_time() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app");
    let now = case.now;
    let entry = case.facts.entry("app");
    entry.begin_stop(Duration::from_secs(30), StopCause::PodEnds, now);
    entry.begin_stop(Duration::from_secs(60), StopCause::PodEnds, now);
    let State::Stopping(stopping) = entry.state.clone() else { panic!() };
    assert_eq!(stopping.grace.as_secs(), 30);
    entry.begin_stop(Duration::from_secs(5), StopCause::PodEnds, now + Duration::from_secs(10));
    let State::Stopping(stopping) = entry.state.clone() else { panic!() };
    assert_eq!(stopping.grace.as_secs(), 15);
}

#[test]
fn probes_gate_each_other() {
    let probe = json!({"exec": {"command": ["true"]}});
    let mut case =
        Case::prepared(&json!({"startupProbe": probe, "readinessProbe": probe, "livenessProbe": probe}));
    case.runs("app");
    assert_eq!(case.steps(), ["+Startup app", "-Readiness app", "-Liveness app"]);
    case.facts.entry("app").startup = Counter::settled(true);
    assert_eq!(case.steps(), ["-Startup app", "+Readiness app", "+Liveness app"]);
    assert_eq!(case.shown(), "Running ready=False app=running/0");
    case.facts.entry("app").readiness = Counter::settled(true);
    assert_eq!(case.shown(), "Running ready=True app=running/0");
}

#[test]
fn a_failed_liveness_probe_stops_with_its_own_grace_and_restarts() {
    let probe = json!({"exec": {"command": ["true"]}, "terminationGracePeriodSeconds": 1});
    let mut case = Case::prepared(&json!({"livenessProbe": probe}));
    case.runs("app");
    case.facts.entry("app").liveness = Counter::settled(false);
    assert_eq!(case.steps(), ["stop app 1s"]);
    case.ends("app", 137);
    assert_eq!(case.steps(), ["start app 1"]);
}

#[test]
fn a_probe_counts_results_in_a_row() {
    let probe = Probe {
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        success: 2,
        failure: 3,
        grace: None,
    };
    let mut counter = Counter::default();
    let changes: Vec<_> = [true, true, true, false, false, true, false, false, false]
        .into_iter()
        .map(|result| counter.observe(result, &probe))
        .collect();
    assert_eq!(changes, [false, true, false, false, false, false, false, false, true]);
}

#[test]
fn a_post_start_hook_runs_before_the_container_counts_as_running() {
    let hook = json!({"postStart": {"exec": {"command": ["true"]}}});
    let mut case = Case::prepared(&json!({"lifecycle": hook}));
    case.runs("app");
    assert_eq!(case.steps(), ["hook app"]);
    assert_eq!(case.shown(), "Pending ready=False app=ContainerCreating/0");
    case.facts.entry("app").post_start = Hook::Failed;
    assert_eq!(case.steps(), ["stop app 30s"]);
    case.facts.entry("app").post_start = Hook::Done;
    assert_eq!(case.shown(), "Running ready=True app=running/0");
}

#[test]
fn a_changed_image_restarts_the_container() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app");
    case.spec.containers[0].image = "i:2".to_owned();
    assert_eq!(case.steps(), ["stop app 30s"]);
}

#[test]
fn a_pod_past_its_deadline_fails() {
    let mut case = Case::prepared(&json!({}));
    case.spec.deadline = Some(Duration::from_secs(60));
    case.runs("app");
    assert_eq!(case.steps(), ["wake 60s"]);
    case.later(60);
    assert_eq!(case.steps(), ["fail DeadlineExceeded"]);
    let (reason, message) = ("DeadlineExceeded".to_owned(), "late".to_owned());
    case.facts.verdict = Some(Verdict { reason, message });
    assert_eq!(case.steps(), ["stop app 30s"]);
    case.ends("app", 143);
    assert_eq!(case.shown(), "Failed ready=False app=Error:143/0");
}

/// Kubernetes: what an evicted Pod wrote goes with its containers, long before its object does.
#[test]
fn an_evicted_pod_gives_its_disk_back() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app");
    let (reason, message) = (reason::EVICTED.to_owned(), "too much".to_owned());
    case.facts.verdict = Some(Verdict { reason, message });
    assert_eq!(case.steps(), ["stop app 30s"]);
    case.ends("app", 143);
    assert_eq!(case.steps(), ["detach", "free"]);
    (case.facts.freed, case.facts.network) = (true, Stage::Absent);
    assert_eq!(case.steps(), [""; 0]);
}

#[test]
fn an_image_that_cannot_be_pulled_is_asked_for_again_with_back_off() {
    let mut case = Case::prepared(&json!({}));
    let now = case.now;
    case.facts.entry("app").image.fail(reason::PULL, "no such image", now);
    assert_eq!(case.shown(), "Pending ready=False app=ErrImagePull/0");
    case.later(2);
    assert_eq!(case.shown(), "Pending ready=False app=ImagePullBackOff/0");
    assert_eq!(case.steps(), ["wake 8s"]);
    case.later(8);
    assert_eq!(case.steps(), ["image app"]);
}

/// Kubernetes: the files of a running Pod follow config maps, secrets and the Pod's own labels and annotations.
#[test]
fn files_that_show_objects_are_made_anew_every_minute_while_the_pod_runs() {
    let mut case = Case::new(&json!({
        "containers": [{"name": "app", "image": "i:1"}], "volumes": [{"name": "v", "configMap": {"name": "c"}}],
    }));
    case.provide(&["app"]);
    case.runs("app");
    assert_eq!(case.steps(), ["refresh"], "never made by this life of the agent");
    case.facts.projected_at = Some(case.now);
    assert_eq!(case.steps(), ["wake 60s"]);
    case.later(60);
    assert_eq!(case.steps(), ["refresh"]);
    case.facts.volumes = Stage::Absent;
    assert_eq!(case.steps(), ["volumes"], "they have to be there first");
}

#[test]
fn planning_twice_is_planning_once() {
    let mut case = Case::prepared(&json!({}));
    case.runs("app").later(1).ends("app", 1);
    assert_eq!(case.plan(), case.plan());
}
