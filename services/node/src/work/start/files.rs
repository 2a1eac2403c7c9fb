//! `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname` as the kubelet writes them.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

use super::Request;
use crate::shared::Shared;

/// A file's name and content.
pub(super) type Text = (&'static str, String);

/// The longest name that the kernel takes for a host.
const NAME_LIMIT: usize = 64;

/// What the machine itself asks names with.
const HOST_RESOLVERS: &str = "/etc/resolv.conf";

/// The three files of a Pod.
///
/// # Errors
/// A name of the host that the kernel does not take.
pub(super) fn texts(shared: &Shared, request: &Request) -> Result<[Text; 3], String> {
    let pod = &request.pod;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let (host, domain) = (short_name(pod), domain(pod, &shared.config.cluster_domain));
    let own = domain.map_or_else(|| host.clone(), |domain| format!("{host}.{domain}\t{host}"));
    let mut hosts = format!(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n\
         {}\t{own}\n",
        request.attachment.address,
    );
    let spec = pod.spec.as_ref();
    for alias in spec.and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default() {
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        hosts.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    let cluster = shared.network.resolv_conf(namespace);
    let gateway = shared.network.subnet().gateway().to_string();
    let closed: Vec<IpAddr> = shared.host.node_ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    let machine = || {
        let text = std::fs::read_to_string(HOST_RESOLVERS).unwrap_or_default();
        of_the_machine(&text, &gateway, &closed)
    };
    let name = hostname(pod, &shared.config.cluster_domain)?;
    Ok([
        ("resolv.conf", resolv_conf(pod, cluster, machine)),
        ("hosts", hosts),
        ("hostname", format!("{name}\n")),
    ])
}

/// The name that the container's kernel gives: with `setHostnameAsFQDN` the long one, if there is one.
///
/// # Errors
/// It is too long, in the kubelet's words.
pub(super) fn hostname(pod: &Pod, cluster_domain: &str) -> Result<String, String> {
    let name = short_name(pod);
    let full = pod.spec.as_ref().and_then(|spec| spec.set_hostname_as_fqdn) == Some(true);
    let Some(domain) = domain(pod, cluster_domain).filter(|_| full) else { return Ok(name) };
    let fqdn = format!("{name}.{domain}");
    if fqdn.len() > NAME_LIMIT {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long ({NAME_LIMIT} is the \
             max, {} characters requested)",
            fqdn.len()
        ));
    }
    Ok(fqdn)
}

fn short_name(pod: &Pod) -> String {
    let asked = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
    let name =
        asked.filter(|name| !name.is_empty()).or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// The domain of a Pod with a `subdomain`.
fn domain(pod: &Pod, cluster_domain: &str) -> Option<String> {
    let sub = pod.spec.as_ref()?.subdomain.as_ref().filter(|sub| !sub.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Some(format!("{sub}.{namespace}.svc.{cluster_domain}"))
}

/// What `dnsPolicy` says, and the Pod's own `dnsConfig` after it.
fn resolv_conf(pod: &Pod, cluster: String, machine: impl FnOnce() -> String) -> String {
    let spec = pod.spec.as_ref();
    let own = spec.and_then(|spec| spec.dns_config.clone()).unwrap_or_default();
    let mut text = match spec.and_then(|spec| spec.dns_policy.as_deref()) {
        Some("None") => String::new(),
        Some("Default") => machine(),
        _ => cluster,
    };
    for server in own.nameservers.into_iter().flatten() {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if let Some(searches) = own.searches.filter(|searches| !searches.is_empty()) {
        text.push_str(&format!("search {}\n", searches.join(" ")));
    }
    for option in own.options.into_iter().flatten() {
        let value = option.value.map(|value| format!(":{value}")).unwrap_or_default();
        text.push_str(&format!("options {}{value}\n", option.name.unwrap_or_default()));
    }
    text
}

/// The machine's own resolver configuration for a sandbox. A resolver that a sandbox may not reach, because it is the
/// machine itself or a neighbour on its link, is asked through the gateway, which forwards to the same resolvers.
fn of_the_machine(text: &str, gateway: &str, closed: &[IpAddr]) -> String {
    let reachable = |server: &&str| match server.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => !ip.is_loopback() && !ip.is_link_local() && !closed.contains(&IpAddr::V4(ip)),
        // A sandbox has no IPv6.
        Ok(IpAddr::V6(_)) | Err(_) => false,
    };
    let of = |key: &'static str| {
        let lines = text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default());
        lines.filter_map(move |line| line.trim().strip_prefix(key)?.strip_prefix([' ', '\t']).map(str::trim))
    };
    let servers: Vec<&str> = of("nameserver").filter(reachable).collect();
    let servers = if servers.is_empty() { vec![gateway] } else { servers };
    let mut lines: Vec<String> = servers.into_iter().map(|server| format!("nameserver {server}\n")).collect();
    lines.extend(of("search").next_back().map(|search| format!("search {search}\n")));
    lines.extend(of("options").map(|options| format!("options {options}\n")));
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        let mut spec = spec;
        spec["containers"] = json!([]);
        serde_json::from_value(json!({"metadata": {"name": "box", "namespace": "team"}, "spec": spec}))
            .unwrap()
    }

    fn resolvers(spec: serde_json::Value) -> String {
        let machine = || "nameserver 9.9.9.9\n".to_owned();
        resolv_conf(&pod(spec), "nameserver 10.0.0.1\n".to_owned(), machine)
    }

    /// Kubernetes: `Default` is the node's configuration, `None` only `dnsConfig`, which is merged into the others.
    #[test]
    fn the_policy_chooses_the_resolvers() {
        let own = json!({"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]});
        assert_eq!(resolvers(json!({})), "nameserver 10.0.0.1\n");
        assert_eq!(resolvers(json!({"dnsPolicy": "ClusterFirst"})), "nameserver 10.0.0.1\n");
        assert_eq!(resolvers(json!({"dnsPolicy": "Default"})), "nameserver 9.9.9.9\n");
        let none = resolvers(json!({"dnsPolicy": "None", "dnsConfig": own}));
        assert_eq!(none, "nameserver 1.1.1.1\nsearch a.b\noptions ndots:2\n");
    }

    #[test]
    fn resolvers_that_a_sandbox_may_not_reach_are_asked_through_the_gateway() {
        let closed = ["192.168.1.5".parse().unwrap()];
        let of = |text: &str| of_the_machine(text, "10.0.0.1", &closed);
        let text = "nameserver 127.0.0.53 # stub\nsearch lan\noptions edns0\n";
        assert_eq!(of(text), "nameserver 10.0.0.1\nsearch lan\noptions edns0\n");
        assert_eq!(of("nameserver 192.168.1.5\nnameserver fd00::1"), "nameserver 10.0.0.1\n");
        assert_eq!(of("nameserver 127.0.0.1\nnameserver 192.168.1.1"), "nameserver 192.168.1.1\n");
    }

    /// The kubelet ignores `setHostnameAsFQDN` without a subdomain and refuses more than 64 characters.
    #[test]
    fn the_long_name_is_the_hosts_if_it_is_asked_for_and_fits() {
        let name = |spec| hostname(&pod(spec), "cluster.local");
        assert_eq!(name(json!({"setHostnameAsFQDN": true})).unwrap(), "box");
        assert_eq!(name(json!({"subdomain": "sub"})).unwrap(), "box");
        let long = "box.sub.team.svc.cluster.local";
        assert_eq!(name(json!({"subdomain": "sub", "setHostnameAsFQDN": true})).unwrap(), long);
        let error = name(json!({"subdomain": "s".repeat(60), "setHostnameAsFQDN": true})).unwrap_err();
        assert!(error.contains("is too long (64 is the max, 87 characters requested)"), "{error}");
    }
}
