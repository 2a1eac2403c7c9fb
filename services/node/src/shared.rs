//! What every Pod's actor may use.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::Client;
use kubekit::{EventRecorder, Happening, Reader};
use net::Network;
use parking_lot::Mutex;
use podspec::{Host, Policy};
use runtime::{Driver, Runtimes};
use telemetry::Clock;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::disk::Pressure;
use crate::images::Images;
use crate::links::Links;
use crate::paths::Paths;
use crate::registry::Registry;
use crate::sources::Sources;
use crate::trash::Trash;
use crate::vitals::Vitals;
use crate::zone::Names;

/// The parts of one node.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) paths: Paths,
    pub(crate) trash: Trash,
    pub(crate) host: Host,
    pub(crate) policy: Policy,
    pub(crate) runtimes: Runtimes,
    pub(crate) network: Network,
    pub(crate) images: Images,
    pub(crate) sources: Sources,
    pub(crate) links: Links,
    pub(crate) recorder: EventRecorder,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) vitals: Vitals,
    /// Containers being started.
    pub(crate) starts: Semaphore,
    pub(crate) registry: Registry,
    pub(crate) disk: Pressure,
    pub(crate) names: Mutex<Names>,
    /// Handlers of the runtime classes by name.
    pub(crate) classes: Reader<String>,
}

/// Tells what happens to one Pod.
#[derive(Clone)]
pub(crate) struct Teller {
    recorder: EventRecorder,
    pod: ObjectReference,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn teller(&self, pod: &Pod) -> Teller {
        let meta = &pod.metadata;
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            ..ObjectReference::default()
        };
        Teller { recorder: self.recorder.clone(), pod }
    }

    /// The driver for a runtime class, and whether this machine has it.
    ///
    /// # Errors
    /// What is missing and how to get it, in plain words.
    pub(crate) fn driver(&self, class: Option<&str>) -> Result<Driver, String> {
        let driver = match class {
            None | Some("") => self.config.default_driver,
            Some(class) => self.handler(class)?,
        };
        if self.runtimes.driver(driver).is_some() {
            return Ok(driver);
        }
        Err(match driver {
            Driver::Runc => "runc is not installed on this machine: apt-get install runc".to_owned(),
            Driver::Runsc => "gVisor (runsc) is not installed on this machine: apt-get install -t \
                              bookworm-backports runsc, or see https://gvisor.dev/docs/user_guide/install"
                .to_owned(),
        })
    }

    fn handler(&self, class: &str) -> Result<Driver, String> {
        let key = kubekit::Key::new("", class);
        // Our own two classes are made at the start and may not be in the cache yet.
        let built_in = || ["runc", "gvisor"].contains(&class).then(|| Arc::new(class.to_owned()));
        let handler = self.classes.get(&key).or_else(built_in).ok_or_else(|| {
            format!("RuntimeClass {class:?} not found: use \"runc\" or \"gvisor\", or create it with one of these handlers")
        })?;
        match handler.as_str() {
            "runc" => Ok(Driver::Runc),
            "gvisor" | "runsc" => Ok(Driver::Runsc),
            other => Err(format!(
                "no runtime for handler {other:?} of RuntimeClass {class:?}: this node has \"runc\" and \"gvisor\""
            )),
        }
    }
}

// === impl Teller ===

impl Teller {
    pub(crate) fn warning(&self, reason: &str, note: impl Into<String>) {
        self.tell(true, None, reason, note.into());
    }

    /// The same about one container of the Pod.
    pub(crate) fn of(&self, container: &str, warning: bool, reason: &str, note: impl Into<String>) {
        self.tell(warning, Some(container), reason, note.into());
    }

    fn tell(&self, warning: bool, container: Option<&str>, reason: &str, note: String) {
        let mut regarding = self.pod.clone();
        regarding.field_path = container.map(|name| format!("spec.containers{{{name}}}"));
        let (reason, action) = (reason.to_owned(), reason.to_owned());
        self.recorder.tell(Happening { regarding, related: None, warning, reason, action, note });
    }
}
