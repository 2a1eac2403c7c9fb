//! Other firewalls on the host (Docker, ufw, firewalld) that drop what they do not know.
//!
//! An accept in our table cannot win over a drop in theirs: the packet must pass both. So what is wrong is found here,
//! said with the exact command, and, where the operator asked for it, mended by a rule that carries our name.
use crate::{Error, Finding, nft};
use serde_json::{Value, json};
use std::process::Command;

/// A chain of somebody else that ends in a drop, at a place our packets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocker {
    family: String,
    table: String,
    hook: Hook,
    /// Where an accept rule belongs: `DOCKER-USER` if there is one, the chain itself otherwise.
    chain: String,
    /// Whether a rule there already lets our interfaces through.
    mended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    /// Between pods and to the outside.
    Forward,
    /// To our DNS.
    Input,
}

/// What is ours in other people's chains.
#[derive(Clone, Debug)]
pub(crate) struct Ours<'a> {
    pub(crate) id: &'a str,
    /// Prefix of our interfaces' names.
    pub(crate) prefix: &'a str,
}

// === impl Ours ===

impl Ours<'_> {
    fn comment(&self) -> String {
        format!("agent-sandbox-{}", self.id)
    }

    /// Adds the missing accept rules.
    pub(crate) fn mend(&self) -> Result<(), Error> {
        for blocker in self.blockers(&nft::ruleset()?).iter().filter(|b| !b.mended) {
            nft::apply(&self.accept(blocker))?;
        }
        Ok(())
    }

    /// Removes every rule that carries our comment from other tables.
    pub(crate) fn unmend(&self) -> Result<(), Error> {
        let mine = self.rules_of_ours(&nft::ruleset()?);
        if mine.is_empty() {
            return Ok(());
        }
        nft::apply(&mine)
    }

    /// What still stands in the way.
    pub(crate) fn findings(&self) -> Result<Vec<Finding>, Error> {
        let ruleset = nft::ruleset()?;
        let blockers = self.blockers(&ruleset);
        let mut findings: Vec<_> = blockers.iter().filter(|b| !b.mended).map(|b| self.finding(b)).collect();
        findings.extend(self.legacy());
        Ok(findings)
    }

    fn finding(&self, blocker: &Blocker) -> Finding {
        let Blocker { family, table, chain, .. } = blocker;
        let place = format!("{family} {table} {chain}");
        let ours = format!("{}*", self.prefix);
        let (what, fix) = match blocker.hook {
            Hook::Forward => (
                format!(
                    "another firewall (chain {place}) drops forwarded packets: sandboxes cannot reach the outside or each other"
                ),
                format!(
                    "nft insert rule {place} iifname \"{ours}\" accept && nft insert rule {place} oifname \"{ours}\" accept"
                ),
            ),
            Hook::Input => (
                format!(
                    "another firewall (chain {place}) drops packets to this host: sandboxes cannot reach their DNS"
                ),
                format!(
                    "nft insert rule {place} iifname \"{ours}\" udp dport 53 accept && nft insert rule {place} iifname \"{ours}\" tcp dport 53 accept"
                ),
            ),
        };
        Finding::problem(what, fix)
    }

    /// The chains in the way, of every table that is not an instance's own.
    pub(crate) fn blockers(&self, ruleset: &Value) -> Vec<Blocker> {
        let objects = || ruleset["nftables"].as_array().into_iter().flatten();
        let chains = objects().filter_map(|o| o.get("chain"));
        let found = chains.filter_map(|chain| {
            let hook = match chain["hook"].as_str()? {
                "forward" => Hook::Forward,
                "input" => Hook::Input,
                _ => return None,
            };
            let (family, table) = (chain["family"].as_str()?, chain["table"].as_str()?);
            let ours = table.starts_with("agent-sandbox-") || !["ip", "inet"].contains(&family);
            let name = chain["name"].as_str()?;
            if ours || !(chain["policy"] == "drop" || ends_in_drop(ruleset, family, table, name)) {
                return None;
            }
            let user = objects()
                .filter_map(|o| o.get("chain"))
                .any(|c| c["family"] == family && c["table"] == table && c["name"] == "DOCKER-USER");
            let target = if user && hook == Hook::Forward { "DOCKER-USER" } else { name };
            let mended = rules(ruleset, family, table, target).any(|rule| self.lets_us_through(rule));
            Some(Blocker {
                family: family.to_owned(),
                table: table.to_owned(),
                hook,
                chain: target.to_owned(),
                mended,
            })
        });
        found.collect()
    }

    /// Somebody may have typed our advice by hand: the interface counts, not the comment.
    fn lets_us_through(&self, rule: &Value) -> bool {
        let text = rule["expr"].to_string();
        text.contains(&format!("\"{}*\"", self.prefix)) && text.contains("accept")
    }

    fn accept(&self, blocker: &Blocker) -> Vec<Value> {
        let ours = format!("{}*", self.prefix);
        let meta = |key: &str| json!({"match": {"op": "==", "left": {"meta": {"key": key}}, "right": ours}});
        let dns = |protocol: &str| {
            let left = json!({"payload": {"protocol": protocol, "field": "dport"}});
            json!({"match": {"op": "==", "left": left, "right": 53}})
        };
        let accept = json!({"accept": null});
        let expressions = match blocker.hook {
            Hook::Forward => vec![vec![meta("iifname"), accept.clone()], vec![meta("oifname"), accept]],
            Hook::Input => vec![
                vec![meta("iifname"), dns("udp"), accept.clone()],
                vec![meta("iifname"), dns("tcp"), accept],
            ],
        };
        let rule = |expr: Vec<Value>| {
            json!({"insert": {"rule": {"family": blocker.family, "table": blocker.table, "chain": blocker.chain,
                "comment": self.comment(), "expr": expr}}})
        };
        expressions.into_iter().map(rule).collect()
    }

    fn rules_of_ours(&self, ruleset: &Value) -> Vec<Value> {
        let objects = ruleset["nftables"].as_array().into_iter().flatten();
        let mine = objects.filter_map(|o| o.get("rule")).filter(|r| r["comment"] == json!(self.comment()));
        let delete = |r: &Value| json!({"delete": {"rule": {"family": r["family"], "table": r["table"], "chain": r["chain"], "handle": r["handle"]}}});
        mine.map(delete).collect()
    }

    /// The old iptables keeps rules where nft cannot see them.
    fn legacy(&self) -> Option<Finding> {
        let tables = std::fs::read_to_string("/proc/net/ip_tables_names").ok()?;
        if !tables.lines().any(|table| table == "filter") {
            return None;
        }
        let listed = Command::new("iptables-legacy").args(["-S"]).output().ok()?;
        legacy_finding(&String::from_utf8_lossy(&listed.stdout), self.prefix)
    }
}

fn legacy_finding(listed: &str, prefix: &str) -> Option<Finding> {
    let drops = listed.lines().any(|line| line == "-P FORWARD DROP");
    let mended = listed.lines().any(|line| line.contains(&format!("-i {prefix}+ -j ACCEPT")));
    if !drops || mended {
        return None;
    }
    let chain = if listed.lines().any(|line| line == "-N DOCKER-USER") { "DOCKER-USER" } else { "FORWARD" };
    Some(Finding::problem(
        "iptables-legacy drops forwarded packets: sandboxes cannot reach the outside or each other",
        format!(
            "iptables-legacy -I {chain} -i {prefix}+ -j ACCEPT && iptables-legacy -I {chain} -o {prefix}+ -j ACCEPT"
        ),
    ))
}

fn rules<'a>(
    ruleset: &'a Value,
    family: &'a str,
    table: &'a str,
    chain: &'a str,
) -> impl Iterator<Item = &'a Value> {
    let objects = ruleset["nftables"].as_array().into_iter().flatten();
    objects
        .filter_map(|o| o.get("rule"))
        .filter(move |r| r["family"] == family && r["table"] == table && r["chain"] == chain)
}

/// Whether the last rule of a chain drops or rejects without a condition, as firewalld's does.
fn ends_in_drop(ruleset: &Value, family: &str, table: &str, chain: &str) -> bool {
    let Some(last) = rules(ruleset, family, table, chain).last() else { return false };
    let expressions = last["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
    let verdict = |e: &Value| e.get("drop").is_some() || e.get("reject").is_some();
    let harmless = |e: &Value| e.get("counter").is_some() || e.get("log").is_some() || verdict(e);
    expressions.iter().any(verdict) && expressions.iter().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ours<'static> = Ours { id: "0a1b2c", prefix: "as0a1b2c-" };

    fn chain(family: &str, table: &str, name: &str, hook: Option<&str>, policy: &str) -> Value {
        let mut chain = json!({"family": family, "table": table, "name": name});
        if let Some(hook) = hook {
            chain["hook"] = json!(hook);
            chain["policy"] = json!(policy);
        }
        json!({"chain": chain})
    }

    fn rule(table: &str, chain: &str, expr: &Value) -> Value {
        json!({"rule": {"family": "ip", "table": table, "chain": chain, "handle": 7, "expr": expr}})
    }

    fn check(objects: &[Value]) -> Vec<(String, bool)> {
        let found = OURS.blockers(&json!({"nftables": objects}));
        found.into_iter().map(|b| (b.chain, b.mended)).collect()
    }

    #[test]
    fn dockers_forward_policy_is_found_and_mended_in_its_user_chain() {
        let docker = vec![
            chain("ip", "filter", "FORWARD", Some("forward"), "drop"),
            chain("ip", "filter", "DOCKER-USER", None, ""),
        ];
        assert_eq!(check(&docker), [("DOCKER-USER".to_owned(), false)]);
        let accept = json!([{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "as0a1b2c-*"}}, {"accept": null}]);
        let mended = [docker, vec![rule("filter", "DOCKER-USER", &accept)]].concat();
        assert_eq!(check(&mended), [("DOCKER-USER".to_owned(), true)]);
    }

    #[test]
    fn open_firewalls_and_our_own_tables_are_not_findings() {
        let quiet = [
            chain("ip", "filter", "FORWARD", Some("forward"), "accept"),
            chain("inet", "agent-sandbox-ffffff", "forward", Some("forward"), "drop"),
            chain("bridge", "x", "forward", Some("forward"), "drop"),
            chain("ip", "filter", "OUTPUT", Some("output"), "drop"),
        ];
        assert_eq!(check(&quiet), []);
    }

    #[test]
    fn a_chain_that_ends_in_a_bare_reject_blocks_as_a_policy_does() {
        let forward = chain("ip", "fw", "FWD", Some("forward"), "accept");
        let reject = rule("fw", "FWD", &json!([{"counter": null}, {"reject": {"type": "icmpx"}}]));
        assert_eq!(check(&[forward.clone(), reject]), [("FWD".to_owned(), false)]);
        let some = rule("fw", "FWD", &json!([{"match": {}}, {"drop": null}]));
        assert_eq!(check(&[forward, some]), []);
    }

    #[test]
    fn an_input_policy_is_about_dns_only() {
        let blockers =
            OURS.blockers(&json!({"nftables": [chain("ip", "filter", "INPUT", Some("input"), "drop")]}));
        let rules = OURS.accept(&blockers[0]);
        assert!(rules.iter().all(|r| r.to_string().contains("\"right\":53")));
    }

    #[test]
    fn legacy_iptables_is_found_until_mended() {
        let docker = "-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER-USER";
        let finding = legacy_finding(docker, "as1-").unwrap();
        assert!(finding.fix.starts_with("iptables-legacy -I DOCKER-USER -i as1-+"));
        assert_eq!(legacy_finding(&format!("{docker}\n-A DOCKER-USER -i as1-+ -j ACCEPT"), "as1-"), None);
        assert_eq!(legacy_finding("-P FORWARD ACCEPT", "as1-"), None);
    }
}
