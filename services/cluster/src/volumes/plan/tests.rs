use super::super::view::ClaimRef;
use super::*;

const UID: &str = "u-1";

fn size(text: &str) -> Option<(Quantity, Text)> {
    Some((Quantity::parse(text).unwrap(), text.into()))
}

fn wanting(request: &str) -> ClaimView {
    ClaimView {
        uid: UID.into(),
        class: Some("standard".into()),
        request: size(request),
        modes: ["ReadWriteOnce".into()].into(),
        volume_mode: "Filesystem".into(),
        phase: "Pending".into(),
        ..ClaimView::default()
    }
}

fn free(capacity: &str) -> VolumeView {
    VolumeView {
        class: "standard".into(),
        capacity: size(capacity),
        modes: ["ReadWriteOnce".into()].into(),
        volume_mode: "Filesystem".into(),
        phase: "Available".into(),
        ..VolumeView::default()
    }
}

fn taken_by(uid: &str) -> VolumeView {
    let claim = ClaimRef { namespace: "ns".into(), name: "data".into(), uid: uid.into() };
    VolumeView { claim: Some(claim), phase: "Bound".into(), reclaim: true, ours: true, ..free("1Gi") }
}

fn step_of(claim: &ClaimView, volumes: &[(&str, VolumeView)], used: bool) -> ClaimStep {
    let key = Key::new("ns", "data");
    let volumes: Vec<_> = volumes.iter().map(|(name, v)| (Key::new("", name), Arc::new(v.clone()))).collect();
    let standard = ClassView { provisioner: PROVISIONER.into(), default: true, ..ClassView::default() };
    let other = ClassView { provisioner: "other.io/x".into(), ..ClassView::default() };
    let classes = [(Key::new("", "standard"), Arc::new(standard)), (Key::new("", "other"), Arc::new(other))];
    let disk = Some(("host", Quantity::parse("40Gi").unwrap()));
    super::claim(&ClaimFacts { key: &key, claim, volumes: &volumes, classes: &classes, disk, used })
}

fn check(claim: &ClaimView, volumes: &[(&str, VolumeView)]) -> ClaimStep {
    step_of(claim, volumes, false)
}

fn reason(step: &ClaimStep) -> (&str, &str) {
    match step {
        ClaimStep::Tell { reason, note, .. } => (reason, note),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_claim_of_our_class_gets_a_volume_of_its_own_that_the_node_agent_must_remove() {
    let ClaimStep::Provision(volume) =
        check(&wanting("1Gi"), &[("large", VolumeView { class: "x".into(), ..free("9Gi") })])
    else {
        panic!("not provisioned")
    };
    assert_eq!(volume["metadata"]["name"], "pvc-u-1");
    assert_eq!(volume["metadata"]["finalizers"], json!([VOLUME_FINALIZER]));
    assert_eq!(volume["spec"]["claimRef"]["uid"], UID);
    assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Delete");
}

#[test]
fn a_claim_larger_than_the_disk_stays_pending_and_says_what_to_do() {
    let step = check(&wanting("10Ti"), &[]);
    let (reason, note) = reason(&step);
    assert_eq!(reason, "ProvisioningFailed");
    assert!(note.contains("10Ti") && note.contains("40Gi") && note.contains("ask for less"), "{note}");
}

#[test]
fn the_smallest_free_volume_that_fits_is_taken() {
    let volumes = [("big", free("9Gi")), ("small", free("1Gi")), ("fits", free("3Gi"))];
    assert_eq!(check(&wanting("2Gi"), &volumes), ClaimStep::Bind("fits".into()));
    let busy = [("fits", taken_by("somebody else"))];
    assert!(matches!(check(&wanting("1Gi"), &busy), ClaimStep::Provision(_)));
}

#[test]
fn after_a_crash_between_two_writes_binding_goes_on_where_it_was() {
    assert_eq!(check(&wanting("1Gi"), &[("pvc-u-1", taken_by(UID))]), ClaimStep::Bind("pvc-u-1".into()));
    let named = ClaimView { volume: "pvc-u-1".into(), completed: true, ..wanting("1Gi") };
    assert_eq!(check(&named, &[("pvc-u-1", taken_by(UID))]), ClaimStep::Publish("pvc-u-1".into()));
    let done = ClaimView { phase: "Bound".into(), ..named };
    assert_eq!(check(&done, &[("pvc-u-1", taken_by(UID))]), ClaimStep::Nothing);
    assert_eq!(check(&done, &[]), ClaimStep::Lose);
}

#[test]
fn a_claim_without_a_class_gets_the_default_and_an_empty_class_waits_for_a_person() {
    let open = ClaimView { class: None, ..wanting("1Gi") };
    assert_eq!(check(&open, &[]), ClaimStep::SetClass("standard".into()));
    let none = ClaimView { class: Some(Text::default()), ..wanting("1Gi") };
    assert_eq!(reason(&check(&none, &[])).0, "FailedBinding");
    let missing = ClaimView { class: Some("fast".into()), ..wanting("1Gi") };
    assert_eq!(reason(&check(&missing, &[])).1, "storageclass.storage.k8s.io \"fast\" not found");
    let other = ClaimView { class: Some("other".into()), ..wanting("1Gi") };
    assert_eq!(reason(&check(&other, &[])).0, "ExternalProvisioning");
}

#[test]
fn a_claim_in_use_is_kept_until_its_pod_is_gone() {
    let going = ClaimView { deleting: true, finalizers: [CLAIM_FINALIZER.into()].into(), ..wanting("1Gi") };
    assert_eq!(step_of(&going, &[], true), ClaimStep::Nothing);
    assert_eq!(step_of(&going, &[], false), ClaimStep::Unprotect);
}

#[test]
fn a_volume_follows_its_claim() {
    let key = Key::new("", "pvc-u-1");
    let bound = ClaimView { volume: "pvc-u-1".into(), ..wanting("1Gi") };
    let released = VolumeView { phase: "Released".into(), ..taken_by(UID) };
    let retained = VolumeView { reclaim: false, ..released.clone() };
    let by_hand = VolumeView { ours: false, ..released.clone() };
    let cases = [
        (taken_by(UID), Some(&bound), VolumeStep::Nothing),
        (VolumeView { phase: Text::default(), ..taken_by(UID) }, Some(&bound), VolumeStep::Phase("Bound")),
        (VolumeView { phase: Text::default(), ..free("1Gi") }, None, VolumeStep::Phase("Available")),
        (taken_by(UID), None, VolumeStep::Release),
        (taken_by("another uid"), Some(&bound), VolumeStep::Release),
        (released.clone(), None, VolumeStep::Delete),
        (retained, None, VolumeStep::Nothing),
        (by_hand, None, VolumeStep::Nothing),
        (VolumeView { deleting: true, ..released }, None, VolumeStep::Nothing),
    ];
    for (volume, claim, expected) in cases {
        assert_eq!(volume_step(&volume, &key, claim), expected, "{volume:?}");
    }
}
