//! Names are those of Kubernetes 1.36's discovery; Sandbox kinds are those of the CRD documents.

use super::*;

#[test]
fn kinds_have_kubernetes_names() {
    for (group, version, plural, kind, short, namespaced) in [
        ("", "v1", "pods", "Pod", "po", true),
        ("", "v1", "persistentvolumes", "PersistentVolume", "pv", false),
        ("apps", "v1", "deployments", "Deployment", "deploy", true),
        ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", "netpol", true),
        ("agents.x-k8s.io", "v1beta1", "sandboxes", "Sandbox", "sandbox", true),
    ] {
        let found = lookup(group, version, plural).unwrap();
        assert_eq!((found.kind.as_ref(), found.namespaced), (kind, namespaced));
        assert!(found.short_names.iter().any(|s| s == short));
        assert_eq!(by_kind(group, version, kind).unwrap().plural, plural);
    }
    assert!(lookup("apps", "v1", "statefulsets").is_none());
}

#[test]
fn names_are_unique_within_a_group_version() {
    let mut seen = std::collections::BTreeSet::new();
    for kind in table() {
        assert!(seen.insert((kind.api_version(), kind.plural.clone())), "{kind:?}");
    }
}

#[test]
fn one_kind_in_two_versions_has_one_storage() {
    let core = lookup("", "v1", "events").unwrap();
    let new = lookup("events.k8s.io", "v1", "events").unwrap();
    assert_eq!(core.storage, new.storage);
    assert_eq!((core.stored_api_version(), new.stored_api_version()), (None, Some("v1".to_owned())));
    let beta = lookup("agents.x-k8s.io", "v1beta1", "sandboxes").unwrap();
    let alpha = lookup("agents.x-k8s.io", "v1alpha1", "sandboxes").unwrap();
    assert_eq!(beta.storage, alpha.storage);
    assert_eq!(alpha.stored_api_version().as_deref(), Some("agents.x-k8s.io/v1beta1"));
}

#[test]
fn sandbox_kinds_agree_with_their_crds() {
    let documents = [
        include_str!("../../../../api/crd/crds/agents.x-k8s.io_sandboxes.yaml"),
        include_str!("../../../../api/crd/crds/extensions.agents.x-k8s.io_sandboxclaims.yaml"),
        include_str!("../../../../api/crd/crds/extensions.agents.x-k8s.io_sandboxtemplates.yaml"),
        include_str!("../../../../api/crd/crds/extensions.agents.x-k8s.io_sandboxwarmpools.yaml"),
    ];
    let mut count = 0;
    for document in documents {
        let crd: serde_json::Value = serde_saphyr::from_str(document).unwrap();
        for made in Kind::from_crd(&crd) {
            let fixed = lookup(&made.group, &made.version, &made.plural).unwrap();
            assert_eq!(format!("{made:?}"), format!("{fixed:?}"));
            count += 1;
        }
    }
    assert_eq!(count, 8);
}
