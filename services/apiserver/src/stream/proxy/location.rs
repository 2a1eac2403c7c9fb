//! Redirects: a pod does not know that clients see it below a path of this server.

/// The address as clients must see it. `prefix` is the path that stands for the pod's root, `pod` the pod's own host and
/// port, `host` the host that the client named. Redirects to elsewhere, and relative ones, stay as they are.
pub(super) fn rewrite(location: &str, prefix: &str, pod: &str, host: &str) -> String {
    let (authority, rest) = split(location);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let elsewhere = authority.is_some_and(|authority| authority != pod && authority != host);
    if elsewhere || !path.starts_with('/') {
        return location.to_owned();
    }
    // An address that names this server keeps its beginning; one that names the pod loses it.
    let begin = match authority {
        Some(authority) if authority == host => &location[..location.len() - rest.len()],
        _ => "",
    };
    if path.starts_with(prefix) { format!("{begin}{rest}") } else { format!("{begin}{prefix}{rest}") }
}

/// Host and port if any are named, and what follows them.
fn split(location: &str) -> (Option<&str>, &str) {
    let scheme = location.find("://").filter(|at| {
        let scheme = &location[..*at];
        !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    let start = match scheme {
        Some(at) => at + 3,
        None if location.starts_with("//") => 2,
        None => return (None, location),
    };
    let end = location[start..].find(['/', '?', '#']).map_or(location.len(), |at| start + at);
    (Some(&location[start..end]), &location[end..])
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    const PREFIX: &str = "/api/v1/namespaces/default/pods/web:80/proxy";

    fn check(location: &str, want: &str) {
        assert_eq!(rewrite(location, PREFIX, "10.0.0.5:80", "localhost:6443"), want, "{location}");
    }

    /// Facts: the cases of Kubernetes' own proxy, apimachinery/pkg/util/proxy.
    #[test]
    fn a_redirect_stays_below_the_pods_path() {
        check("/login", &format!("{PREFIX}/login"));
        check("/a/?next=/b#c", &format!("{PREFIX}/a/?next=/b#c"));
        check("http://10.0.0.5:80/login", &format!("{PREFIX}/login"));
        check("//10.0.0.5:80/", &format!("{PREFIX}/"));
        check("https://localhost:6443/login", &format!("https://localhost:6443{PREFIX}/login"));
    }

    #[test]
    fn what_has_the_path_already_or_goes_elsewhere_is_left_alone() {
        for kept in [
            "https://example.org/login",
            "login",
            "?page=2",
            "",
            "mailto:me@example.org",
            "http://10.0.0.6:80/x",
        ] {
            check(kept, kept);
        }
        check(&format!("{PREFIX}/login"), &format!("{PREFIX}/login"));
    }
}
