use super::*;
use crate::view::NamedPort;

fn labels() -> BTreeMap<String, String> {
    [("app".to_owned(), "web".to_owned())].into()
}

fn service() -> ServiceView {
    let port = Port {
        name: "http".into(),
        port: 80,
        target: Some(IntOrString::String("web".to_owned())),
        protocol: "TCP".into(),
    };
    ServiceView {
        uid: "s".into(),
        selector: Labels::of(Some(labels())),
        ports: [port].into(),
        ..ServiceView::default()
    }
}

fn pod(ip: &str) -> PodView {
    let port = NamedPort { name: "web".to_owned(), port: 8080, protocol: "TCP".to_owned() };
    PodView {
        uid: format!("u-{ip}"),
        labels: labels(),
        ip: ip.to_owned(),
        node: "host".to_owned(),
        ready: true,
        ports: vec![port],
        ..PodView::default()
    }
}

fn write(service: &ServiceView, pods: &[PodView]) -> (Value, Vec<Value>) {
    let pods: Vec<_> = pods
        .iter()
        .enumerate()
        .map(|(i, p)| (Key::new("ns", &format!("p{i:03}")), Arc::new(p.clone())))
        .collect();
    let (key, members) = (Key::new("ns", "svc"), members(service, &pods));
    (object(&key, service, &members), slices(&key, service, &members))
}

#[test]
fn ready_pods_with_an_address_stand_behind_a_service_by_their_named_port() {
    let over = PodView { over: true, ..pod("10.0.0.4") };
    let other = PodView { labels: BTreeMap::new(), ..pod("10.0.0.5") };
    let portless = PodView { ports: Vec::new(), ..pod("10.0.0.6") };
    let unready = PodView { ready: false, ..pod("10.0.0.3") };
    let (object, slices) = write(&service(), &[pod("10.0.0.2"), pod(""), over, other, portless, unready]);
    let subset = &object["subsets"][0];
    assert_eq!(subset["addresses"][0]["ip"], "10.0.0.2");
    assert_eq!(subset["addresses"].as_array().unwrap().len(), 1);
    assert_eq!(subset["notReadyAddresses"][0]["ip"], "10.0.0.3");
    assert_eq!(subset["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(slices.len(), 1);
    assert_eq!(
        slices[0]["endpoints"][1]["conditions"],
        json!({"ready": false, "serving": false, "terminating": false})
    );
    assert_eq!(slices[0]["endpoints"][0]["targetRef"]["name"], "p000");
}

#[test]
fn a_terminating_pod_is_serving_in_slices_and_gone_from_endpoints() {
    let going = PodView { deleting: true, ..pod("10.0.0.2") };
    let (object, slices) = write(&service(), &[going]);
    assert_eq!(object["subsets"], json!([]));
    assert_eq!(
        slices[0]["endpoints"][0]["conditions"],
        json!({"ready": false, "serving": true, "terminating": true})
    );
}

#[test]
fn unready_addresses_are_published_where_asked_for() {
    let service = ServiceView { publish_unready: true, ..service() };
    let (object, slices) = write(&service, &[PodView { ready: false, ..pod("10.0.0.2") }]);
    assert_eq!(object["subsets"][0]["addresses"][0]["ip"], "10.0.0.2");
    assert_eq!(slices[0]["endpoints"][0]["conditions"]["ready"], true);
}

#[test]
fn a_headless_service_without_ports_names_its_pods() {
    let service = ServiceView { headless: true, ports: [].into(), ..service() };
    let named = PodView { hostname: "a".to_owned(), subdomain: "svc".to_owned(), ..pod("10.0.0.2") };
    let (object, slices) = write(&service, &[named]);
    assert_eq!(object["subsets"][0]["addresses"][0]["hostname"], "a");
    assert!(object["subsets"][0].get("ports").is_none());
    assert_eq!(object["metadata"]["labels"][HEADLESS], "");
    assert_eq!(slices[0]["endpoints"][0]["hostname"], "a");
    assert_eq!(slices[0]["ports"], json!([]));
}

#[test]
fn many_pods_are_cut_into_slices_whose_names_do_not_change() {
    let pods: Vec<_> = (0..250).map(|i| pod(&format!("10.0.{}.{}", i / 200, i % 200 + 1))).collect();
    let (_, first) = write(&service(), &pods);
    let (_, second) = write(&service(), &pods);
    assert_eq!(
        first.iter().map(|s| s["endpoints"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [100, 100, 50]
    );
    let names = |slices: &[Value]| slices.iter().map(|s| s["metadata"]["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), names(&second));
    assert_ne!(names(&first)[0], names(&first)[1]);
    assert_eq!(write(&service(), &[]).1.len(), 1, "an empty slice stays");
}
