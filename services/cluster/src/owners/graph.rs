//! Who owns whom, from the metadata of every object.
use crate::resources::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::core::{DynamicObject, ObjectMeta, PartialObjectMeta};
use kubekit::{Backoff, Board, Change, Informer, Key, Queue, Reader, Text, informer};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Set by the server on an object whose deletion waits for its dependents.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Set by the server on an object whose dependents are to stay.
pub(crate) const ORPHAN: &str = "orphan";

/// How many objects of kinds that come and go are remembered to be gone.
const REMEMBERED: usize = 1024;
/// How long a kind that has just come may take to be known.
const PATIENCE: Duration = Duration::from_secs(5);

/// An object of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Item {
    /// Which of the graph's kinds.
    pub(crate) kind: usize,
    pub(crate) key: Key,
}

/// What is remembered of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) uid: Text,
    pub(crate) owners: Box<[Owner]>,
    pub(crate) deleting: bool,
    /// Its deletion waits for its dependents.
    pub(crate) foreground: bool,
    /// Its dependents are to stay.
    pub(crate) orphans: bool,
}

/// A reference to an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: Text,
    pub(crate) api_version: Text,
    pub(crate) kind: Text,
    pub(crate) name: Text,
    /// Foreground deletion of the owner waits for this object.
    pub(crate) blocks: bool,
}

/// Every object known, by kind. A kind keeps its place for good, also when it is no longer served.
#[derive(Debug)]
pub(crate) struct Graph {
    kinds: RwLock<Vec<Kind>>,
    /// Uids of objects that the server said are gone, of kinds that may be gone by now too; the last ones.
    absent: Mutex<VecDeque<Text>>,
    queue: Queue<Item>,
}

struct Kind {
    resource: Arc<Resource>,
    reader: Reader<Known>,
    /// Stops the informer; none for kinds that are always served.
    stop: Option<CancellationToken>,
    gone: bool,
}

type Meta = PartialObjectMeta<DynamicObject>;
pub(crate) type Watch = Informer<Meta, Known>;

// === impl Item ===

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.key)
    }
}

// === impl Known ===

impl Known {
    pub(crate) fn of(meta: &ObjectMeta) -> Known {
        let finalizers = meta.finalizers.as_deref().unwrap_or_default();
        let has = |name: &str| finalizers.iter().any(|f| f == name);
        Known {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            owners: meta.owner_references.iter().flatten().map(Owner::of).collect(),
            deleting: meta.deletion_timestamp.is_some(),
            foreground: has(FOREGROUND),
            orphans: has(ORPHAN),
        }
    }

    /// Its owner waits for this object to go.
    pub(crate) fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|o| &*o.uid == owner && o.blocks)
    }
}

// === impl Owner ===

impl Owner {
    fn of(reference: &OwnerReference) -> Owner {
        Owner {
            uid: reference.uid.as_str().into(),
            api_version: reference.api_version.as_str().into(),
            kind: reference.kind.as_str().into(),
            name: reference.name.as_str().into(),
            blocks: reference.block_owner_deletion == Some(true),
        }
    }

    fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

// === impl Graph ===

impl Graph {
    /// A graph of these kinds, and the informers that fill it.
    pub(crate) fn new(client: &Client, resources: &[Resource]) -> (Arc<Graph>, Vec<Watch>) {
        let backoff = Backoff { base: Duration::from_millis(5), cap: Duration::from_secs(30) };
        let graph = Arc::new(Graph {
            kinds: RwLock::default(),
            absent: Mutex::default(),
            queue: Queue::new(backoff),
        });
        let resources = resources.iter().filter(|resource| is_collected(resource));
        let watches = resources.map(|resource| graph.add(client, resource, None)).collect();
        (graph, watches)
    }

    /// Shows the queue of objects whose owners are looked for.
    pub(crate) fn show(&self, board: &Board) {
        board.show("garbage_collector_attempt_to_delete", &self.queue);
    }

    /// Takes in a kind, and gives the informer that is to be run for it. `stop` ends that informer.
    pub(crate) fn add(
        self: &Arc<Self>,
        client: &Client,
        resource: &Resource,
        stop: Option<CancellationToken>,
    ) -> Watch {
        let project = |object: Meta| Known::of(&object.metadata);
        let watch = Watch::new_with(client.clone(), &resource.api, informer::Config::default(), project)
            .index("owner", |_, known| known.owners.iter().map(|o| o.uid.clone()).collect());
        let new = Kind { resource: Arc::new(resource.clone()), reader: watch.reader(), stop, gone: false };
        let mut kinds = self.kinds.write();
        let place = kinds.iter().position(|kind| kind.gone && kind.resource.is_about_the_same(resource));
        let place = match place {
            Some(place) => {
                kinds[place] = new;
                place
            }
            None => {
                kinds.push(new);
                kinds.len() - 1
            }
        };
        let graph = Arc::clone(self);
        watch.on_change(move |change| graph.changed(place, change))
    }

    /// Lets a kind go that is no longer served: what names an owner of it has one that nobody knows.
    pub(crate) fn remove(&self, resource: &Resource) {
        let mut kinds = self.kinds.write();
        let kind = kinds.iter_mut().find(|kind| !kind.gone && kind.resource.is_about_the_same(resource));
        let Some(kind) = kind else { return };
        kind.gone = true;
        if let Some(stop) = &kind.stop {
            stop.cancel();
        }
    }

    pub(crate) fn queue(&self) -> &Queue<Item> {
        &self.queue
    }

    /// Waits until every kind is known.
    pub(crate) async fn synced(&self) {
        let readers: Vec<Reader<Known>> = self.kinds.read().iter().map(|kind| kind.reader.clone()).collect();
        for reader in readers {
            reader.synced().await;
        }
    }

    /// Waits until the kinds that came later are known too, but not for ever: one may go before it is known.
    pub(crate) async fn settled(&self) {
        let known = |kind: &Kind| kind.gone || kind.reader.is_synced();
        if !self.kinds.read().iter().all(known) {
            drop(tokio::time::timeout(PATIENCE, self.synced()).await);
        }
    }

    pub(crate) fn resource(&self, item: &Item) -> Arc<Resource> {
        Arc::clone(&self.kinds.read()[item.kind].resource)
    }

    pub(crate) fn get(&self, item: &Item) -> Option<Arc<Known>> {
        self.kinds.read()[item.kind].reader.get(&item.key)
    }

    /// Where the owner of an object in `namespace` would be. None: its kind is not served here. Versions of a group are one kind.
    pub(crate) fn locate(&self, owner: &Owner, namespace: &str) -> Option<Place> {
        let of_kind = |kind: &Kind| {
            !kind.gone && kind.resource.api.group == owner.group() && kind.resource.api.kind == *owner.kind
        };
        let kinds = self.kinds.read();
        let kind = kinds.iter().position(of_kind)?;
        let namespace = match (kinds[kind].resource.namespaced, namespace) {
            (false, _) => "",
            (true, "") => return Some(Place::Impossible),
            (true, namespace) => namespace,
        };
        Some(Place::At(Item { kind, key: Key::new(namespace, &owner.name) }))
    }

    /// The objects that name `uid` as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<(Item, Arc<Known>)> {
        let of_kind = |(kind, entry): (usize, &Kind)| {
            let found = entry.reader.by_index("owner", uid).into_iter();
            found.map(move |(key, known)| (Item { kind, key }, known)).collect::<Vec<_>>()
        };
        self.kinds.read().iter().enumerate().filter(|(_, kind)| !kind.gone).flat_map(of_kind).collect()
    }

    fn changed(&self, kind: usize, change: &Change<'_, Known>) {
        if let Some(new) = change.new
            && change.old.is_none_or(|old| old != new)
            && (!new.owners.is_empty() || new.foreground || new.orphans)
        {
            self.queue.add(Item { kind, key: change.key.clone() });
        }
        let Some(old) = change.old else { return };
        if change.new.is_none_or(|new| new.uid != old.uid || new.owners != old.owners) {
            self.wake_owners(old, &change.key.namespace);
        }
        if change.new.is_none_or(|new| new.uid != old.uid) {
            self.note_absent(kind, &old.uid);
            self.dependents(&old.uid).into_iter().for_each(|(item, _)| self.queue.add(item));
        }
    }

    fn note_absent(&self, kind: usize, uid: &str) {
        if self.kinds.read()[kind].stop.is_none() {
            return;
        }
        let mut absent = self.absent.lock();
        if absent.len() == REMEMBERED {
            absent.pop_front();
        }
        absent.push_back(uid.into());
    }

    /// Whether the server said that an object is gone, before its kind went. False tells nothing.
    pub(crate) fn is_absent(&self, uid: &str) -> bool {
        self.absent.lock().iter().any(|absent| **absent == *uid)
    }

    /// Owners that wait for their dependents look again.
    fn wake_owners(&self, old: &Known, namespace: &str) {
        for owner in &old.owners {
            if let Some(Place::At(item)) = self.locate(owner, namespace)
                && self.get(&item).is_some_and(|known| known.uid == owner.uid && known.foreground)
            {
                self.queue.add(item);
            }
        }
    }
}

/// Kubernetes' garbage collector leaves events alone too: they have no owners, nothing is owned by them, and they go by age.
fn is_collected(resource: &Resource) -> bool {
    resource.api.kind != "Event"
}

/// Where an owner would be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    At(Item),
    /// A cluster-scoped object cannot have an owner in a namespace.
    Impossible,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("resource", &self.resource.api.plural).finish_non_exhaustive()
    }
}
