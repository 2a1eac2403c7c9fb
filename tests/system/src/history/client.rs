//! A client that reads, creates, replaces, deletes and lists, with and without preconditions, and writes down what it is told.

use super::{Act, Answer, Call, History, Listing, PREFIX, State, Version, version_of};
use crate::storm::Dice;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How many objects there are: few, so that clients meet.
const OBJECTS: u64 = 4;
/// After this long a question counts as not answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// One client. It asks one question at a time.
pub struct Client {
    history: History,
    api: Api<ConfigMap>,
    dice: Dice,
    name: String,
    count: u64,
    /// What it saw last of each object; what it expects may have changed meanwhile.
    seen: BTreeMap<String, Version>,
}

// === impl Client ===

impl Client {
    /// A client whose name makes its values unique.
    pub fn new(history: &History, client: kube::Client, name: &str, dice: Dice) -> Self {
        let api = Api::default_namespaced(client);
        Self { history: history.clone(), api, dice, name: name.to_owned(), count: 0, seen: BTreeMap::new() }
    }

    /// Asks until an answer is lost, or `stop` is set.
    pub async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let answered = if self.dice.chance(5) { self.list().await } else { self.ask().await };
            if !answered {
                return;
            }
        }
    }

    async fn ask(&mut self) -> bool {
        let key = format!("{PREFIX}{}", self.dice.below(OBJECTS));
        let act = self.choose(&key);
        let expect = match &act {
            Act::Replace { expect: Some(_), .. } | Act::Delete { expect: Some(_) } => {
                self.seen.get(&key).cloned()
            }
            _ => None,
        };
        let began = self.history.now();
        let answer = tokio::time::timeout(PATIENCE, self.send(&key, &act, expect)).await;
        let answer = answer.unwrap_or(Answer::Lost);
        let lost = answer == Answer::Lost;
        let ended = if lost { u64::MAX } else { self.history.now() };
        self.learn(&key, &act, &answer);
        // A read without an answer says nothing.
        if !(lost && act == Act::Read) {
            self.history.record(|record| record.calls.push(Call { key, act, answer, began, ended }));
        }
        !lost
    }

    fn choose(&mut self, key: &str) -> Act {
        self.count += 1;
        let value = format!("{}-{}", self.name, self.count);
        let known = self.seen.get(key).map(|version| version.value.clone());
        match self.dice.below(100) {
            0..30 => Act::Read,
            30..45 => Act::Create(value),
            45..75 => Act::Replace { value, expect: known },
            75..85 => Act::Replace { value, expect: None },
            85..95 => Act::Delete { expect: known },
            _ => Act::Delete { expect: None },
        }
    }

    async fn send(&self, key: &str, act: &Act, expect: Option<Version>) -> Answer {
        let expect = expect.map(|version| version.revision.to_string());
        let written = |object: ConfigMap| {
            version_of(&object).map_or(Answer::Lost, |(_, it)| Answer::Written(it.revision))
        };
        let result = match act {
            Act::Read => self.api.get(key).await.map(|object| {
                version_of(&object).map_or(Answer::Lost, |(_, version)| Answer::Found(version))
            }),
            Act::Create(value) => {
                let object = object(key, value, None);
                self.api.create(&PostParams::default(), &object).await.map(written)
            }
            Act::Replace { value, .. } => {
                let object = object(key, value, expect);
                self.api.replace(key, &PostParams::default(), &object).await.map(written)
            }
            Act::Delete { .. } => {
                let preconditions =
                    expect.map(|version| Preconditions { resource_version: Some(version), uid: None });
                let how = DeleteParams { preconditions, ..DeleteParams::default() };
                self.api.delete(key, &how).await.map(|_| Answer::Deleted)
            }
        };
        result.unwrap_or_else(|error| match error {
            kube::Error::Api(status) if status.code == 404 => Answer::Absent,
            kube::Error::Api(status) if status.code == 409 => Answer::Refused,
            _ => Answer::Lost,
        })
    }

    fn learn(&mut self, key: &str, act: &Act, answer: &Answer) {
        match (act, answer) {
            (_, Answer::Found(version)) => drop(self.seen.insert(key.to_owned(), version.clone())),
            (Act::Create(value) | Act::Replace { value, .. }, Answer::Written(revision)) => {
                let version = Version { revision: *revision, value: value.clone() };
                self.seen.insert(key.to_owned(), version);
            }
            // Now and then, so that a precondition on what was deleted is asked for too.
            (_, Answer::Absent) if self.dice.chance(50) => drop(self.seen.remove(key)),
            _ => {}
        }
    }

    /// A list shows all objects at one moment.
    async fn list(&mut self) -> bool {
        let began = self.history.now();
        let asked = tokio::time::timeout(PATIENCE, self.api.list(&ListParams::default())).await;
        let Ok(Ok(list)) = asked else { return false };
        let ended = self.history.now();
        let state: State = list.items.iter().filter_map(version_of).collect();
        let revision = list.metadata.resource_version.and_then(|text| text.parse().ok());
        let revision = revision.expect("a list has a resource version");
        let call = |number: u64| {
            let key = format!("{PREFIX}{number}");
            let answer = state.get(&key).map_or(Answer::Absent, |version| Answer::Found(version.clone()));
            Call { key, act: Act::Read, answer, began, ended }
        };
        let calls: Vec<Call> = (0..OBJECTS).map(call).collect();
        self.history.record(|record| {
            record.calls.extend(calls);
            record.listings.push(Listing { revision, state });
        });
        true
    }
}

fn object(key: &str, value: &str, resource_version: Option<String>) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(key.to_owned());
    object.metadata.resource_version = resource_version;
    object.data = Some(BTreeMap::from([("value".to_owned(), value.to_owned())]));
    object
}
