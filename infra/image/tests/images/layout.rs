//! OCI layouts.

use crate::fixture::{Layer, Packing, build, place};
use std::{fs, process::Command};

#[tokio::test]
async fn a_layout_is_imported_whatever_its_layers_are_packed_with() {
    let place = place();
    for (packing, name) in [(Packing::Plain, "plain"), (Packing::Gzip, "gzip"), (Packing::Zstd, "zstd")] {
        let layout = place.dir.path().join(name);
        build(&[Layer::default().file("f", name).tar()], packing).layout(&layout);
        let image = place.images.import(&layout, &format!("local/{name}")).await.unwrap();
        assert_eq!(fs::read_to_string(image.lowers[0].join("f")).unwrap(), name);
    }
    let config = place.images.get("local/gzip").await.unwrap().config;
    assert_eq!((&config.entrypoint[..], &config.cmd[..]), (&["/bin/tool".to_owned()][..], &[][..]));
    assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("1000:1000", "/w"));
    assert_eq!(
        (config.exposed_ports, config.stop_signal),
        (vec!["80/tcp".to_owned()], Some("SIGINT".into()))
    );
    assert_eq!((config.env, config.labels.get("l").map(String::as_str)), (vec!["A=b".to_owned()], Some("m")));
}

#[tokio::test]
async fn an_archive_of_a_layout_is_imported() {
    let place = place();
    let layout = place.dir.path().join("layout");
    build(&[Layer::default().file("f", "x").tar()], Packing::Gzip).layout(&layout);
    let archive = place.dir.path().join("image.tar");
    let packed =
        Command::new("tar").args(["-cf"]).arg(&archive).arg("-C").arg(&layout).arg(".").status().unwrap();
    assert!(packed.success());
    let image = place.images.import(&archive, "local/test").await.unwrap();
    assert_eq!(fs::read_to_string(image.lowers[0].join("f")).unwrap(), "x");
    assert_eq!(place.children("tmp"), 0);
}

#[tokio::test]
async fn a_layout_with_changed_content_is_refused() {
    let place = place();
    let built = build(&[Layer::default().file("f", "x").tar()], Packing::Gzip);
    for name in built.blobs.keys() {
        let layout = place.dir.path().join("layout");
        let mut changed = built.clone();
        changed.blobs.get_mut(name).unwrap()[20] ^= 1;
        changed.layout(&layout);
        let error = place.images.import(&layout, "local/test").await.unwrap_err();
        assert!(matches!(error, image::Error::Invalid { .. }), "{error}");
        fs::remove_dir_all(layout).unwrap();
    }
    assert_eq!(place.images.list().len(), 1);
}

#[tokio::test]
async fn a_layer_that_is_not_what_the_configuration_says_is_refused() {
    let place = place();
    let mut built = build(&[Layer::default().file("f", "x").tar()], Packing::Gzip);
    let other = crate::fixture::pack(&Layer::default().file("f", "other").tar(), Packing::Gzip);
    let manifest: serde_json::Value = serde_json::from_slice(&built.blobs[&built.manifest]).unwrap();
    let layer = built.add(other);
    built.manifest = built
        .document(&serde_json::json!({"schemaVersion": 2, "config": manifest["config"], "layers": [layer]}));
    let layout = place.dir.path().join("layout");
    built.layout(&layout);
    let error = place.images.import(&layout, "local/test").await.unwrap_err().to_string();
    assert!(error.contains("diff id"), "{error}");
}

#[tokio::test]
async fn what_is_no_layout_is_refused_by_path() {
    let place = place();
    let error = place.images.import(place.dir.path(), "local/test").await.unwrap_err().to_string();
    assert!(error.contains("index.json"), "{error}");
    let missing = place.dir.path().join("missing");
    let error = place.images.import(&missing, "local/test").await.unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    assert!(place.images.import(place.dir.path(), "host").await.is_err());
}

/// `docker save` before Docker 25 wrote `manifest.json` and one directory for each layer.
#[tokio::test]
async fn an_old_docker_archive_is_refused_with_the_remedy_and_nothing_of_it_is_written_outside() {
    let place = place();
    let archive = place.dir.path().join("old.tar");
    let layer = "0123456789abcdef".repeat(4);
    let hostile = Layer::default()
        .file("manifest.json", r#"[{"Config":"../../escaped","Layers":["../../../escaped"]}]"#)
        .file(&format!("{layer}/layer.tar"), "x")
        .symlink("index.json.d", "/")
        .file("blobs/sha256/../../../../escaped", "x")
        .file("../escaped", "x")
        .file("/escaped", "x");
    fs::write(&archive, hostile.tar()).unwrap();
    let error = place.images.import(&archive, "local/test").await.unwrap_err();
    let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(said.contains("docker archive") && said.contains("skopeo copy"), "{said}");
    assert_eq!(place.children("tmp"), 0);
    assert!(!place.dir.path().join("escaped").exists() && !place.dir.path().join("images/escaped").exists());
    assert!(!std::path::Path::new("/escaped").exists());
}

/// Newer ones have both; links and paths in the archive lead nowhere.
#[tokio::test]
async fn an_archive_whose_index_is_a_link_is_no_layout() {
    let place = place();
    let archive = place.dir.path().join("link.tar");
    fs::write(&archive, Layer::default().symlink("index.json", "/etc/passwd").tar()).unwrap();
    assert!(place.images.import(&archive, "local/test").await.is_err());
    assert_eq!(place.children("tmp"), 0);
}
