use super::*;

fn reduced(mut node: Value, custom: bool) -> Value {
    schema(&mut node, custom);
    node
}

// Facts: apiextensions-apiserver 0.36.3, pkg/controller/openapi/v2/conversion_test.go, and Kubernetes' own swagger.json.
#[test]
fn a_schema_loses_what_version_2_cannot_say() {
    let reference = json!({"allOf": [{"$ref": "#/components/schemas/a.b.C"}], "description": "d"});
    assert_eq!(reduced(reference, false), json!({"$ref": "#/definitions/a.b.C", "description": "d"}));
    let either = json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]});
    assert_eq!(reduced(either, false), json!({"format": "int-or-string", "type": "string"}));
    let names = json!({"properties": {"oneOf": {"type": "array", "items": {"type": "string"}}, "$ref": {"type": "string"}}});
    assert_eq!(reduced(names.clone(), false), names, "names of fields are no keywords");
    let nullable = json!({"type": "object", "required": ["a", "b"], "properties": {
        "a": {"type": "string", "nullable": true, "default": "x"}, "b": {"type": "array", "items": {"type": "string", "not": {}}}}});
    let want = json!({"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "array", "items": {"type": "string"}}}});
    assert_eq!(reduced(nullable, true), want);
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}});
    assert_eq!(reduced(open, true), json!({"x-kubernetes-preserve-unknown-fields": true}));
}

fn widget(schema: &Value) -> Custom<'_> {
    Custom {
        group: "x.io",
        version: "v1",
        kind: "Widget",
        list_kind: "WidgetList",
        plural: "widgets",
        namespaced: true,
        status: true,
        scale: true,
        schema,
    }
}

#[test]
fn every_reference_leads_to_a_definition_and_every_kind_is_named() {
    let own = json!({"type": "object", "properties": {"spec": {"type": "object"}}});
    let bytes = v2(&[widget(&own)], Form::Json);
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (&document["swagger"], bytes.windows(12).any(|part| part == b"#/components")),
        (&json!("2.0"), false)
    );
    let definitions = document["definitions"].as_object().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let mut references = 0;
    for target in text.split("\"$ref\":\"#/definitions/").skip(1) {
        let name = target.split('"').next().unwrap();
        assert!(definitions.contains_key(name), "{name}");
        references += 1;
    }
    assert!(references > 500, "{references}");
    let labelled = |group: &str, version: &str, kind: &str| {
        let want = json!({"group": group, "version": version, "kind": kind});
        definitions.values().any(|schema| {
            schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|all| all.contains(&want))
        })
    };
    for (group, kind) in
        [("", "Pod"), ("apps", "Deployment"), ("batch", "Job"), ("x.io", "Widget"), ("x.io", "WidgetList")]
    {
        assert!(labelled(group, "v1", kind), "{group} {kind}");
    }
    let post = &document["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"];
    assert_eq!(post["parameters"][0]["schema"]["$ref"], "#/definitions/io.k8s.api.core.v1.Pod");
    assert_eq!((&post["parameters"][0]["in"], &post["consumes"]), (&json!("body"), &json!(["*/*"])));
    assert_eq!(post["responses"]["201"]["schema"]["$ref"], "#/definitions/io.k8s.api.core.v1.Pod");
    assert_eq!(post["x-kubernetes-group-version-kind"]["kind"], "Pod");
    let list = &document["paths"]["/apis/x.io/v1/namespaces/{namespace}/widgets"];
    assert_eq!(
        list["parameters"],
        json!([{"in": "path", "name": "namespace", "required": true, "type": "string", "uniqueItems": true}])
    );
}

/// The fields of a message: number and bytes, or number and value.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes);
                0
            }
            1 => 8,
            2 => varint(&mut bytes),
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(usize::try_from(length).unwrap());
        found.push((tag >> 3, value));
        bytes = rest;
    }
    found
}

#[test]
fn the_protobuf_form_names_the_same_paths_and_definitions() {
    let own = json!({"type": "object"});
    let document: Value = serde_json::from_slice(&v2(&[widget(&own)], Form::Json)).unwrap();
    let bytes = v2(&[widget(&own)], Form::Protobuf);
    let parts = fields(&bytes);
    assert_eq!(parts[0], (1, &b"2.0"[..]));
    let names = |number: u64| -> Vec<&str> {
        let part = parts.iter().find(|(found, _)| *found == number).unwrap().1;
        let pairs = fields(part).into_iter();
        pairs.map(|(_, pair)| std::str::from_utf8(fields(pair)[0].1).unwrap()).collect()
    };
    let keys = |part: &str| document[part].as_object().unwrap().keys().cloned().collect::<Vec<String>>();
    let mut found = names(8);
    found.sort_unstable();
    assert_eq!(found, keys("paths"));
    let mut found = names(9);
    found.sort_unstable();
    assert_eq!(found, keys("definitions"));
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains("x-kubernetes-group-version-kind")
            && text.contains("{\"group\":\"x.io\",\"kind\":\"Widget\",\"version\":\"v1\"}")
    );
}
