//! Which pod has which slot. Pure.
//!
//! **Invariant:** a slot has one owner. A freed slot is reused last, because somebody outside may still send to its address.
use std::collections::{BTreeMap, HashMap};

/// The slots of one subnet.
#[derive(Debug)]
pub(crate) struct Slots {
    owners: BTreeMap<u16, String>,
    slots: HashMap<String, u16>,
    first: u16,
    last: u16,
    next: u16,
}

/// Why a slot was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Every slot has an owner.
    Full,
    /// The wanted slot belongs to this pod.
    Taken(String),
    /// The wanted slot is outside the subnet.
    Outside,
}

// === impl Slots ===

impl Slots {
    pub(crate) fn new(first: u16, last: u16) -> Slots {
        Slots { owners: BTreeMap::new(), slots: HashMap::new(), first, last, next: first }
    }

    /// The slot of `uid`: the one it has, the wanted one, or the next free one.
    pub(crate) fn take(&mut self, uid: &str, want: Option<u16>) -> Result<u16, Refused> {
        if let Some(&slot) = self.slots.get(uid) {
            return match want {
                Some(want) if want != slot => Err(Refused::Taken(uid.to_owned())),
                _ => Ok(slot),
            };
        }
        let slot = match want {
            Some(want) => self.wanted(want)?,
            None => self.free().ok_or(Refused::Full)?,
        };
        self.owners.insert(slot, uid.to_owned());
        self.slots.insert(uid.to_owned(), slot);
        Ok(slot)
    }

    pub(crate) fn release(&mut self, uid: &str) -> Option<u16> {
        let slot = self.slots.remove(uid)?;
        self.owners.remove(&slot);
        Some(slot)
    }

    pub(crate) fn get(&self, uid: &str) -> Option<u16> {
        self.slots.get(uid).copied()
    }

    pub(crate) fn uids(&self) -> Vec<String> {
        self.owners.values().cloned().collect()
    }

    fn wanted(&self, want: u16) -> Result<u16, Refused> {
        if !(self.first..=self.last).contains(&want) {
            return Err(Refused::Outside);
        }
        self.owners.get(&want).map_or(Ok(want), |owner| Err(Refused::Taken(owner.clone())))
    }

    fn free(&mut self) -> Option<u16> {
        let found = (self.next..=self.last)
            .chain(self.first..self.next)
            .find(|slot| !self.owners.contains_key(slot))?;
        self.next = if found == self.last { self.first } else { found + 1 };
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_keeps_its_slot_and_nobody_else_gets_it() {
        let mut slots = Slots::new(2, 4);
        assert_eq!(slots.take("a", None), Ok(2));
        assert_eq!(slots.take("a", None), Ok(2));
        assert_eq!(slots.take("a", Some(2)), Ok(2));
        assert_eq!(slots.take("a", Some(3)), Err(Refused::Taken("a".to_owned())));
        assert_eq!(slots.take("b", Some(2)), Err(Refused::Taken("a".to_owned())));
        assert_eq!(slots.take("b", Some(4)), Ok(4));
        assert_eq!(slots.take("c", None), Ok(3));
        assert_eq!(slots.take("d", None), Err(Refused::Full));
        assert_eq!(slots.take("d", Some(5)), Err(Refused::Outside));
        assert_eq!(slots.take("d", Some(1)), Err(Refused::Outside), "the gateway's");
    }

    #[test]
    fn a_freed_slot_is_reused_last() {
        let mut slots = Slots::new(2, 4);
        slots.take("a", None).unwrap();
        assert_eq!(slots.release("a"), Some(2));
        assert_eq!(slots.release("a"), None);
        assert_eq!(slots.take("b", None), Ok(3));
        assert_eq!(slots.take("c", None), Ok(4));
        assert_eq!(slots.take("d", None), Ok(2));
        assert_eq!(slots.uids(), ["d", "b", "c"]);
    }
}
