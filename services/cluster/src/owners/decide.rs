//! What becomes of an object, given the state of its owners. Pure.
use super::graph::{Known, Owner};
use kube::api::PropagationPolicy;
use kubekit::Text;

/// What is known about an owner, verified with the server where it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It exists, and it is not waiting for its dependents to go.
    Solid,
    /// It exists, and its foreground deletion waits for its dependents.
    Waiting,
    /// The server says it does not exist.
    Absent,
    /// Its kind is not served here, or it cannot be an owner of this object: nothing is concluded.
    Unknown,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Keep,
    /// Take these owners off the object: it has others.
    Disown(Vec<Text>),
    /// Delete it.
    Delete(PropagationPolicy),
    /// Delete it in the foreground, and let none of its owners wait for it: they wait for each other.
    BreakCircle,
}

/// Judges an object that is not being deleted. `dependents`: what the graph knows to depend on it.
pub(super) fn judge(object: &Known, states: &[(Owner, State)], dependents: &[&Known]) -> Verdict {
    if states.is_empty() {
        return Verdict::Keep;
    }
    let any = |wanted: State| states.iter().any(|(_, state)| *state == wanted);
    let goes = |state: State| matches!(state, State::Absent | State::Waiting);
    if states.iter().any(|(_, state)| !goes(*state)) {
        let off: Vec<_> = states.iter().filter(|(_, s)| goes(*s)).map(|(o, _)| o.uid.clone()).collect();
        return if off.is_empty() || any(State::Unknown) { Verdict::Keep } else { Verdict::Disown(off) };
    }
    if any(State::Waiting) && !dependents.is_empty() {
        let circle = dependents.iter().any(|dependent| dependent.deleting && dependent.foreground);
        return if circle { Verdict::BreakCircle } else { Verdict::Delete(PropagationPolicy::Foreground) };
    }
    Verdict::Delete(match object {
        Known { orphans: true, .. } => PropagationPolicy::Orphan,
        Known { foreground: true, .. } => PropagationPolicy::Foreground,
        _ => PropagationPolicy::Background,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Known {
        Known { uid: "me".into(), owners: [].into(), deleting: false, foreground: false, orphans: false }
    }

    fn owner(uid: &str) -> Owner {
        Owner {
            uid: uid.into(),
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: "p".into(),
            blocks: true,
        }
    }

    fn check(states: &[(&str, State)], dependents: &[&Known]) -> Verdict {
        let states: Vec<_> = states.iter().map(|(uid, state)| (owner(uid), *state)).collect();
        judge(&object(), &states, dependents)
    }

    #[test]
    fn an_object_lives_as_long_as_one_owner_does() {
        use State::{Absent, Solid, Unknown, Waiting};
        let background = Verdict::Delete(PropagationPolicy::Background);
        let off = |uid: &str| Verdict::Disown(vec![uid.into()]);
        assert_eq!(check(&[], &[]), Verdict::Keep);
        assert_eq!(check(&[("a", Solid)], &[]), Verdict::Keep);
        assert_eq!(check(&[("a", Absent)], &[]), background);
        assert_eq!(check(&[("a", Absent), ("b", Solid)], &[]), off("a"));
        assert_eq!(check(&[("a", Waiting), ("b", Solid)], &[]), off("a"));
        assert_eq!(check(&[("a", Unknown)], &[]), Verdict::Keep);
        assert_eq!(check(&[("a", Absent), ("b", Unknown)], &[]), Verdict::Keep);
    }

    #[test]
    fn foreground_deletion_goes_down_before_it_goes_up() {
        let leaf = object();
        let foreground = Verdict::Delete(PropagationPolicy::Foreground);
        assert_eq!(check(&[("a", State::Waiting)], &[&leaf]), foreground);
        assert_eq!(check(&[("a", State::Waiting)], &[]), Verdict::Delete(PropagationPolicy::Background));
    }

    #[test]
    fn owners_that_wait_for_each_other_do_not_wait_for_ever() {
        let dependent = Known { deleting: true, foreground: true, ..object() };
        assert_eq!(check(&[("a", State::Waiting)], &[&dependent]), Verdict::BreakCircle);
    }

    #[test]
    fn what_the_object_itself_asked_for_is_kept() {
        let states = [(owner("a"), State::Absent)];
        let orphans = Known { orphans: true, ..object() };
        assert_eq!(judge(&orphans, &states, &[]), Verdict::Delete(PropagationPolicy::Orphan));
    }
}
