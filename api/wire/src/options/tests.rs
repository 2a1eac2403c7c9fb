//! Refusals are those of `ValidateListOptions`, `ValidateDeleteOptions`, `ValidatePatchOptions` and the query
//! conversions of apimachinery.

use serde_json::json;

use super::*;

fn list(query: &str) -> Result<ListOptions, Status> {
    ListOptions::from_query(&Query::parse(query))
}

#[test]
fn a_query_is_decoded_and_may_repeat_names() {
    let query = Query::parse("labelSelector=a%3Db%2Cc+in+%28d%29&dryRun=All&dryRun=All&watch&x=%zz");
    assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
    assert_eq!(query.all("dryRun").count(), 2);
    assert_eq!((query.flag("watch"), query.get("x")), (true, Some("%zz")));
    assert!(!Query::parse("watch=false").flag("watch") && !Query::parse("watch=0").flag("watch"));
}

#[test]
fn list_options_are_read() {
    let options = list(
        "watch=true&allowWatchBookmarks=true&resourceVersion=12&timeoutSeconds=30&limit=5&continue=abc\
         &labelSelector=a%3Db&fieldSelector=metadata.name%3Dx",
    )
    .unwrap();
    assert!(options.watch && options.bookmarks);
    assert_eq!((options.resource_version, options.timeout_seconds, options.limit), (Some(12), Some(30), 5));
    assert_eq!(options.continue_token.as_deref(), Some("abc"));
    assert_eq!(options.labels.exact("a"), Some("b"));
    assert_eq!(options.fields.exact("metadata.name"), Some("x"));
    assert_eq!(list("").unwrap(), ListOptions::default());
    assert_eq!(list("resourceVersion=").unwrap().resource_version, None);
}

#[test]
fn bad_list_options_are_refused_in_kubernetes_words() {
    for (query, code, want) in [
        ("limit=ten", 400, "strconv.ParseInt: parsing \"ten\": invalid syntax"),
        ("labelSelector=%2C", 400, "found ',', expected: !, identifier, or 'end of string'"),
        ("fieldSelector=foo", 400, "invalid selector: 'foo'; can't understand 'foo'"),
        (
            "resourceVersion=abc",
            400,
            "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": \
             invalid syntax",
        ),
        (
            "resourceVersionMatch=Exact",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden unless resourceVersion is provided",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \
             \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        (
            "sendInitialEvents=true",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden \
             for list",
        ),
        (
            "watch=1&sendInitialEvents=true",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires \
             setting resourceVersionMatch to NotOlderThan",
        ),
    ] {
        let status = list(query).unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (code, want));
    }
}

#[test]
fn a_watch_list_is_accepted() {
    let options =
        list("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    let options = options.unwrap();
    assert_eq!(options.send_initial_events, Some(true));
    assert_eq!(options.version_match, Some(VersionMatch::NotOlderThan));
}

#[test]
fn write_options_are_read_and_refused() {
    let read = |q: &str| CreateOptions::from_query(&Query::parse(q));
    let options = read("dryRun=All&fieldManager=kubectl&fieldValidation=Strict").unwrap();
    assert!(options.dry_run && options.field_validation == FieldValidation::Strict);
    assert_eq!(options.field_manager, "kubectl");
    assert_eq!(
        read("dryRun=Some").unwrap_err().message,
        "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""
    );
    assert_eq!(
        read("fieldValidation=x").unwrap_err().message,
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"x\": supported values: \
         \"\", \"Ignore\", \"Strict\", \"Warn\""
    );
    let long = format!("fieldManager={}", "a".repeat(129));
    assert!(
        read(&long).unwrap_err().message.ends_with("fieldManager: Too long: may not be more than 128 bytes")
    );
}

#[test]
fn patches_know_their_kind_and_rules() {
    let read = |q: &str, kind| PatchOptions::from_query(&Query::parse(q), kind);
    assert_eq!(
        PatchKind::from_content_type("application/merge-patch+json; charset=utf-8"),
        Some(PatchKind::Merge)
    );
    assert_eq!(PatchKind::from_content_type("application/json"), None);
    assert!(read("fieldManager=a&force=true", PatchKind::Apply).unwrap().force);
    assert_eq!(
        read("", PatchKind::Apply).unwrap_err().message,
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
    assert_eq!(
        read("force=true", PatchKind::Merge).unwrap_err().message,
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
    assert_eq!(default_manager("kubectl/v1.32 (linux)"), "kubectl");
}

#[test]
fn delete_options_come_from_the_body_or_the_query() {
    let none = Query::default();
    let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "dryRun": ["All"],
                      "propagationPolicy": "Foreground", "preconditions": {"uid": "u", "resourceVersion": "5"}});
    let options = DeleteOptions::from_request(&none, body.to_string().as_bytes()).unwrap();
    let want = DeleteOptions {
        dry_run: true,
        grace_period_seconds: Some(0),
        propagation: Some(Propagation::Foreground),
        orphan_dependents: None,
        uid: Some("u".to_owned()),
        resource_version: Some("5".to_owned()),
    };
    assert_eq!(options, want);
    let query = Query::parse("gracePeriodSeconds=7&propagationPolicy=Orphan");
    let options = DeleteOptions::from_request(&query, b"").unwrap();
    assert_eq!((options.grace_period_seconds, options.propagation), (Some(7), Some(Propagation::Orphan)));
    assert_eq!(DeleteOptions::from_request(&none, b"").unwrap(), DeleteOptions::default());
    assert_eq!(DeleteOptions::from_request(&none, b"[]").unwrap_err().code, 400);
    assert_eq!(
        DeleteOptions::from_request(&none, br#"{"propagationPolicy":"Later"}"#).unwrap_err().message,
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Later\": supported \
         values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
    );
}
