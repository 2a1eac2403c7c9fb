//! A list shows one revision, in pages, selections and forms.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use api::{Api, config_map, start};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn fill(api: &Api, count: usize) {
    for n in 0..count {
        let mut map = config_map(&format!("m{n}"), "1");
        map["metadata"]["labels"] = json!({"even": (n % 2 == 0).to_string()});
        api.post(MAPS, &map).await.expect(201);
    }
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_has_its_kind_and_revision() {
    let api = start().await;
    fill(&api, 2).await;
    let list = api.get(MAPS).await.expect(200);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    assert_eq!(list["metadata"]["resourceVersion"], api.store.revision().to_string());
    assert_eq!(names(&list), ["m0", "m1"]);
    let empty = api.get("/apis/agents.x-k8s.io/v1beta1/sandboxes").await.expect(200);
    assert_eq!((&empty["kind"], &empty["items"]), (&json!("SandboxList"), &json!([])));
}

#[tokio::test]
async fn pages_show_one_revision_whatever_happens_meanwhile() {
    let api = start().await;
    fill(&api, 6).await;
    let first = api.get(&format!("{MAPS}?limit=2")).await.expect(200);
    assert_eq!(names(&first), ["m0", "m1"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    // Before the second page: one goes, one comes, one changes.
    api.delete(&format!("{MAPS}/m2"), &Value::Null).await.expect(200);
    api.post(MAPS, &config_map("m21", "new")).await.expect(201);
    api.patch(&format!("{MAPS}/m3"), "merge", &json!({"data": {"key": "changed"}})).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["m2", "m3"]);
    assert_eq!(second["items"][1]["data"]["key"], "1");
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = api.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&third), ["m4", "m5"]);
    assert_eq!(third["metadata"].get("continue"), None);
}

#[tokio::test]
async fn a_page_of_a_forgotten_revision_is_expired() {
    let api = api::start_kept(4).await;
    fill(&api, 6).await;
    let first = api.get(&format!("{MAPS}?limit=2")).await.expect(200);
    for n in 10..30 {
        api.post(MAPS, &config_map(&format!("z{n}"), "1")).await.expect(201);
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    let status = api.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(410);
    assert_eq!(status["reason"], "Expired");
    // Facts: `handleCompactedErrorForPaging` gives a token for the newest revision, and says what that means.
    let text = status["message"].as_str().unwrap();
    assert!(text.contains("use the continue token in this response to retrieve the remainder"), "{text}");
    let token = status["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("{MAPS}?continue={token}")).await.expect(200);
    assert_eq!(names(&rest)[..2], ["m2", "m3"]);
    assert!(names(&rest).contains(&"z29"));
    let exact = api.get(&format!("{MAPS}?resourceVersion=2&resourceVersionMatch=Exact")).await.expect(410);
    assert_eq!(exact["message"], "The resourceVersion for the provided list is too old.");
}

// Facts: `DecodeContinue` and the list of the etcd store refuse these; a token does not climb out of its list.
#[tokio::test]
async fn continue_tokens_that_make_no_sense_are_refused() {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let api = start().await;
    fill(&api, 4).await;
    let first = api.get(&format!("{MAPS}?limit=2")).await.expect(200);
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let both = api.get(&format!("{MAPS}?limit=2&continue={token}&resourceVersion=1")).await.expect(400);
    assert_eq!(both["message"], "specifying resource version is not allowed when using continue");
    api.get(&format!("{MAPS}?limit=2&continue={token}&resourceVersion=0")).await.expect(200);
    for (token, why) in [
        (r#"{"v":"v1","rv":1,"start":"a"}"#, "server does not recognize this encoded version v1"),
        (
            r#"{"v":"meta.k8s.io/v1","start":"a"}"#,
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        (r#"{"v":"meta.k8s.io/v1","rv":1}"#, "encoded start key empty (version meta.k8s.io/v1)"),
        (r#"{"v":"meta.k8s.io/v1","rv":-1,"start":"../secrets/a"}"#, "../secrets/a"),
    ] {
        let token = BASE64_URL_SAFE_NO_PAD.encode(token);
        let status = api.get(&format!("{MAPS}?continue={token}")).await.expect(400);
        let want = format!("invalid continue token: continue key is not valid: {why}");
        assert_eq!(status["message"], want);
    }
}

// Fact: a page at a revision is a page of that revision (the legacy meaning of limit with resourceVersion).
#[tokio::test]
async fn pages_of_an_older_revision_show_what_was_there_whatever_changed_since() {
    let api = start().await;
    fill(&api, 20).await;
    let then = api.store.revision();
    let whole =
        api.get(&format!("{MAPS}?resourceVersion={then}&resourceVersionMatch=Exact")).await.expect(200);
    for n in [0, 1, 2, 7, 12, 13, 19] {
        api.delete(&format!("{MAPS}/m{n}"), &Value::Null).await.expect(200);
    }
    for name in ["a", "m10a", "m3a", "z"] {
        api.post(MAPS, &config_map(name, "1")).await.expect(201);
    }
    api.post(MAPS, &config_map("m0", "again")).await.expect(201);
    api.patch(&format!("{MAPS}/m5"), "merge", &json!({"data": {"key": "2"}})).await.expect(200);
    for limit in [1, 3, 7, 20, 50] {
        let (mut items, mut query) = (Vec::new(), format!("?limit={limit}&resourceVersion={then}"));
        loop {
            let page = api.get(&format!("{MAPS}{query}")).await.expect(200);
            assert_eq!(page["metadata"]["resourceVersion"], then.to_string());
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(token) = page["metadata"]["continue"].as_str() else { break };
            query = format!("?limit={limit}&continue={token}");
        }
        assert_eq!(Value::from(items), whole["items"], "limit {limit}");
    }
}

#[tokio::test]
async fn selectors_fill_their_pages() {
    let api = start().await;
    fill(&api, 9).await;
    let first = api.get(&format!("{MAPS}?labelSelector=even%3Dtrue&limit=3")).await.expect(200);
    assert_eq!(names(&first), ["m0", "m2", "m4"]);
    assert_eq!(first["metadata"].get("remainingItemCount"), None);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest =
        api.get(&format!("{MAPS}?labelSelector=even%3Dtrue&limit=3&continue={token}")).await.expect(200);
    assert_eq!(names(&rest), ["m6", "m8"]);
    assert_eq!(rest["metadata"].get("continue"), None);
    let one =
        api.get("/api/v1/configmaps?fieldSelector=metadata.name%3Dm3,metadata.namespace%3Ddefault").await;
    assert_eq!(names(&one.expect(200)), ["m3"]);
    let notin = api.get(&format!("{MAPS}?labelSelector=even+notin+(true),even")).await.expect(200);
    assert_eq!(names(&notin), ["m1", "m3", "m5", "m7"]);
}

#[tokio::test]
async fn an_exact_revision_is_shown_while_it_is_remembered() {
    let api = start().await;
    fill(&api, 2).await;
    let then = api.store.revision();
    api.delete(&format!("{MAPS}/m0"), &Value::Null).await.expect(200);
    let list =
        api.get(&format!("{MAPS}?resourceVersion={then}&resourceVersionMatch=Exact")).await.expect(200);
    assert_eq!(names(&list), ["m0", "m1"]);
    let list = api.get(&format!("{MAPS}?resourceVersion={then}")).await.expect(200);
    assert_eq!(names(&list), ["m1"]);
}

#[tokio::test]
async fn tables_and_metadata_can_be_asked_for() {
    let api = start().await;
    fill(&api, 2).await;
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let list = api.send("GET", &format!("{MAPS}?includeObject=Object"), &table, "").await.expect(200);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(list["metadata"]["resourceVersion"], api.store.revision().to_string());
    assert_eq!(list["rows"][1]["object"]["data"]["key"], "1");
    assert_eq!(list["rows"][1]["cells"][0], "m1");
    let list = api.send("GET", &format!("{MAPS}?includeObject=None"), &table, "").await.expect(200);
    assert_eq!(list["rows"][0]["object"], Value::Null);
    let meta = [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")];
    let list = api.send("GET", MAPS, &meta, "").await.expect(200);
    assert_eq!((&list["kind"], list["items"][0].get("data")), (&json!("PartialObjectMetadataList"), None));
    assert_eq!(list["items"][0]["metadata"]["labels"]["even"], "true");
    let meta = [("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")];
    let one = api.send("GET", &format!("{MAPS}/m0"), &meta, "").await.expect(200);
    assert_eq!((&one["kind"], &one["metadata"]["name"]), (&json!("PartialObjectMetadata"), &json!("m0")));
}
