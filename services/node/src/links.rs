//! The variables that tell a container where the Services of its namespace are, as the kubelet makes them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Client;
use kubekit::{Informer, Key, Reader, informer};

/// The Service that every namespace is told of.
const MASTER: (&str, &str) = ("default", "kubernetes");

/// Informer index by namespace.
const NAMESPACE: &str = "namespace";

/// Name and value of each variable.
type Variables = Vec<(String, String)>;

/// The variables of each Service, kept up to date by its informer.
pub(crate) struct Links {
    services: Reader<Variables>,
}

// === impl Links ===

impl Links {
    /// The links, and the informer to run for them.
    pub(crate) fn new(client: Client) -> (Self, Informer<Service, Variables>) {
        let told = |service| Some(variables(&service)).filter(|variables| !variables.is_empty());
        let informer = Informer::filtered(client, informer::Config::default(), told)
            .index(NAMESPACE, |key, _| vec![key.namespace.clone()]);
        (Self { services: informer.reader() }, informer)
    }

    /// What the containers of this Pod are told, by name of the Service.
    pub(crate) async fn of(&self, pod: &Pod) -> Variables {
        self.services.synced().await;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let all = pod.spec.as_ref().and_then(|spec| spec.enable_service_links) != Some(false);
        let mut found = if all { self.services.by_index(NAMESPACE, namespace) } else { Vec::new() };
        let master = Key::new(MASTER.0, MASTER.1);
        if !found.iter().any(|(key, _)| &*key.name == MASTER.1) {
            found.extend(self.services.get(&master).map(|links| (master, links)));
        }
        found.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        found.iter().flat_map(|(_, links): &(Key, Arc<Variables>)| links.iter().cloned()).collect()
    }
}

/// Of one Service; none without a cluster address.
fn variables(service: &Service) -> Variables {
    let Some(spec) = &service.spec else { return Variables::new() };
    let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else {
        return Variables::new();
    };
    let name = variable_name(service.metadata.name.as_deref().unwrap_or_default());
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return Variables::new() };
    let mut list = vec![
        (format!("{name}_SERVICE_HOST"), ip.to_owned()),
        (format!("{name}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in ports {
        if let Some(own) = port.name.as_deref().filter(|own| !own.is_empty()) {
            list.push((format!("{name}_SERVICE_PORT_{}", variable_name(own)), port.port.to_string()));
        }
    }
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            list.push((format!("{name}_PORT"), url.clone()));
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
        list.push((prefix.clone(), url));
        list.push((format!("{prefix}_PROTO"), protocol.to_lowercase()));
        list.push((format!("{prefix}_PORT"), port.port.to_string()));
        list.push((format!("{prefix}_ADDR"), ip.to_owned()));
    }
    list
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(spec: &serde_json::Value) -> Vec<String> {
        let service = json!({"metadata": {"namespace": "team", "name": "my-db"}, "spec": spec});
        let all = variables(&serde_json::from_value(service).unwrap());
        all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Kubernetes: the variables of "my-db" with its first and its named ports, and those that Docker's links had.
    #[test]
    fn a_service_is_named_as_the_kubelet_names_it() {
        let ports = json!([{"port": 80, "name": "web"}, {"port": 53, "protocol": "UDP"}]);
        assert_eq!(
            of(&json!({"clusterIP": "10.96.0.7", "ports": ports})),
            [
                "MY_DB_SERVICE_HOST=10.96.0.7",
                "MY_DB_SERVICE_PORT=80",
                "MY_DB_SERVICE_PORT_WEB=80",
                "MY_DB_PORT=tcp://10.96.0.7:80",
                "MY_DB_PORT_80_TCP=tcp://10.96.0.7:80",
                "MY_DB_PORT_80_TCP_PROTO=tcp",
                "MY_DB_PORT_80_TCP_PORT=80",
                "MY_DB_PORT_80_TCP_ADDR=10.96.0.7",
                "MY_DB_PORT_53_UDP=udp://10.96.0.7:53",
                "MY_DB_PORT_53_UDP_PROTO=udp",
                "MY_DB_PORT_53_UDP_PORT=53",
                "MY_DB_PORT_53_UDP_ADDR=10.96.0.7",
            ]
        );
        assert!(
            of(&json!({"clusterIP": "None", "ports": ports})).is_empty(),
            "a headless one has no address"
        );
        assert!(of(&json!({"type": "ExternalName", "externalName": "x.example"})).is_empty());
    }
}
