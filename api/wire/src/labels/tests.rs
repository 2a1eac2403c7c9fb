//! Syntax and texts are those of apimachinery's `labels` package.

use serde_json::json;

use super::*;

fn matches(selector: &str, labels: &Value) -> bool {
    LabelSelector::parse(selector).unwrap().matches_map(labels.as_object())
}

#[test]
fn every_operator_selects_as_kubernetes_does() {
    let labels = json!({"app": "web", "tier": "front", "n": "7", "empty": ""});
    for (selector, want) in [
        ("", true),
        ("app=web", true),
        ("app==web,tier=front", true),
        ("app!=web", false),
        ("absent!=x", true),
        ("app in (web, db)", true),
        ("app in (db)", false),
        ("app notin (db)", true),
        ("absent notin (db)", true),
        ("app", true),
        ("absent", false),
        ("!absent", true),
        ("!app", false),
        ("n>5", true),
        ("n<5", false),
        ("app>5", false),
        ("empty=", true),
        ("empty in ()", true),
        ("app in (,web)", true),
        (" app  =  web ", true),
        ("in in (in)", false),
    ] {
        assert_eq!(matches(selector, &labels), want, "{selector}");
    }
}

#[test]
fn selectors_print_in_one_form() {
    for (text, want) in [
        ("b=1,a", "a,b=1"),
        ("x in (c,b,a)", "x in (a,b,c)"),
        ("x notin (a)", "x!=a"),
        ("!y,z!=1", "!y,z!=1"),
    ] {
        assert_eq!(LabelSelector::parse(text).unwrap().to_string(), want);
    }
}

#[test]
fn bad_selectors_are_refused_in_kubernetes_words() {
    for (text, want) in [
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        (
            "a=b/c",
            "unable to parse requirement: values[0][a]: Invalid value: \"b/c\": a valid label must be an empty string \
             or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
             character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ] {
        assert_eq!(LabelSelector::parse(text).unwrap_err(), want, "{text}");
    }
    assert!(LabelSelector::parse("^=a").unwrap_err().starts_with(
        "unable to parse requirement: <nil>: Invalid value: \"^\": name part must consist of alphanumeric"
    ));
}

#[test]
fn object_selectors_select_nothing_when_absent_and_everything_when_empty() {
    let labelled = json!({"metadata": {"labels": {"app": "web"}}});
    assert!(!LabelSelector::from_value(None).unwrap().matches_object(&labelled));
    assert!(LabelSelector::from_value(Some(&json!({}))).unwrap().matches_object(&labelled));
    let selector = json!({"matchLabels": {"app": "web"},
                          "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]});
    let selector = LabelSelector::from_value(Some(&selector)).unwrap();
    assert!(selector.matches_object(&labelled));
    assert_eq!(selector.to_string(), "app=web,!x");
    let bad = json!({"matchExpressions": [{"key": "x", "operator": "Like"}]});
    assert_eq!(
        LabelSelector::from_value(Some(&bad)).unwrap_err(),
        "\"Like\" is not a valid label selector operator"
    );
}

#[test]
fn the_exact_value_of_a_key_is_found() {
    let selector = LabelSelector::parse("a=1,b in (1,2)").unwrap();
    assert_eq!((selector.exact("a"), selector.exact("b")), (Some("1"), None));
}
