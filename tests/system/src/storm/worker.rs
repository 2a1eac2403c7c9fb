//! One client: creates, suspends, resumes, deletes and uses Sandboxes that nobody else writes.

use crate::storm::{Dice, Disk, Exec, Seen, Signals, Slot, Verb, Wanted};
use crd::v1beta1::Sandbox;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api, ResourceExt as _,
    api::{AttachParams, AttachedProcess, DeleteParams, Patch, PatchParams, PostParams},
};
use parking_lot::Mutex;
use serde_json::json;
use std::{io, sync::Arc};
use tokio::io::AsyncReadExt as _;

/// Sandboxes that one client holds at a time.
const HELD: usize = 3;

/// One client of one round.
pub struct Worker {
    /// First part of its Sandboxes' names.
    pub prefix: String,
    /// Its choices.
    pub dice: Dice,
    /// Its Sandboxes.
    pub slots: Arc<Mutex<Vec<Slot>>>,
    /// What it watches.
    pub seen: Arc<Mutex<Seen>>,
    /// The agent's records.
    pub disk: Disk,
    /// What it shares with the others.
    pub signals: Signals,
    /// How it asks.
    pub client: kube::Client,
}

/// What the client does next with a Sandbox.
enum Next {
    Create,
    Change(usize, Verb),
    Exec(usize),
    Nothing,
}

// === impl Worker ===

impl Worker {
    /// Works until the agent is killed or something surprising happened.
    pub async fn run(mut self) {
        while !self.signals.killed() && self.signals.complaints().is_empty() {
            match self.choose() {
                Next::Create => self.create().await,
                Next::Change(at, verb) => self.change(at, verb).await,
                Next::Exec(at) => self.exec(at).await,
                Next::Nothing => {}
            }
            let pause = self.dice.pause(5, 60);
            tokio::time::sleep(pause).await;
        }
    }

    fn choose(&mut self) -> Next {
        let mut slots = self.slots.lock();
        let seen = self.seen.lock();
        let arrived: Vec<bool> = slots.iter_mut().map(|slot| slot.arrived(&seen, &self.disk)).collect();
        let living = slots.iter().filter(|slot| slot.certain() != Some(Wanted::Absent)).count();
        if living < HELD && self.dice.chance(60) {
            return Next::Create;
        }
        let Some(at) = self.dice.pick(slots.len()) else { return Next::Nothing };
        let roll = self.dice.below(100);
        match (slots[at].certain(), arrived[at]) {
            (Some(Wanted::Running), true) if roll < 55 => Next::Exec(at),
            (Some(Wanted::Running), true) if roll < 80 => Next::Change(at, Verb::Suspend),
            (Some(Wanted::Running), true) => Next::Change(at, Verb::Delete),
            (Some(Wanted::Suspended), true) if roll < 65 => Next::Change(at, Verb::Resume),
            (Some(Wanted::Suspended), true) => Next::Change(at, Verb::Delete),
            // Before the last change is carried out: clients are like that.
            (Some(Wanted::Running), false) if roll < 2 => Next::Change(at, Verb::Suspend),
            (Some(Wanted::Suspended), false) if roll < 2 => Next::Change(at, Verb::Resume),
            (Some(Wanted::Running | Wanted::Suspended), false) if roll < 4 => Next::Change(at, Verb::Delete),
            _ => Next::Nothing,
        }
    }

    async fn create(&mut self) {
        let (class, volume) = (if self.dice.chance(20) { "gvisor" } else { "runc" }, self.dice.chance(40));
        let name = format!("{}-{:08x}", self.prefix, self.dice.below(1 << 32));
        self.slots.lock().push(Slot::new(name.clone(), class, volume));
        self.send(&name, Verb::Create);
        let api: Api<Sandbox> = Api::default_namespaced(self.client.clone());
        let wanted = sandbox(&name, class, volume);
        let reply = self.signals.answered(api.create(&PostParams::default(), &wanted)).await;
        self.reply(&name, Verb::Create, reply).await;
    }

    async fn change(&mut self, at: usize, verb: Verb) {
        let name = self.slots.lock()[at].name.clone();
        self.send(&name, verb);
        let api: Api<Sandbox> = Api::default_namespaced(self.client.clone());
        let reply = self.signals.answered(async {
            let mode = match verb {
                Verb::Delete => {
                    let deleted = api.delete(&name, &DeleteParams::default()).await?;
                    return Ok(deleted.left().unwrap_or_default());
                }
                Verb::Suspend => "Suspended",
                Verb::Create | Verb::Resume => "Running",
            };
            let patch = Patch::Merge(json!({ "spec": { "operatingMode": mode } }));
            api.patch(&name, &PatchParams::default(), &patch).await
        });
        let reply = reply.await;
        self.reply(&name, verb, reply).await;
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.lock().iter_mut().find(|slot| slot.name == name) {
            change(slot);
        }
    }

    fn send(&self, name: &str, verb: Verb) {
        self.edit(name, |slot| slot.send(verb));
    }

    async fn reply(&self, name: &str, verb: Verb, reply: io::Result<Result<Sandbox, kube::Error>>) {
        match reply {
            Ok(Ok(object)) => {
                let generation = object.metadata.generation.unwrap_or_default();
                self.edit(name, |slot| slot.acknowledged(verb, object.uid(), generation));
            }
            Ok(Err(kube::Error::Api(status))) => {
                self.signals.complain(format!("{verb:?} {name} refused: {status:?}"));
            }
            Ok(Err(error)) => self.signals.lost(&format!("{verb:?} {name}"), &error).await,
            Err(slow) => self.signals.lost(&format!("{verb:?} {name}"), &slow).await,
        }
    }

    /// Reads the note that the last command left, leaves another, and ends with a code of its own.
    async fn exec(&mut self, at: usize) {
        let (name, path, allowed) = {
            let mut slots = self.slots.lock();
            let slot = &mut slots[at];
            slot.exec = Some(Exec::Connecting);
            (slot.name.clone(), if slot.volume { "/data/note" } else { "/root/note" }, slot.notes.clone())
        };
        let note = format!("note-{:08x}", self.dice.below(1 << 32));
        let code = i32::try_from(self.dice.below(4) * 7).unwrap_or_default();
        let (long, short) = (self.dice.below(40), self.dice.below(8));
        let script = format!(
            "cat {path} 2>/dev/null; echo; echo begin; sleep 0.{long:02}; printf {note} > {path}.new && mv {path}.new {path}; \
             echo end; sleep 0.0{short}; exit {code}"
        );
        self.edit(&name, |slot| slot.notes.push(note.clone()));
        let ended = self.signals.answered(self.perform(&name, &script)).await;
        self.edit(&name, |slot| slot.exec = None);
        let doing = format!("exec in {name}");
        let (out, status) = match ended {
            Ok(Ok((out, Some(status)))) => (out, status),
            Ok(Ok((out, None))) => {
                let error = std::io::Error::other(format!("no status after {out:?}"));
                return self.signals.lost(&doing, &error).await;
            }
            Ok(Err(error)) => return self.signals.lost(&doing, &*error).await,
            Err(slow) => return self.signals.lost(&doing, &slow).await,
        };
        let right = allowed.iter().any(|old| out == format!("{old}\nbegin\nend\n"));
        if !right || exit_code(&status) != Some(code) {
            self.signals
                .complain(format!("{doing}: {out:?} and {status:?} instead of {allowed:?} and code {code}"));
        }
        self.edit(&name, |slot| slot.notes = vec![note]);
    }

    async fn perform(
        &self,
        name: &str,
        script: &str,
    ) -> Result<(String, Option<Status>), Box<dyn std::error::Error + Send + Sync>> {
        let pods: Api<Pod> = Api::default_namespaced(self.client.clone());
        let params = AttachParams::default().stderr(false);
        let mut attached: AttachedProcess = pods.exec(name, ["sh", "-c", script], &params).await?;
        self.edit(name, |slot| slot.exec = Some(Exec::Connected));
        let status = attached.take_status();
        let mut stdout = attached.stdout().ok_or("no stdout")?;
        let mut out = Vec::new();
        while stdout.read_buf(&mut out).await? > 0 {
            let text = String::from_utf8_lossy(&out);
            let stage = if text.ends_with("\nend\n") { Exec::Printed } else { Exec::Began };
            self.edit(name, |slot| slot.exec = Some(stage));
        }
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        Ok((String::from_utf8_lossy(&out).into_owned(), status))
    }
}

/// The exit code in the last message of an exec stream.
fn exit_code(status: &Status) -> Option<i32> {
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let cause = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    cause.message.as_ref()?.parse().ok()
}

/// A Sandbox as the command line makes them: its writable layer is kept, and an init forwards signals.
fn sandbox(name: &str, class: &str, volume: bool) -> Sandbox {
    let mounts = if volume { json!([{ "name": "data", "mountPath": "/data" }]) } else { json!([]) };
    let claims = json!([{
        "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "64Mi" } } }
    }]);
    let object = json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": { "name": name },
        "spec": {
            "podTemplate": {
                "metadata": { "annotations": {
                    crd::names::annotation::INIT: "true", crd::names::annotation::KEEP_ROOT: "true",
                } },
                "spec": {
                    "runtimeClassName": class, "automountServiceAccountToken": false,
                    "containers": [{
                        "name": "work", "image": "agent-sandbox/host", "command": ["sleep", "infinity"],
                        "volumeMounts": mounts,
                    }],
                },
            },
            "volumeClaimTemplates": if volume { claims } else { json!([]) },
        }
    });
    serde_json::from_value(object).expect("a Sandbox")
}
