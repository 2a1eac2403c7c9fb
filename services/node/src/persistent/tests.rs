use super::*;

fn place(names: &[&str]) -> (tempfile::TempDir, std::path::PathBuf, Trash) {
    let place = tempfile::tempdir().unwrap();
    let (dir, trash) = (place.path().join("volumes"), place.path().join("trash"));
    for name in names {
        std::fs::create_dir_all(dir.join(name)).unwrap();
    }
    std::fs::create_dir(&trash).unwrap();
    (place, dir, Trash::new(trash))
}

fn left(dir: &Path) -> Vec<String> {
    let mut left = sweep::names(dir);
    left.sort();
    left
}

#[test]
fn the_data_of_a_volume_that_a_claim_still_has_stays() {
    let volume = |bound| Volume {
        handle: "pvc-a".into(),
        retain: false,
        finalizers: [FINALIZER.into()].into(),
        deleting: true,
        bound,
    };
    assert!(!volume(true).is_ours_to_remove());
    assert!(volume(false).is_ours_to_remove());
}

#[test]
fn data_of_provisioned_volumes_without_an_object_goes_and_all_else_stays() {
    let (place, dir, trash) = place(&["pvc-owned", "pvc-gone", "by-hand"]);
    let known = BTreeSet::from(["pvc-owned".to_owned()]);
    discard_unowned(&dir, sweep::names(&dir), &known, &trash);
    assert_eq!(left(&dir), ["by-hand", "pvc-owned"]);
    assert_eq!(left(&place.path().join("trash")).len(), 1);
}

/// Kubernetes: under Retain the data stays when the `PersistentVolume` is deleted; under Delete it goes with it.
#[test]
fn only_the_policy_delete_loses_data() {
    let (place, dir, trash) = place(&["pvc-kept", "pvc-gone", "by-hand"]);
    reclaim(&dir, "pvc-kept", true, &trash).unwrap();
    reclaim(&dir, "pvc-gone", false, &trash).unwrap();
    reclaim(&dir, "by-hand", true, &trash).unwrap();
    // A crash came between the move and the patch of the object.
    reclaim(&dir, "pvc-kept", true, &trash).unwrap();
    discard_unowned(&dir, sweep::names(&dir), &BTreeSet::new(), &trash);
    assert_eq!(left(&dir), ["by-hand", "retained-pvc-kept"]);
    assert_eq!(left(&place.path().join("trash")).len(), 1);
}

#[test]
fn a_volume_without_a_policy_is_retained() {
    let volume = |policy: Option<&str>| {
        let spec = serde_json::json!({"persistentVolumeReclaimPolicy": policy, "csi": {"driver": "d", "volumeHandle": "h"}});
        Volume::of(PersistentVolume { spec: serde_json::from_value(spec).unwrap(), ..Default::default() })
    };
    assert!(volume(None).retain && volume(Some("Retain")).retain && !volume(Some("Delete")).retain);
    assert_eq!(volume(None).handle, "h");
}
