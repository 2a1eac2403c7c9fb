//! The firewall of an instance as nft's JSON. Pure.
//!
//! One table, `inet agent-sandbox-<id>`. Where a packet of a pod passes:
//!
//! ```text
//! prerouting -> guard     spoofed: drop; more connections than one pod may have: drop; to an address of the host (before anybody's DNAT) or a metadata service: refuse
//! input      -> to_host   our DNS: accept; everything else: refuse (a second line, for what somebody's DNAT made local)
//! forward    -> egress    policies by address; pod to pod: accept; outside: accept unless in `closed`
//!            -> ingress   from outside to a pod: only answers
//! postrouting             to the outside: masquerade
//! ```
//!
//! `refuse` answers with a reset or an ICMP error: just as closed as silence, and a program in a sandbox fails at once
//! instead of hanging. Per-pod policies are chains that `egress_policy` and `ingress_policy` map addresses to.
use crate::Subnet;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// Names the set that counts each pod's connections.
const FLOWS: &str = "flows";

/// Connections that one pod may have at once. The host's table of connections is shared by all, and by the host itself.
const MOST_FLOWS: u32 = 4096;

/// Names the set of pods that reach nothing outside.
pub(crate) const CLOSED: &str = "closed";

/// What the rules depend on.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) id: &'a str,
    /// Prefix of our interfaces' names.
    pub(crate) prefix: &'a str,
    pub(crate) subnet: Subnet,
    pub(crate) denied: &'a [Subnet],
    /// Addresses of closed pods.
    pub(crate) closed: &'a [Ipv4Addr],
}

/// The name of an instance's table.
pub(crate) fn table(id: &str) -> String {
    format!("agent-sandbox-{id}")
}

/// Replaces the whole table in one transaction: there is no moment without rules.
pub(crate) fn replace(facts: &Facts<'_>) -> Vec<Value> {
    let table = table(facts.id);
    let name = json!({"table": {"family": "inet", "name": table}});
    let mut commands = vec![json!({"add": name}), json!({"delete": name}), json!({"add": name})];
    let named = |kind: &str, mut body: Value| {
        body["family"] = json!("inet");
        body["table"] = json!(table);
        json!({"add": {kind: body}})
    };
    commands.push(named("set", json!({"name": CLOSED, "type": "ipv4_addr"})));
    // No flags: nft knows from the rule that fills it that it is dynamic, and its JSON has no word for that.
    commands.push(named("set", json!({"name": FLOWS, "type": "ipv4_addr", "size": 65_536})));
    for policy in ["egress_policy", "ingress_policy"] {
        commands.push(named("map", json!({"name": policy, "type": "ipv4_addr", "map": "verdict"})));
    }
    if !facts.closed.is_empty() {
        commands.push(element("add", facts.id, facts.closed));
    }
    for (chain, base) in chains() {
        let mut body = base.unwrap_or_else(|| json!({}));
        body["name"] = json!(chain);
        commands.push(named("chain", body));
    }
    let rules = rules(facts).into_iter();
    commands.extend(rules.map(|(chain, expr)| named("rule", json!({"chain": chain, "expr": expr}))));
    commands
}

/// Adds addresses to, or deletes them from, the set of closed pods.
pub(crate) fn element(verb: &str, id: &str, addresses: &[Ipv4Addr]) -> Value {
    let elements: Vec<_> = addresses.iter().map(Ipv4Addr::to_string).collect();
    json!({verb: {"element": {"family": "inet", "table": table(id), "name": CLOSED, "elem": elements}}})
}

/// Deletes the table; not an error if there is none.
pub(crate) fn remove(id: &str) -> Vec<Value> {
    let name = json!({"table": {"family": "inet", "name": table(id)}});
    vec![json!({"add": name}), json!({"delete": name})]
}

fn chains() -> Vec<(&'static str, Option<Value>)> {
    let base = |kind: &str, hook: &str, priority: i32| {
        Some(json!({"type": kind, "hook": hook, "prio": priority, "policy": "accept"}))
    };
    vec![
        ("refuse", None),
        ("guard", None),
        ("to_host", None),
        ("egress", None),
        ("ingress", None),
        // After connection tracking (-200), before anybody's destination NAT (-100).
        ("prerouting", base("filter", "prerouting", -150)),
        ("input", base("filter", "input", 0)),
        ("forward", base("filter", "forward", 0)),
        ("postrouting", base("nat", "postrouting", 100)),
    ]
}

type Rule = (&'static str, Vec<Value>);

fn rules(facts: &Facts<'_>) -> Vec<Rule> {
    let ours = format!("{}*", facts.prefix);
    let (from_pod, to_pod) = (meta("==", "iifname", &ours), meta("==", "oifname", &ours));
    let gateway = ip("daddr", "==", &json!(facts.subnet.gateway().to_string()));
    let jump = |chain: &str| json!({"jump": {"target": chain}});
    let mut rules = vec![
        ("prerouting", vec![from_pod.clone(), jump("guard")]),
        ("input", vec![from_pod.clone(), jump("to_host")]),
        // Nobody else's machine may use our DNS by routing packets to the gateway's address through us.
        ("input", vec![meta("!=", "iifname", "lo"), gateway.clone(), drop()]),
        ("forward", vec![from_pod, jump("egress")]),
        ("forward", vec![to_pod.clone(), jump("ingress")]),
        ("refuse", vec![meta("==", "l4proto", "tcp"), json!({"reject": {"type": "tcp reset"}})]),
        ("refuse", vec![json!({"reject": {"type": "icmpx", "expr": "admin-prohibited"}})]),
    ];
    rules.extend(guard(facts, &gateway));
    rules.extend(to_host(&gateway));
    rules.extend(egress(&to_pod));
    rules.push(("ingress", answers()));
    rules.push(("ingress", vec![drop()]));
    let pods = json!({"prefix": {"addr": facts.subnet.base().to_string(), "len": facts.subnet.prefix()}});
    let outside = vec![ip("saddr", "==", &pods), meta("!=", "oifname", &ours), json!({"masquerade": null})];
    rules.push(("postrouting", outside));
    rules
}

fn guard(facts: &Facts<'_>, gateway: &Value) -> Vec<Rule> {
    let fib = |result: &str, flags: &[&str], op: &str, right: Value| json!({"match": {"op": op, "left": {"fib": {"result": result, "flags": flags}}, "right": right}});
    let mut rules = vec![
        ("guard", vec![meta("==", "nfproto", "ipv6"), drop()]),
        // The route back to the source must lead through the interface it came from: a /32 per pod.
        ("guard", vec![fib("oif", &["saddr", "iif"], "==", json!(false)), drop()]),
        ("guard", answers()),
        ("guard", vec![ct("invalid"), drop()]),
        ("guard", vec![too_many(), drop()]),
    ];
    rules.extend(dns(gateway).map(|rule| ("guard", rule)));
    rules.push(("guard", vec![fib("type", &["daddr"], "==", json!("local")), refuse()]));
    rules.push(("guard", vec![fib("type", &["daddr"], "!=", json!("unicast")), drop()]));
    rules.extend(facts.denied.iter().map(|net| {
        let net = json!({"prefix": {"addr": net.base().to_string(), "len": net.prefix()}});
        ("guard", vec![ip("daddr", "==", &net), refuse()])
    }));
    rules
}

fn to_host(gateway: &Value) -> Vec<Rule> {
    let mut rules = vec![("to_host", answers())];
    rules.extend(dns(gateway).map(|rule| ("to_host", rule)));
    rules.push(("to_host", vec![refuse()]));
    rules
}

fn egress(to_pod: &Value) -> Vec<Rule> {
    let policy = |field: &str, map: &str| {
        let key = json!({"payload": {"protocol": "ip", "field": field}});
        json!({"vmap": {"key": key, "data": format!("@{map}")}})
    };
    vec![
        ("egress", answers()),
        ("egress", vec![policy("saddr", "egress_policy")]),
        ("egress", vec![to_pod.clone(), policy("daddr", "ingress_policy")]),
        ("egress", vec![to_pod.clone(), json!({"accept": null})]),
        ("egress", vec![ip("saddr", "==", &json!(format!("@{CLOSED}"))), refuse()]),
        ("egress", vec![json!({"accept": null})]),
    ]
}

fn dns(gateway: &Value) -> impl Iterator<Item = Vec<Value>> + use<'_> {
    ["udp", "tcp"].into_iter().map(move |protocol| {
        let left = json!({"payload": {"protocol": protocol, "field": "dport"}});
        let port = json!({"match": {"op": "==", "left": left, "right": 53}});
        vec![gateway.clone(), port, json!({"accept": null})]
    })
}

fn answers() -> Vec<Value> {
    let left = json!({"ct": {"key": "state"}});
    let right = json!(["established", "related"]);
    vec![json!({"match": {"op": "in", "left": left, "right": right}}), json!({"accept": null})]
}

fn ct(state: &str) -> Value {
    json!({"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": state}})
}

/// Counts a new connection with its source's others, and matches when they are too many.
fn too_many() -> Value {
    let source = json!({"payload": {"protocol": "ip", "field": "saddr"}});
    let count = json!({"ct count": {"val": MOST_FLOWS, "inv": true}});
    json!({"set": {"op": "add", "elem": source, "set": format!("@{FLOWS}"), "stmt": [count]}})
}

fn meta(op: &str, key: &str, right: &str) -> Value {
    json!({"match": {"op": op, "left": {"meta": {"key": key}}, "right": right}})
}

fn ip(field: &str, op: &str, right: &Value) -> Value {
    json!({"match": {"op": op, "left": {"payload": {"protocol": "ip", "field": field}}, "right": right}})
}

fn drop() -> Value {
    json!({"drop": null})
}

fn refuse() -> Value {
    json!({"goto": {"target": "refuse"}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            id: "0a1b2c",
            prefix: "as0a1b2c-",
            subnet: "10.201.0.0/18".parse().unwrap(),
            denied: &[],
            closed: &[],
        }
    }

    #[test]
    fn the_table_is_replaced_in_one_transaction_that_works_with_and_without_an_old_one() {
        let commands = replace(&facts());
        let verbs: Vec<_> =
            commands[..3].iter().map(|c| c.as_object().unwrap().keys().next().unwrap().clone()).collect();
        assert_eq!(verbs, ["add", "delete", "add"]);
    }

    #[test]
    fn spoofing_is_checked_before_answers_are_let_through() {
        let rules = rules(&facts());
        let guard: Vec<_> =
            rules.iter().filter(|(chain, _)| *chain == "guard").map(|(_, r)| json!(r).to_string()).collect();
        let at = |text: &str| guard.iter().position(|r| r.contains(text)).unwrap();
        assert!(at("saddr") < at("established"));
        assert!(at("\"right\":53") < at("\"local\""), "DNS is the one thing of the host that is open");
        assert!(
            at("ct count") < at("\"right\":53"),
            "connections are counted before any new one is let through"
        );
        assert!(at("established") < at("ct count"), "and only new ones are");
    }

    #[test]
    fn closed_pods_are_in_the_set_from_the_first_transaction() {
        let closed = [Ipv4Addr::new(10, 201, 0, 9)];
        let commands = replace(&Facts { closed: &closed, ..facts() });
        assert!(commands.iter().any(|c| c["add"]["element"]["elem"] == json!(["10.201.0.9"])));
    }
}
