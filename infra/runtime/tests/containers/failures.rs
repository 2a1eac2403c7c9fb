//! Containers that cannot start, and runtimes that cannot be used.
use crate::support::{DRIVERS, Host, supervisor};
use runtime::{Adopted, Config, Driver, Runtimes, StartError};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_command_that_does_not_exist_is_said_as_kubelet_says_it_and_leaves_nothing() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request = host.request(driver, json!({ "command": ["foo-bar"] }));
        let dir = request.dir.clone();
        let error = host.runtimes.start(request).await.expect_err("must fail");
        let StartError::Failed(failure) = error else { panic!("{error:?}") };
        assert_eq!(failure.reason, "StartError");
        assert_eq!(failure.exit_code, 127, "{driver:?}");
        let expect = "exec: \"foo-bar\": executable file not found in $PATH";
        assert!(failure.message.starts_with(expect), "{driver:?}: {}", failure.message);
        let Adopted::Failed(again) = host.runtimes.adopt(&dir).await.expect("adopts") else {
            panic!("recorded")
        };
        assert_eq!(again.message, failure.message);
    }
    host.finish();
}

#[tokio::test]
async fn a_file_that_is_no_program_is_said_in_plain_words() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let request = host.request(driver, json!({ "command": ["/etc/passwd"] }));
        let error = host.runtimes.start(request).await.expect_err("must fail").to_string();
        assert!(error.contains("permission denied"), "{driver:?}: {error}");
        let request = host.request(driver, json!({ "command": ["/no/such"] }));
        let error = host.runtimes.start(request).await.expect_err("must fail").to_string();
        assert!(
            error.contains("/no/such") && error.contains("no such file or directory"),
            "{driver:?}: {error}"
        );
    }
    host.finish();
}

#[tokio::test]
async fn a_layer_that_is_missing_is_named() {
    let host = Host::new().await;
    let mut request = host.script(Driver::Runc, "true");
    request.rootfs.lower = vec!["/no/such/layer".into()];
    let error = host.runtimes.start(request).await.expect_err("must fail").to_string();
    assert!(error.contains("root file system"), "{error}");
    let mut request = host.script(Driver::Runc, "true");
    request.netns = Some("/run/netns/none-such".into());
    let error = host.runtimes.start(request).await.expect_err("must fail").to_string();
    assert!(error.contains("network namespace /run/netns/none-such"), "{error}");
    host.finish();
}

#[tokio::test]
async fn a_directory_is_used_once() {
    let host = Host::new().await;
    let request = host.script(Driver::Runc, "true");
    host.run(request.clone()).await;
    assert!(matches!(host.runtimes.start(request).await, Err(StartError::InUse(_))));
    host.finish();
}

#[tokio::test]
async fn runtimes_are_found_with_version_age_and_a_platform_that_works() {
    let host = Host::new().await;
    let cache = host.dir.join("probe.json");
    let mut config = Config::new(host.instance.clone(), host.dir.join("run"), supervisor());
    config.probe_cache = Some(cache.clone());
    let runtimes = Runtimes::detect(config.clone()).await.expect("detects");
    let runc = runtimes.driver(Driver::Runc).expect("runc is installed");
    assert!(runc.broken.is_none() && runc.version.starts_with(char::is_numeric), "{runc:?}");
    let runsc = runtimes.driver(Driver::Runsc).expect("runsc is installed");
    assert_eq!(runsc.broken, None);
    assert!(runsc.released.is_some() && runsc.platform.is_some(), "{runsc:?}");
    assert!(cache.exists());
    let begin = std::time::Instant::now();
    Runtimes::detect(config).await.expect("detects");
    assert!(begin.elapsed() < Duration::from_millis(500), "remembered: {:?}", begin.elapsed());
    host.finish();
}

#[tokio::test]
async fn a_driver_that_is_not_installed_is_an_error_that_names_it() {
    let host = Host::new().await;
    let mut config = Config::new(host.instance.clone(), host.dir.join("run"), supervisor());
    config.search = vec!["/nowhere".into()];
    let runtimes = Runtimes::detect(config).await.expect("detects");
    let error = runtimes.start(host.script(Driver::Runsc, "true")).await.expect_err("must fail");
    assert!(error.to_string().contains("gVisor"), "{error}");
    host.finish();
}
