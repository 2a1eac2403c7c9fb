//! Rules for names, label keys and values, ports, environment variables: each returns the problems in
//! Kubernetes' words, or nothing.
//!
//! Lengths are in bytes. Since Kubernetes 1.34 messages about labels say "bytes" and those about DNS names
//! still say "characters"; both are kept as they are.

const LABEL_1123: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// At most `max` characters, in the words used for names.
pub fn max_len(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// `must be between <low> and <high>, inclusive`.
pub fn range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// The text of a failed pattern with its examples.
pub fn pattern(rule: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{rule} (regex used for validation is '{regex}')");
    }
    let shown: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{regex}')", shown.join(" or "))
}

/// A lowercase RFC 1123 label: at most 63 characters.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push(max_len(63));
    }
    if !is_label(value, false) {
        if is_subdomain(value) {
            problems.push("must not contain dots".to_owned());
        } else {
            problems.push(pattern(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                 start and end with an alphanumeric character",
                LABEL_1123,
                &["my-name", "123-abc"],
            ));
        }
    }
    problems
}

/// A lowercase RFC 1123 subdomain: at most 253 characters.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(max_len(253));
    }
    if !is_subdomain(value) {
        problems.push(pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            SUBDOMAIN,
            &["example.com"],
        ));
    }
    problems
}

/// A DNS-1035 label, as Services are named: at most 63 characters, a letter first.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push(max_len(63));
    }
    if !is_label(value, true) {
        problems.push(pattern(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character",
            LABEL_1035,
            &["my-name", "abc-123"],
        ));
    }
    problems
}

/// A label key: an optional DNS prefix and a name of at most 63 bytes.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                let bytes = |m: String| m.replace("253 characters", "253 bytes");
                problems.extend(
                    dns1123_subdomain(prefix).into_iter().map(|m| format!("prefix part {}", bytes(m))),
                );
            }
            *name
        }
        _ => {
            let rule = pattern(LABEL_KEY_RULE, QUALIFIED, &["MyName", "my.name", "123-abc"]);
            return vec![format!(
                "a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        problems.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_name(name) {
        let rule = pattern(LABEL_KEY_RULE, QUALIFIED, &["MyName", "my.name", "123-abc"]);
        problems.push(format!("name part {rule}"));
    }
    problems
}

/// A label value: empty, or at most 63 bytes.
pub fn label_value(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !is_name(value) {
        problems.push(pattern(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    problems
}

/// A port number from 1 to 65535.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec![range(1, 65535)] }
}

/// A port's name: at most 15 characters of `a-z0-9-` with a letter.
pub fn port_name(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if value.len() > 15 {
        problems.push(max_len(15));
    }
    if value.is_empty() || !value.chars().all(allowed) {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.chars().any(|c| c.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        problems.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        problems.push("must not begin or end with a hyphen".to_owned());
    }
    problems
}

/// An environment variable's name, by the relaxed rule that is the default since Kubernetes 1.32.
pub fn env_name(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if value.chars().all(|c| (c.is_ascii_graphic() || c == ' ') && c != '=') {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .to_owned(),
    ]
}

/// A key of a ConfigMap or Secret.
pub fn config_key(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(max_len(253));
    }
    if value.is_empty() || !value.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
        problems.push(pattern(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    if value == "." || value == ".." {
        problems.push(format!("must not be '{value}'"));
    } else if value.starts_with("..") {
        problems.push("must not start with '..'".to_owned());
    }
    problems
}

/// An HTTP header's name.
pub fn header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Vec::new();
    }
    let rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![pattern(rule, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// Whether a name can be used as one segment of a URL path (the only rule for RBAC objects).
pub fn path_segment(value: &str) -> Vec<String> {
    match value {
        "." => vec!["may not be '.'".to_owned()],
        ".." => vec!["may not be '..'".to_owned()],
        _ => ["/", "%"]
            .iter()
            .filter(|c| value.contains(**c))
            .map(|c| format!("may not contain '{c}'"))
            .collect(),
    }
}

fn is_label(value: &str, letter_first: bool) -> bool {
    let bytes = value.as_bytes();
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let starts = if letter_first { first.is_ascii_lowercase() } else { edge(*first) };
    starts && edge(*last) && bytes.iter().all(|b| edge(*b) || *b == b'-')
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(|part| is_label(part, false))
}

fn is_name(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass() {
        assert!(dns1123_label("a-1").is_empty() && dns1123_label(&"a".repeat(63)).is_empty());
        assert!(dns1123_subdomain("a.b-c.d1").is_empty() && dns1123_subdomain(&"a".repeat(253)).is_empty());
        assert!(dns1035_label("a-1").is_empty());
        assert!(qualified_name("example.com/My_Name.1").is_empty() && qualified_name("a").is_empty());
        assert!(label_value("").is_empty() && label_value("A.b_c-1").is_empty());
        assert!(port_name("http-2").is_empty() && port_number(65535).is_empty());
        assert!(
            env_name("MY VAR.x-1").is_empty() && config_key("..a").len() == 1 && config_key(".a").is_empty()
        );
    }

    /// The texts are those of apimachinery's `util/validation` and `api/validate/content`.
    #[test]
    fn bad_names_are_refused_in_kubernetes_words() {
        let long = "a".repeat(64);
        let cases: [(Vec<String>, &str); 11] = [
            (dns1123_label(&long), "must be no more than 63 characters"),
            (dns1123_label("a.b"), "must not contain dots"),
            (
                dns1123_label("A"),
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                 and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                 '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ),
            (
                dns1123_subdomain("a_b"),
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                 must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                 '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
            (
                dns1035_label("1a"),
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                 alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex \
                 used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ),
            (dns1035_label(&long), "must be no more than 63 characters"),
            (qualified_name("/a"), "prefix part must be non-empty"),
            (qualified_name(&long), "name part must be no more than 63 bytes"),
            (label_value(&long), "must be no more than 63 bytes"),
            (port_number(0), "must be between 1 and 65535, inclusive"),
            (port_name("8080"), "must contain at least one letter (a-z)"),
        ];
        for (problems, want) in cases {
            assert_eq!(problems, [want]);
        }
        assert_eq!(qualified_name("a/b/c").len(), 1);
        assert_eq!(path_segment("a/b%"), ["may not contain '/'", "may not contain '%'"]);
    }
}
