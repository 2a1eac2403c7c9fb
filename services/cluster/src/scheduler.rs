//! Gives pods a node, or says on the pod why it has none.
//!
//! One worker decides for all pods, so that two never take the same room; what it has promised is remembered until the
//! informer shows it. Pods that found no room wait until something changes.

mod affinity;
mod fit;
mod taken;

use crate::guarded::outcome;
use crate::view::{Amounts, NodeView, PodView, add, amounts};
use crate::volumes::ClaimView;
use fit::{Claim, Facts, Unfit};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use kubekit::write;
use kubekit::{
    Board, Change, EventRecorder, Failure, Happening, Informer, Key, Lane, Outcome, Queue, Reader,
};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use taken::Taken;
use tokio_util::sync::CancellationToken;

const NAME: &str = "default-scheduler";
/// How long a pod waits for its claims before it says so.
const QUIET: Duration = Duration::from_millis(500);

/// The controller.
#[derive(Clone)]
pub(crate) struct Scheduler {
    client: Client,
    recorder: EventRecorder,
    queue: Queue<Key>,
    pods: Reader<PodView>,
    nodes: Reader<NodeView>,
    claims: Reader<ClaimView>,
    classes: Reader<Amounts>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What the pods that the informer shows on a node take of it.
    taken: Taken,
    /// Pods given a node that the informer does not show on one yet: uid to node and needs.
    promised: HashMap<String, (String, Amounts)>,
    /// Pods that found no room.
    waiting: BTreeSet<Key>,
    /// When pods that wait for a claim were first looked at, by uid.
    since: HashMap<String, Instant>,
}

// === impl Scheduler ===

impl Scheduler {
    pub(crate) fn new(
        client: Client,
        recorder: EventRecorder,
        pods: Reader<PodView>,
        nodes: Reader<NodeView>,
        claims: Reader<ClaimView>,
        classes: Reader<Amounts>,
    ) -> Scheduler {
        let (queue, state) = (Queue::default(), Arc::default());
        Scheduler { client, recorder, queue, pods, nodes, claims, classes, state }
    }

    /// Shows its queue.
    pub(crate) fn show(&self, board: &Board) {
        board.show("scheduler", &self.queue);
    }

    /// The overhead of each RuntimeClass.
    pub(crate) fn overheads(client: Client) -> Informer<RuntimeClass, Amounts> {
        Informer::new(client, kubekit::informer::Config::default(), |class: RuntimeClass| {
            amounts(class.overhead.and_then(|overhead| overhead.pod_fixed).as_ref())
        })
    }

    pub(crate) fn pod_changed(&self, change: &Change<'_, PodView>) {
        self.state.lock().taken.follow(change.old.map(|old| &**old), change.new.map(|new| &**new));
        if let Some(pod) = change.new
            && pod.pending.is_some()
        {
            if change.old.is_none_or(|old| old.pending.is_none() || essence(old) != essence(pod)) {
                self.queue.add(change.key.clone());
            }
            return;
        }
        let mut state = self.state.lock();
        state.waiting.remove(change.key);
        let old = change.old.filter(|old| change.new.is_none_or(|new| new.uid != old.uid));
        for pod in change.new.into_iter().chain(old) {
            state.promised.remove(&pod.uid);
            state.since.remove(&pod.uid);
        }
        if change.new.is_none()
            && let Some(old) = change.old
        {
            state.promised.remove(&old.uid);
            state.since.remove(&old.uid);
        }
        drop(state);
        if change.new.is_none_or(|pod| pod.over) {
            self.something_changed();
        }
    }

    /// Pods without room look again.
    pub(crate) fn something_changed(&self) {
        let waiting = self.state.lock().waiting.clone();
        waiting.into_iter().for_each(|key| self.queue.add_in(Lane::Low, key));
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let synced = async {
            tokio::join!(self.pods.synced(), self.nodes.synced(), self.claims.synced(), self.classes.synced())
        };
        if shutdown.run_until_cancelled(synced).await.is_none() {
            return;
        }
        let queue = self.queue.clone();
        queue
            .work(1, shutdown, move |key| {
                let this = self.clone();
                async move { outcome("scheduler", &key, this.schedule(&key).await) }
            })
            .await;
    }

    async fn schedule(&self, key: &Key) -> Result<Outcome, kube::Error> {
        let Some(pod) = self.pods.get(key) else { return Ok(Outcome::Done) };
        let Some(pending) = pod.pending.as_deref().filter(|p| p.scheduler.is_empty() || p.scheduler == NAME)
        else {
            return Ok(Outcome::Done);
        };
        if pod.deleting || self.state.lock().promised.contains_key(&pod.uid) {
            return Ok(Outcome::Done);
        }
        if pending.gated {
            let why =
                Unfit::new("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates");
            self.tell(key, &pod, &why).await?;
            return Ok(Outcome::Done);
        }
        let mut needs = pod.requests.clone();
        if let Some(class) = pending.runtime_class.as_deref().filter(|_| !pending.has_overhead) {
            add(&mut needs, self.classes.get(&Key::new("", class)).as_deref().unwrap_or(&Amounts::new()));
        }
        let claims = self.claims_of(key, &pod);
        match fit::choose(&Facts { pending, needs: &needs, nodes: &self.nodes(), claims: &claims }) {
            Ok(node) => self.bind(key, &pod, &node, needs).await,
            Err(why) => {
                let patience = self.wait(key, &pod, &why);
                if !patience.is_zero() {
                    return Ok(Outcome::After(patience));
                }
                self.tell(key, &pod, &why).await?;
                Ok(Outcome::Done)
            }
        }
    }

    /// Puts a pod among those that wait. How long nothing is said yet: a claim made together with its pod is bound within
    /// milliseconds, and a condition for that time would only be noise.
    fn wait(&self, key: &Key, pod: &PodView, why: &Unfit) -> Duration {
        let mut state = self.state.lock();
        state.waiting.insert(key.clone());
        if !why.for_claim {
            return Duration::ZERO;
        }
        let since = *state.since.entry(pod.uid.clone()).or_insert_with(Instant::now);
        QUIET.saturating_sub(since.elapsed())
    }

    /// Every node with what is taken of it.
    fn nodes(&self) -> Vec<(String, Arc<NodeView>, Amounts)> {
        let mut taken = {
            let state = self.state.lock();
            let mut taken = state.taken.clone();
            state.promised.values().for_each(|(node, needs)| taken.take(node, needs));
            taken
        };
        let nodes = self.nodes.list().into_iter();
        nodes.map(|(key, node)| (key.name.to_string(), node, taken.of(&key.name))).collect()
    }

    fn claims_of(&self, key: &Key, pod: &PodView) -> Vec<(String, Claim)> {
        let state = |name: &String| match self.claims.get(&Key::new(&key.namespace, name)) {
            None => Claim::Missing,
            Some(claim) if claim.deleting => Claim::Deleting,
            Some(claim) if claim.is_bound() => Claim::Bound,
            Some(_) => Claim::Unbound,
        };
        pod.claims.iter().map(|name| (name.clone(), state(name))).collect()
    }

    async fn bind(
        &self,
        key: &Key,
        pod: &PodView,
        node: &str,
        needs: Amounts,
    ) -> Result<Outcome, kube::Error> {
        self.state.lock().promised.insert(pod.uid.clone(), (node.to_owned(), needs));
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": ObjectMeta { name: Some(key.name.to_string()), namespace: Some(key.namespace.to_string()), uid: Some(pod.uid.clone()), ..ObjectMeta::default() },
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let bound: Result<serde_json::Value, _> =
            api.create_subresource("binding", &key.name, &PostParams::default(), &binding).await;
        if let Err(error) = bound {
            self.state.lock().promised.remove(&pod.uid);
            // Gone, going or bound already: nothing is left to do.
            return if Failure::of(&error) == Failure::Conflict { Ok(Outcome::Retry) } else { Err(error) };
        }
        self.state.lock().waiting.remove(key);
        let note = format!("Successfully assigned {key} to {node}");
        self.event(key, pod, false, "Scheduled", "Binding", note);
        Ok(Outcome::Done)
    }

    /// Writes the condition and the event, once for each thing there is to say.
    async fn tell(&self, key: &Key, pod: &PodView, why: &Unfit) -> Result<(), kube::Error> {
        let Some(pending) = &pod.pending else { return Ok(()) };
        let Some(at) = &pending.at else { return Ok(()) };
        if pending
            .said
            .as_ref()
            .is_some_and(|(reason, message)| *reason == why.reason && *message == why.message)
        {
            return Ok(());
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let live = api.get(&key.name).await?;
        if live.metadata.uid.as_deref() != Some(&*at.uid) {
            return Ok(());
        }
        let mut conditions = live.status.and_then(|status| status.conditions).unwrap_or_default();
        conditions.retain(|condition| condition.type_ != "PodScheduled");
        let mut conditions = serde_json::to_value(conditions).map_err(kube::Error::SerdeError)?;
        if let Some(list) = conditions.as_array_mut() {
            list.push(json!({
                "type": "PodScheduled", "status": "False", "reason": why.reason, "message": why.message,
                "lastProbeTime": null, "lastTransitionTime": wire::time::seconds(jiff::Timestamp::now()),
            }));
        }
        let at = kubekit::Precondition::of(&live.metadata).unwrap_or_else(|| at.clone());
        write::patch_status(&api, &key.name, &at, json!({"conditions": conditions})).await?;
        if why.reason == "Unschedulable" {
            self.event(key, pod, true, "FailedScheduling", "Scheduling", why.message.clone());
        }
        Ok(())
    }

    fn event(&self, key: &Key, pod: &PodView, warning: bool, reason: &str, action: &str, note: String) {
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: Some(pod.uid.clone()),
            ..ObjectReference::default()
        };
        let (reason, action) = (reason.to_owned(), action.to_owned());
        self.recorder.tell(Happening { regarding, warning, reason, action, note, ..Happening::default() });
    }
}

/// What a decision depends on: not what the scheduler itself writes.
fn essence(pod: &PodView) -> PodView {
    let mut pod = pod.clone();
    if let Some(pending) = &mut pod.pending {
        (pending.at, pending.said) = (None, None);
    }
    pod.work = None;
    pod
}
