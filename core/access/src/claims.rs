//! What a service account's token says, and whether that still counts.

use serde_json::{Map, Value, json};

/// How far clocks may be apart, in seconds.
const LEEWAY: i64 = 60;

/// A name and the identity behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
}

/// The claims of a bound token. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it.
    pub issuer: String,
    /// For whom it is meant.
    pub audiences: Vec<String>,
    /// Its own identity.
    pub id: String,
    /// When it was issued.
    pub issued: i64,
    /// From when on it counts.
    pub not_before: i64,
    /// Until when.
    pub expires: i64,
    /// The account's namespace.
    pub namespace: String,
    /// The account.
    pub account: Named,
    /// The Pod whose end it does not outlive.
    pub pod: Option<Named>,
    /// The node of that Pod.
    pub node: Option<Named>,
    /// The Secret whose end it does not outlive.
    pub secret: Option<Named>,
}

// === impl Named ===

impl Named {
    fn read(value: &Value) -> Option<Named> {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        value.is_object().then(|| Named { name: text("name"), uid: text("uid") })
    }

    fn to_value(&self) -> Value {
        json!({"name": self.name, "uid": self.uid})
    }
}

// === impl Claims ===

impl Claims {
    /// The user name of the holder.
    pub fn subject(&self) -> String {
        crate::service_account_name(&self.namespace, &self.account.name)
    }

    /// The claims as a token carries them.
    pub fn to_value(&self) -> Value {
        let mut own = Map::new();
        own.insert("namespace".to_owned(), self.namespace.as_str().into());
        own.insert("serviceaccount".to_owned(), self.account.to_value());
        for (field, bound) in [("pod", &self.pod), ("node", &self.node), ("secret", &self.secret)] {
            if let Some(bound) = bound {
                own.insert(field.to_owned(), bound.to_value());
            }
        }
        json!({
            "aud": self.audiences,
            "exp": self.expires,
            "iat": self.issued,
            "iss": self.issuer,
            "jti": self.id,
            "kubernetes.io": own,
            "nbf": self.not_before,
            "sub": self.subject(),
        })
    }

    /// Reads the claims of a token; none if it is no bound token of a service account.
    pub fn read(value: &Value) -> Option<Claims> {
        let text = |field: &str| value[field].as_str().map(str::to_owned);
        let own = &value["kubernetes.io"];
        let audiences = match &value["aud"] {
            Value::String(one) => vec![one.clone()],
            list => list.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        };
        let claims = Claims {
            issuer: text("iss")?,
            audiences,
            id: text("jti").unwrap_or_default(),
            issued: value["iat"].as_i64()?,
            not_before: value["nbf"].as_i64()?,
            expires: value["exp"].as_i64()?,
            namespace: own["namespace"].as_str()?.to_owned(),
            account: Named::read(&own["serviceaccount"])?,
            pod: Named::read(&own["pod"]),
            node: Named::read(&own["node"]),
            secret: Named::read(&own["secret"]),
        };
        (text("sub")? == claims.subject()).then_some(claims)
    }

    /// Refuses a token before its time and after it.
    ///
    /// # Errors
    /// Kubernetes' words for it.
    pub fn check_time(&self, now: i64) -> Result<(), &'static str> {
        if now > self.expires.saturating_add(LEEWAY) {
            return Err("service account token has expired");
        }
        if now < self.not_before.saturating_sub(LEEWAY) {
            return Err("service account token is not valid yet");
        }
        Ok(())
    }

    /// Those of the wanted audiences that the token is meant for.
    pub fn for_audiences(&self, wanted: &[String]) -> Vec<String> {
        wanted.iter().filter(|wanted| self.audiences.contains(wanted)).cloned().collect()
    }

    /// What is known of the holder beyond name and groups.
    pub fn extra(&self) -> Vec<(&'static str, String)> {
        let mut extra = vec![("authentication.kubernetes.io/credential-id", format!("JTI={}", self.id))];
        if let Some(node) = &self.node {
            extra.push(("authentication.kubernetes.io/node-name", node.name.clone()));
            extra.push(("authentication.kubernetes.io/node-uid", node.uid.clone()));
        }
        if let Some(pod) = &self.pod {
            extra.push(("authentication.kubernetes.io/pod-name", pod.name.clone()));
            extra.push(("authentication.kubernetes.io/pod-uid", pod.uid.clone()));
        }
        extra
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        let named = |name: &str| Named { name: name.to_owned(), uid: format!("{name}-uid") };
        Claims {
            issuer: "https://here".to_owned(),
            audiences: vec!["https://here".to_owned(), "vault".to_owned()],
            id: "id".to_owned(),
            issued: 1000,
            not_before: 1000,
            expires: 4600,
            namespace: "team".to_owned(),
            account: named("bot"),
            pod: Some(named("pod")),
            node: Some(named("node")),
            secret: None,
        }
    }

    // Fact: the private claims of Kubernetes (`pkg/serviceaccount/claims.go`).
    #[test]
    fn claims_have_kubernetes_names() {
        let value = claims().to_value();
        assert_eq!(value["sub"], "system:serviceaccount:team:bot");
        assert_eq!(
            value["kubernetes.io"],
            json!({"namespace": "team", "serviceaccount": {"name": "bot", "uid": "bot-uid"},
                "pod": {"name": "pod", "uid": "pod-uid"}, "node": {"name": "node", "uid": "node-uid"}})
        );
        assert_eq!(Claims::read(&value), Some(claims()));
    }

    #[test]
    fn what_is_no_bound_token_is_none() {
        for (field, wrong) in [
            ("sub", json!("system:serviceaccount:other:bot")),
            ("exp", Value::Null),
            ("kubernetes.io", json!({})),
        ] {
            let mut value = claims().to_value();
            value[field] = wrong;
            assert_eq!(Claims::read(&value), None, "{field}");
        }
    }

    #[test]
    fn a_token_counts_in_its_time_and_clocks_may_differ_by_a_minute() {
        let claims = claims();
        assert_eq!(claims.check_time(939), Err("service account token is not valid yet"));
        assert_eq!(claims.check_time(940), Ok(()));
        assert_eq!(claims.check_time(4660), Ok(()));
        assert_eq!(claims.check_time(4661), Err("service account token has expired"));
    }

    #[test]
    fn audiences_are_those_that_both_name() {
        let wanted = ["vault".to_owned(), "other".to_owned()];
        assert_eq!(claims().for_audiences(&wanted), ["vault"]);
    }
}
