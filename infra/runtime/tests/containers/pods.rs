//! gVisor sandboxes with several containers.
use crate::support::{Host, exec, text, until};
use podspec::Role;
use runtime::Driver;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn containers_of_a_gvisor_pod_share_a_network_and_restart_alone() {
    let host = Host::new().await;
    let pause = host.start(host.build(Driver::Runsc, "pause", json!({}), &Role::Pause, true)).await;
    let role = Role::Member { sandbox: pause.id().to_owned() };
    let member = |name: &str, script: &str| {
        host.build(Driver::Runsc, name, json!({ "command": ["/bin/sh", "-c", script] }), &role, false)
    };
    let (code, output) = host.run(member("init", "echo first; exit 3")).await;
    assert_eq!((code, output.as_str()), (3, "first\n"));
    let server = "import socket\ns=socket.socket(); s.bind(('127.0.0.1', 7000)); s.listen(); print('ready', flush=True)\nwhile True:\n  c,_=s.accept(); c.send(b'pong'); c.close()";
    let request =
        host.build(Driver::Runsc, "server", json!({ "command": ["python3", "-c", server] }), &role, false);
    let log = request.log.path.clone();
    let one = host.start(request).await;
    until(&log, "ready").await;
    for _ in 0..2 {
        let client =
            "python3 -c \"import socket; print(socket.create_connection(('127.0.0.1', 7000)).recv(9))\"";
        let (code, output) = host.run(member("client", client)).await;
        assert_eq!((code, output.as_str()), (0, "b'pong'\n"));
    }
    let (exit, out, _) = exec(&one, "echo in; exit 2").await;
    assert_eq!((exit.code, out.as_str()), (2, "in\n"));
    let exit = one.stop(15, Duration::from_millis(300)).await.expect("stops");
    assert!(matches!(exit.exit_code, 143 | 137) && !exit.lost, "{exit:?} {}", text(&log));
    let exit = pause.stop(15, Duration::from_secs(5)).await.expect("stops");
    assert!(exit.exit_code == 0 && !exit.lost, "{exit:?}");
    host.finish();
}

#[tokio::test]
async fn members_end_when_their_sandbox_does() {
    let host = Host::new().await;
    let pause = host.start(host.build(Driver::Runsc, "pause", json!({}), &Role::Pause, true)).await;
    let role = Role::Member { sandbox: pause.id().to_owned() };
    let request = host.build(Driver::Runsc, "app", json!({ "command": ["sleep", "100"] }), &role, false);
    let member = host.start(request).await;
    pause.stop(9, Duration::ZERO).await.expect("stops");
    let exit =
        tokio::time::timeout(Duration::from_secs(20), member.wait()).await.expect("in time").expect("exit");
    assert!(exit.exit_code != 0 && !exit.lost, "{exit:?}");
    host.finish();
}
