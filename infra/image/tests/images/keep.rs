//! Names, sharing, removal, restarts.

use crate::fixture::{Layer, place};
use image::{Error, Images, Removed};
use std::fs;

fn tar(name: &str) -> Vec<u8> {
    Layer::default().file(name, name).tar()
}

#[tokio::test]
async fn images_share_the_layers_that_they_have_in_common() {
    let place = place();
    let first = place.import(vec![tar("base"), tar("one")]).await.unwrap();
    let second = place.import(vec![tar("base"), tar("two")]).await.unwrap();
    assert_eq!(first.lowers[1], second.lowers[1]);
    assert_eq!(place.children("layers"), 3);
    // The name has moved to the second image; the first one is still held.
    drop(first);
    place.images.collect().await.unwrap();
    assert_eq!(place.children("layers"), 2);
    assert!(second.lowers.iter().all(|lower| lower.is_dir()));
}

#[tokio::test]
async fn a_layer_that_is_repeated_is_mounted_once() {
    let place = place();
    let image = place.import(vec![tar("a"), tar("b"), tar("a")]).await.unwrap();
    assert_eq!(image.lowers.len(), 2);
    assert!(image.lowers[0].join("a").exists());
}

#[tokio::test]
async fn removing_an_image_in_use_keeps_its_layers_until_it_is_not() {
    let place = place();
    let image = place.import(vec![tar("a")]).await.unwrap();
    assert_eq!(place.images.remove("local/test:1").await.unwrap(), Removed::InUse);
    assert!(image.lowers[0].join("a").exists());
    assert!(matches!(place.images.get("local/test:1").await, Err(Error::NotPresent { .. })));
    let again = place.images.hold("local/test:1", &image.digest).await.unwrap();
    drop(image);
    assert_eq!(place.images.collect().await.unwrap(), 0);
    drop(again);
    assert_eq!(place.images.collect().await.unwrap(), 1);
    assert_eq!((place.children("layers"), place.children("records")), (0, 0));
}

#[tokio::test]
async fn removing_an_unused_image_frees_its_layers_at_once() {
    let place = place();
    drop(place.import(vec![tar("a")]).await.unwrap());
    assert_eq!(place.images.remove("local/test:1").await.unwrap(), Removed::Gone);
    assert_eq!((place.children("layers"), place.children("records"), place.children("tmp")), (0, 0, 0));
    assert!(matches!(place.images.remove("local/test:1").await, Err(Error::NotPresent { .. })));
    assert!(place.images.remove("host").await.is_err());
}

#[tokio::test]
async fn after_a_restart_images_are_there_and_half_made_things_are_not() {
    let place = place();
    let digest = place.import(vec![tar("a")]).await.unwrap().digest;
    let dir = place.dir.path().join("images");
    fs::create_dir_all(dir.join("tmp/half/root")).unwrap();
    fs::write(dir.join("tmp/half/root/f"), "").unwrap();
    let images = Images::open(dir.clone()).unwrap();
    assert_eq!(place.children("tmp"), 0);
    let image = images.get("local/test:1").await.unwrap();
    assert_eq!(image.digest, digest);
    assert!(image.lowers[0].join("a").exists());
    assert_eq!(images.list().iter().map(|image| image.bytes > 0).collect::<Vec<_>>(), [false, true]);
    // Somebody deleted a layer: the image is not complete and must not be offered.
    fs::remove_dir_all(&image.lowers[0]).unwrap();
    assert!(matches!(Images::open(dir).unwrap().get("local/test:1").await, Err(Error::NotPresent { .. })));
}

#[tokio::test]
async fn nobody_but_root_reaches_the_layers() {
    use std::os::unix::fs::MetadataExt;
    let place = place();
    assert_eq!(fs::metadata(place.dir.path().join("images")).unwrap().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn nothing_is_deleted_while_it_is_not_known_what_runs() {
    let place = place();
    drop(place.import(vec![tar("a")]).await.unwrap());
    let images = Images::open(place.dir.path().join("images")).unwrap();
    let put_off = images.put_off();
    images.remove("local/test:1").await.unwrap();
    assert_eq!(images.collect().await.unwrap(), 0);
    assert_eq!(place.children("layers"), 1, "a container may run from it");
    drop(put_off);
    assert_eq!(images.collect().await.unwrap(), 1);
}
