use super::*;

fn entry(os: &str, architecture: &str, variant: Option<&str>) -> Descriptor {
    let platform =
        Platform { os: os.into(), architecture: architecture.into(), variant: variant.map(Into::into) };
    Descriptor {
        media_type: String::new(),
        digest: Digest::of(format!("{os}/{architecture}/{variant:?}").as_bytes()),
        size: 1,
        platform: Some(platform),
        annotations: None,
    }
}

#[test]
fn the_entry_of_this_machines_platform_is_chosen() {
    let mine = entry("linux", architecture(), None);
    let others = [
        entry("windows", architecture(), None),
        entry("unknown", "unknown", None),
        entry("linux", "mips", None),
    ];
    let index = [&others[..], std::slice::from_ref(&mine)].concat();
    assert_eq!(for_this_machine("i", &index).unwrap(), &mine);
    let error = for_this_machine("i", &others).unwrap_err().to_string();
    assert!(error.contains("linux/mips") && error.contains(architecture()), "{error}");
}

#[test]
fn a_variant_that_older_processors_lack_is_not_chosen() {
    assert!(for_this_machine("i", &[entry("linux", architecture(), Some("v3"))]).is_err());
}

#[test]
fn documents_are_told_apart() {
    assert_eq!(Document::parse(b"{\"manifests\":[]}"), Ok(Document::Index(vec![])));
    assert!(Document::parse(b"{\"schemaVersion\":1}").is_err());
    assert!(Document::parse(b"[]").is_err());
    let digest = Digest::of(b"x");
    let blob = format!("{{\"mediaType\":\"m\",\"digest\":\"{digest}\",\"size\":1}}");
    let layers = vec![blob.clone(); MAX_LAYERS + 1].join(",");
    let document = format!("{{\"config\":{blob},\"layers\":[{layers}]}}");
    assert!(Document::parse(document.as_bytes()).unwrap_err().contains("limit"));
}
