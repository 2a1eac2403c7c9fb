//! Which objects belong to a controller: those that name it as their controller and match its selector. One without a controller that
//! matches is taken; one that no longer matches is let go.

use crate::{Labels, selects};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use wire::LabelSelector;

/// Who claims.
#[derive(Clone, Debug)]
pub struct Owner<'a> {
    /// Its uid.
    pub uid: &'a str,
    /// It is being deleted: it takes and lets go nothing more.
    pub deleting: bool,
    /// What it selects.
    pub selector: &'a LabelSelector,
}

/// What is asked of an object that may belong to it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Its owners.
    pub owners: &'a [OwnerReference],
    /// It is being deleted.
    pub deleting: bool,
}

/// What becomes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the owner's.
    Own,
    /// It has no controller and matches: the owner becomes it.
    Adopt,
    /// It is the owner's and no longer matches: the owner lets go.
    Release,
    /// None of the owner's business.
    Ignore,
}

/// The reference that names the controller.
pub fn controller(owners: &[OwnerReference]) -> Option<&OwnerReference> {
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// Decides about one candidate.
pub fn claim(owner: &Owner<'_>, candidate: Candidate<'_>) -> Claim {
    let matches = selects(owner.selector, candidate.labels);
    match controller(candidate.owners) {
        Some(found) if found.uid != owner.uid => Claim::Ignore,
        Some(_) if matches => Claim::Own,
        Some(_) if owner.deleting => Claim::Ignore,
        Some(_) => Claim::Release,
        None if matches && !owner.deleting && !candidate.deleting => Claim::Adopt,
        None => Claim::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(uid: &str, controller: bool) -> OwnerReference {
        OwnerReference { uid: uid.to_owned(), controller: Some(controller), ..OwnerReference::default() }
    }

    #[test]
    fn an_object_belongs_to_its_controller_or_to_who_selects_it_first() {
        let selector = LabelSelector::parse("app=web").unwrap();
        let web = Labels::from([("app".to_owned(), "web".to_owned())]);
        let other = Labels::new();
        let check = |labels: &Labels, owners: &[OwnerReference], going: bool, candidate_going: bool| {
            let owner = Owner { uid: "me", deleting: going, selector: &selector };
            claim(&owner, Candidate { labels, owners, deleting: candidate_going })
        };
        let mine = [reference("me", true)];
        assert_eq!(check(&web, &mine, false, false), Claim::Own);
        assert_eq!(check(&web, &mine, true, true), Claim::Own);
        assert_eq!(check(&other, &mine, false, false), Claim::Release);
        assert_eq!(check(&other, &mine, true, false), Claim::Ignore);
        assert_eq!(check(&web, &[reference("you", true)], false, false), Claim::Ignore);
        assert_eq!(check(&web, &[], false, false), Claim::Adopt);
        assert_eq!(check(&web, &[reference("you", false)], false, false), Claim::Adopt);
        assert_eq!(check(&web, &[], true, false), Claim::Ignore);
        assert_eq!(check(&web, &[], false, true), Claim::Ignore);
        assert_eq!(check(&other, &[], false, false), Claim::Ignore);
    }

    #[test]
    fn an_empty_selector_takes_nothing() {
        let owner = Owner { uid: "me", deleting: false, selector: &LabelSelector::default() };
        let candidate = Candidate { labels: &Labels::new(), owners: &[], deleting: false };
        assert_eq!(claim(&owner, candidate), Claim::Ignore);
    }
}
