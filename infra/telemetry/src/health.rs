//! What tells whether this process works: checks that its parts add by name, and one place to find them.
//!
//! **Invariant:** a check looks at something that can fail while the process runs. What cannot, is no check.

use std::{
    fmt::{Debug, Formatter},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::{BoxFuture, FutureExt as _};
use parking_lot::RwLock;

/// What a check saw: nothing wrong, or what is wrong, in words for an administrator.
pub type Seen = Result<(), String>;

/// Something to look at, and its name.
pub struct Check {
    name: &'static str,
    only_ready: bool,
    look: Box<dyn Fn() -> BoxFuture<'static, Seen> + Send + Sync>,
}

/// All checks of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    checks: RwLock<Vec<Arc<Check>>>,
    ending: AtomicBool,
}

// === impl Check ===

impl Check {
    /// A check that counts for being alive and for being ready. Whoever looks waits no longer than he likes.
    pub fn new<F>(name: &'static str, look: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Seen> + Send + 'static,
    {
        Self { name, only_ready: false, look: Box::new(move || look().boxed()) }
    }

    /// The same for what can be seen without waiting.
    pub fn at_once(name: &'static str, look: impl Fn() -> Seen + Send + Sync + 'static) -> Self {
        Self { name, only_ready: false, look: Box::new(move || std::future::ready(look()).boxed()) }
    }

    /// The check counts for being ready alone: to start the process again would not help.
    #[must_use]
    pub fn only_ready(self) -> Self {
        Self { only_ready: true, ..self }
    }

    /// Its name, as in `/readyz/<name>`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it counts for being ready alone.
    pub fn is_only_ready(&self) -> bool {
        self.only_ready
    }

    /// Looks.
    pub fn look(&self) -> BoxFuture<'static, Seen> {
        (self.look)()
    }
}

impl Debug for Check {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Health ===

impl Health {
    /// Adds a check; one of that name gives way to it.
    pub fn add(&self, check: Check) {
        let check = Arc::new(check);
        let mut checks = self.0.checks.write();
        match checks.iter_mut().find(|known| known.name == check.name) {
            Some(known) => *known = check,
            None => checks.push(check),
        }
    }

    /// All checks, in the order they were added in.
    pub fn checks(&self) -> Vec<Arc<Check>> {
        self.0.checks.read().clone()
    }

    /// The process begins to end: from now on it is not ready.
    pub fn end(&self) {
        self.0.ending.store(true, Ordering::Relaxed);
    }

    /// Whether it has begun to end.
    pub fn is_ending(&self) -> bool {
        self.0.ending.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_takes_the_place_of_one_of_its_name() {
        let health = Health::default();
        health.add(Check::at_once("a", || Err("old".to_owned())));
        health.clone().add(Check::at_once("b", || Ok(())).only_ready());
        health.add(Check::new("a", || async { Err("new".to_owned()) }));
        let seen: Vec<_> = health
            .checks()
            .iter()
            .map(|check| (check.name(), check.is_only_ready(), check.look().now_or_never().unwrap()))
            .collect();
        assert_eq!(seen, [("a", false, Err("new".to_owned())), ("b", true, Ok(()))]);
    }
}
