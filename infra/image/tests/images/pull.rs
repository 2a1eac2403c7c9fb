//! Pulls from a registry on loopback.

use crate::{
    fixture::{Built, Layer, Packing, build, digest, place},
    registry::Registry,
};
use image::{Credentials, Error, Progress};
use parking_lot::Mutex;
use std::{fs, sync::Arc};

/// A layer that does not compress.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let text: String = (0..200_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + u8::try_from((state >> 40) % 26).unwrap())
        })
        .collect();
    Layer::default().file("noise", &text).tar()
}

fn app() -> Built {
    build(&[noise(1), Layer::default().file("f", "x").tar()], Packing::Gzip)
}

#[tokio::test]
async fn a_tag_is_pulled_with_progress_for_each_layer() {
    let (place, registry, built) = (place(), Registry::start().await, app());
    registry.offer("1", &built);
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let notes = seen.clone();
    let image = place
        .images
        .pull(&registry.name("1"), None, move |progress| notes.lock().push(progress))
        .await
        .unwrap();
    assert_eq!(image.digest, built.manifest);
    assert_eq!(fs::read_to_string(image.lowers[0].join("f")).unwrap(), "x");
    assert_eq!(image.lowers.len(), 2);
    for layer in &built.layers {
        let last = seen.lock().iter().rfind(|progress| progress.layer == *layer).cloned().unwrap();
        assert!(last.ready && last.done == last.total && last.total > 0, "{last:?}");
    }
    assert_eq!(place.children("downloads"), 0);
    assert_eq!(place.images.list()[1].reference, registry.name("1"));
}

#[tokio::test]
async fn a_digest_is_pulled_and_a_registry_that_lies_is_refused() {
    let (place, registry, built) = (place(), Registry::start().await, app());
    registry.offer("1", &built);
    let name = format!("{}/app@{}", registry.address, built.manifest);
    assert_eq!(place.images.pull(&name, None, |_| {}).await.unwrap().digest, built.manifest);
    let wrong = digest(b"wrong");
    let other = registry.shop.lock().blobs[&built.manifest].clone();
    registry.shop.lock().blobs.insert(wrong.clone(), other);
    let error =
        place.images.pull(&format!("{}/app@{wrong}", registry.address), None, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

#[tokio::test]
async fn layers_that_are_here_are_not_fetched_again() {
    let (place, registry, built) = (place(), Registry::start().await, app());
    registry.offer("1", &built);
    place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap();
    let second = build(&[noise(1), Layer::default().file("g", "y").tar()], Packing::Gzip);
    registry.offer("2", &second);
    registry.shop.lock().asked.clear();
    place.images.pull(&registry.name("2"), None, |_| {}).await.unwrap();
    let asked = registry.shop.lock().asked.clone();
    assert!(!asked.iter().any(|(blob, _)| *blob == second.layers[0]), "{asked:?}");
    assert_eq!(place.children("layers"), 3);
}

#[tokio::test]
async fn two_pulls_at_once_fetch_each_layer_once() {
    let (place, registry, built) = (place(), Registry::start().await, app());
    registry.offer("1", &built);
    registry.offer("2", &built);
    let (first, second) = (registry.name("1"), registry.name("2"));
    let (first, second) =
        tokio::join!(place.images.pull(&first, None, |_| {}), place.images.pull(&second, None, |_| {}));
    assert_eq!(first.unwrap().lowers, second.unwrap().lowers);
    let fetched = registry.shop.lock().asked.iter().filter(|(blob, _)| *blob == built.layers[0]).count();
    assert_eq!(fetched, 1);
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_ended() {
    let (place, registry, built) = (place(), Registry::start().await, app());
    registry.offer("1", &built);
    registry.shop.lock().break_off = 2;
    place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap();
    let offsets: Vec<usize> = registry
        .shop
        .lock()
        .asked
        .iter()
        .filter(|(blob, _)| *blob == built.layers[0])
        .map(|(_, from)| *from)
        .collect();
    assert_eq!((offsets.len(), offsets[0]), (3, 0));
    assert!(offsets[1] > 0 && offsets[2] > offsets[1], "{offsets:?}");
}

#[tokio::test]
async fn a_pull_that_failed_is_resumed_by_the_next_one_even_after_a_restart() {
    let (place, registry, built) = (place(), Registry::start().await, app());
    registry.offer("1", &built);
    registry.shop.lock().break_off = 4;
    let error = place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(matches!(place.images.get(&registry.name("1")).await, Err(Error::NotPresent { .. })));
    assert_eq!((place.children("downloads"), place.children("tmp")), (1, 0));
    registry.shop.lock().asked.clear();
    let images = image::Images::open(place.dir.path().join("images")).unwrap();
    images.pull(&registry.name("1"), None, |_| {}).await.unwrap();
    let asked = registry.shop.lock().asked.clone();
    assert!(asked.iter().any(|(blob, from)| *blob == built.layers[0] && *from > 0), "{asked:?}");
}

#[tokio::test]
async fn a_registry_without_ranges_starts_the_blob_again() {
    let (place, registry, built) = (place(), Registry::start().await, app());
    registry.offer("1", &built);
    (registry.shop.lock().break_off, registry.shop.lock().ranges) = (1, false);
    let image = place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap();
    assert!(image.lowers[1].join("noise").is_file());
}

#[tokio::test]
async fn a_wrong_part_from_an_earlier_try_does_not_stay() {
    let (place, registry, built) = (place(), Registry::start().await, app());
    registry.offer("1", &built);
    let part = place.dir.path().join("images/downloads").join(&built.layers[0][7..]);
    fs::write(&part, "not the beginning").unwrap();
    let error = place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap();
}

#[tokio::test]
async fn a_blob_longer_than_its_manifest_says_is_refused() {
    let (place, registry, built) = (place(), Registry::start().await, app());
    registry.offer("1", &built);
    registry.shop.lock().blobs.get_mut(&built.layers[1]).unwrap().extend_from_slice(&[0; 5000]);
    let error = place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    assert_eq!(place.images.list().len(), 1);
}

#[tokio::test]
async fn the_variant_for_this_machine_is_chosen_from_an_index() {
    let (place, registry) = (place(), Registry::start().await);
    let (mut built, other) = (app(), build(&[Layer::default().file("no", "").tar()], Packing::Gzip));
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let entry = |built: &Built, architecture: &str| {
        let size = built.blobs[&built.manifest].len();
        serde_json::json!({"digest": built.manifest, "size": size, "platform": {"architecture": architecture, "os": "linux"}})
    };
    let entries = [entry(&other, "mips"), entry(&built, architecture)];
    registry.offer("other", &other);
    let index = built.document(&serde_json::json!({"schemaVersion": 2, "manifests": entries}));
    built.manifest = index;
    registry.offer("1", &built);
    let image = place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap();
    assert!(image.lowers[0].join("f").exists());
    assert_eq!(image.digest, built.manifest);
    let mut none = other.clone();
    none.manifest =
        none.document(&serde_json::json!({"schemaVersion": 2, "manifests": [entry(&other, "mips")]}));
    registry.offer("none", &none);
    let error = place.images.pull(&registry.name("none"), None, |_| {}).await.unwrap_err();
    assert!(matches!(&error, Error::NoPlatform { found, .. } if found == "linux/mips"), "{error}");
}

#[tokio::test]
async fn an_anonymous_token_is_fetched_where_the_registry_wants_one() {
    let (place, registry) = (place(), Registry::start().await);
    registry.offer("1", &app());
    registry.shop.lock().token = Some(("t0ken".into(), None));
    place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap();
}

#[tokio::test]
async fn credentials_are_used_and_their_lack_is_named() {
    let (place, registry) = (place(), Registry::start().await);
    registry.offer("1", &app());
    // "ann:secret" in base64.
    registry.shop.lock().token = Some(("t0ken".into(), Some("Basic YW5uOnNlY3JldA==".into())));
    let error = place.images.pull(&registry.name("1"), None, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    let ann = Credentials { username: "ann".into(), password: "secret".into() };
    assert!(!format!("{ann:?}").contains("secret"));
    place.images.pull(&registry.name("1"), Some(ann), |_| {}).await.unwrap();
}

#[tokio::test]
async fn errors_name_the_image_and_what_to_do() {
    let (place, registry) = (place(), Registry::start().await);
    let missing = place.images.pull(&registry.name("nope"), None, |_| {}).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    assert!(missing.to_string().contains("app:nope") && missing.to_string().contains("check"), "{missing}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("{}/app:1", listener.local_addr().unwrap());
    drop(listener);
    let error = place.images.pull(&closed, None, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.to_string().contains("refused"), "{error}");
}
