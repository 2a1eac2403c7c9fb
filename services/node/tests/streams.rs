//! SPDY and proxied HTTP to real containers of runc and gVisor. Needs root, both runtimes and the supervisor.

#[path = "harness/spdy.rs"]
mod spdy;
#[path = "harness/world.rs"]
mod world;

use http::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::client::Body;
use serde_json::json;
use spdy::Spdy;
use streams::spdy::frame::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use world::{IMAGE, World};

const SERVER: &str = include_str!("server.py");
const PODS: &str = "/api/v1/namespaces/default/pods";
/// As client-go offers them.
const VERSIONS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const RUNTIMES: [&str; 2] = ["runc", "gvisor"];

/// A world with a Pod of each runtime in which the server listens.
async fn start() -> World {
    // However full this machine's disk is.
    let mut world = World::without_node(|config| config.disk_reserve = Some(0)).await;
    world.start_node().await;
    let classes: kube::Api<RuntimeClass> = kube::Api::all(world.client.clone());
    world
        .until("the runtime classes", async |_: &World| {
            classes.get_opt("gvisor").await.expect("reads classes").is_some().then_some(())
        })
        .await;
    for runtime in RUNTIMES {
        let server =
            json!({"name": "app", "image": IMAGE, "command": ["python3", "-c", SERVER], "stdin": true});
        let spec =
            json!({"runtimeClassName": runtime, "terminationGracePeriodSeconds": 1, "containers": [server]});
        world.pod(runtime, spec).await;
    }
    for runtime in RUNTIMES {
        world.ready(runtime).await;
        world.logged(runtime, "up\n").await;
    }
    world
}

async fn open(world: &World, path: &str, protocols: &[&str]) -> (Spdy, String) {
    Spdy::open(&world.client, path, protocols).await.expect("opens a stream")
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_over_spdy_has_stdin_that_ends_both_outputs_and_an_exit_code() {
    let world = start().await;
    for pod in RUNTIMES {
        let query = "command=sh&command=-c&command=wc+-c%3B+echo+err+%3E%262%3B+exit+7&stdin=true&stdout=true&stderr=true";
        let (mut exec, chosen) = open(&world, &format!("{PODS}/{pod}/exec?{query}"), &VERSIONS).await;
        assert_eq!(chosen, "v4.channel.k8s.io");
        let error = exec.stream(&[("streamType", "error")]).await;
        let stdin = exec.stream(&[("streamType", "stdin")]).await;
        let stdout = exec.stream(&[("streamType", "stdout")]).await;
        let stderr = exec.stream(&[("streamType", "stderr")]).await;
        for _ in 0..10 {
            exec.data(stdin, &[b'x'; 30_000], false).await;
        }
        exec.data(stdin, b"", true).await;
        assert_eq!(exec.all(stdout).await.trim(), "300000", "{pod}");
        assert_eq!(exec.all(stderr).await, "err\n");
        let status: serde_json::Value = serde_json::from_str(&exec.all(error).await).unwrap();
        assert_eq!(status["details"]["causes"][0]["message"], "7", "{pod}");

        let path = format!("{PODS}/{pod}/exec?command=sh&command=-c&command=exit+3&stdout=true");
        let (mut old, chosen) = open(&world, &path, &["v2.channel.k8s.io"]).await;
        assert_eq!(chosen, "v2.channel.k8s.io");
        let error = old.stream(&[("streamType", "error")]).await;
        old.stream(&[("streamType", "stdout")]).await;
        let said = old.all(error).await;
        assert_eq!(said, "command terminated with non-zero exit code: exit status 3");
        // Kubernetes' words.
        let refused = Spdy::open(&world.client, &path, &["v9.channel.k8s.io"]).await.err().unwrap();
        assert!(
            refused.starts_with("unable to upgrade: unable to negotiate protocol: client supports"),
            "{refused}"
        );
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_over_spdy_follows_the_clients_size() {
    let world = start().await;
    for pod in RUNTIMES {
        let script = "until%20test%20%22%24(stty%20size)%22%20%3D%20%2240%20120%22%3B%20do%20sleep%200.05%3B%20done%3B%20echo%20seen";
        let path = format!(
            "{PODS}/{pod}/exec?command=sh&command=-c&command={script}&stdout=true&stdin=true&tty=true"
        );
        let (mut exec, _) = open(&world, &path, &VERSIONS).await;
        exec.stream(&[("streamType", "error")]).await;
        exec.stream(&[("streamType", "stdin")]).await;
        let stdout = exec.stream(&[("streamType", "stdout")]).await;
        let resize = exec.stream(&[("streamType", "resize")]).await;
        exec.data(resize, b"{\"Width\":80,\"Height\":24}\n", false).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        exec.data(resize, b"{\"Width\":120,\"Height\":40}\n", false).await;
        let shown = exec.all(stdout).await;
        assert!(shown.ends_with("seen\r\n"), "{pod}: {shown:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_over_spdy_are_reached_beside_each_other_and_may_be_half_closed() {
    let world = start().await;
    for pod in RUNTIMES {
        let path = format!("{PODS}/{pod}/portforward");
        let (mut forward, chosen) = open(&world, &path, &["portforward.k8s.io"]).await;
        assert_eq!(chosen, "portforward.k8s.io");
        // Both are open before either is used.
        let (web_error, web) = forward.pair(8081, 0).await;
        let (count_error, count) = forward.pair(8082, 1).await;
        for _ in 0..20 {
            forward.data(count, &[1; 20_000], false).await;
        }
        forward.data(web, b"GET /loopback HTTP/1.0\r\nHost: me\r\n\r\n", false).await;
        forward.data(count, b"", true).await;
        assert_eq!(forward.all(count).await, "400000 bytes\n", "{pod}");
        let answer = forward.all(web).await;
        assert!(answer.ends_with("GET /loopback me None"), "{pod}: {answer}");
        for (data, error) in [(web, web_error), (count, count_error)] {
            forward.send(Frame::Reset { id: data, status: 5 }).await;
            assert_eq!(forward.all(error).await, "", "{pod}");
        }
        let (error, _) = forward.pair(9, 2).await;
        let uid = world.get(pod).await.unwrap().metadata.uid.unwrap();
        let want = format!(
            "error forwarding port 9 to pod {pod}, uid {uid}: dial tcp4 127.0.0.1:9: connect: connection refused"
        );
        assert_eq!(forward.all(error).await, want, "the kubelet's words, and where it failed");
    }
    world.end().await;
}

/// gVisor's own way to a sandbox's loopback cuts an answer off when the asker's direction ends.
#[tokio::test(flavor = "multi_thread")]
async fn an_asker_that_has_said_all_still_gets_the_answer_of_a_loopback_server() {
    let world = start().await;
    for pod in RUNTIMES {
        let (mut forward, _) =
            open(&world, &format!("{PODS}/{pod}/portforward"), &["portforward.k8s.io"]).await;
        let (_, web) = forward.pair(8081, 0).await;
        forward.data(web, b"GET /last HTTP/1.0\r\nHost: me\r\n\r\n", true).await;
        let answer = forward.all(web).await;
        assert!(answer.ends_with("GET /last me None"), "{pod}: {answer}");
    }
    world.end().await;
}

async fn fetch(world: &World, request: Request<Vec<u8>>) -> (StatusCode, http::HeaderMap, String) {
    let (parts, body) = world.client.send(request.map(Body::from)).await.expect("is answered").into_parts();
    let text = body.collect_bytes().await.expect("reads the answer");
    (parts.status, parts.headers, String::from_utf8(text.to_vec()).expect("is text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_proxied_to_a_pod_with_its_redirects_and_upgrades() {
    let world = start().await;
    for pod in RUNTIMES {
        let base = format!("{PODS}/{pod}:8080/proxy");
        let get = Request::get(format!("{base}/a%2Fb?x=1"))
            .header("Host", "me")
            .header("Authorization", "Bearer x");
        let (status, _, text) = fetch(&world, get.body(Vec::new()).unwrap()).await;
        assert_eq!((status.as_u16(), text.as_str()), (200, "GET /a%2Fb?x=1 me None"), "{pod}");
        let (_, _, text) =
            fetch(&world, Request::post(format!("{base}/up")).body(vec![1; 300_000]).unwrap()).await;
        assert_eq!(text, "/up 300000");
        let (status, headers, _) =
            fetch(&world, Request::get(format!("{base}/moved")).body(Vec::new()).unwrap()).await;
        assert_eq!(
            (status.as_u16(), headers["location"].to_str().unwrap()),
            (302, format!("{base}/here").as_str())
        );

        let upgrade =
            Request::get(format!("{base}/echo")).header("Connection", "Upgrade").header("Upgrade", "echo");
        let mut reply = world.client.send(upgrade.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(reply.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut io = TokioIo::new(hyper::upgrade::on(&mut reply).await.unwrap());
        io.write_all(b"ping").await.unwrap();
        let mut back = [0; 4];
        io.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"ping", "{pod}");

        // As in Kubernetes a pod is proxied to by its address: its loopback is its own.
        for port in [8081, 9] {
            let path = format!("{PODS}/{pod}:{port}/proxy/");
            let (status, _, text) = fetch(&world, Request::get(path).body(Vec::new()).unwrap()).await;
            assert_eq!(status, 503, "{pod} {port}: {text}");
            assert!(text.contains("error trying to reach service: dial tcp 10."), "{text}");
            assert!(text.contains("connect: connection refused"), "{text}");
        }
    }
    world.end().await;
}

/// Who may write a Pod's status must not be able to point the proxy elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_written_into_a_pods_status_is_not_where_the_proxy_goes() {
    let world = start().await;
    let lie = json!({"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}});
    let patch =
        Request::patch(format!("{PODS}/runc/status")).header("Content-Type", "application/merge-patch+json");
    fetch(&world, patch.body(lie.to_string().into_bytes()).unwrap()).await;
    let path = format!("{PODS}/runc:8081/proxy/");
    let (status, _, text) = fetch(&world, Request::get(path).body(Vec::new()).unwrap()).await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("dial tcp 10.") && !text.contains("dial tcp 127."), "{text}");
    world.end().await;
}
