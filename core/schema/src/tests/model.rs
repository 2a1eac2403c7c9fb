//! Random schemas and values: the compiled schema does what a plain reading of the schema's own JSON says.
//!
//! The model follows apiextensions-apiserver: `pruning.Prune`, `defaulting.PruneNonNullableNullsWithoutDefaults` and then
//! `defaulting.Default`, and validation of types, enums, limits and required fields.

use proptest::option::weighted;

use super::*;

fn scalar() -> impl Strategy<Value = Value> {
    let text = (weighted(0.3, Just("d")), any::<bool>(), weighted(0.3, Just(json!(["d", "e"]))));
    let text = text.prop_map(|(default, nullable, choices)| {
        with(
            json!({"type": "string"}),
            [("default", json!(default)), ("nullable", json!(nullable)), ("enum", json!(choices))],
        )
    });
    let number = (weighted(0.3, 0..3), any::<bool>(), weighted(0.3, 0..3), weighted(0.3, 2..5));
    let number = number.prop_map(|(default, nullable, least, most)| {
        let schema = json!({"type": "integer"});
        let limits = [("minimum", json!(least)), ("maximum", json!(most))];
        with(with(schema, [("default", json!(default)), ("nullable", json!(nullable))]), limits)
    });
    let anything = weighted(0.3, any::<bool>()).prop_map(|nullable| {
        with(json!({"x-kubernetes-preserve-unknown-fields": true}), [("nullable", json!(nullable))])
    });
    prop_oneof![3 => text, 3 => number, 1 => Just(json!({"type": "boolean"})), 1 => anything]
}

/// Adds what is not null.
fn with<const N: usize>(mut schema: Value, fields: [(&str, Value); N]) -> Value {
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
        schema[name] = value;
    }
    schema
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

/// A schema's node of any depth up to three.
fn node() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        let names = || prop::collection::btree_set(name(), 0..2);
        let flags = (any::<bool>(), any::<bool>(), weighted(0.3, Just(json!({}))));
        let object = (prop::collection::btree_map(name(), inner.clone(), 1..3), names(), flags.clone());
        let object = object.prop_map(|(properties, required, (preserve, nullable, default))| {
            let schema = json!({"type": "object", "properties": properties, "required": required});
            let preserve = preserve.then_some(true);
            let preserve = ("x-kubernetes-preserve-unknown-fields", json!(preserve));
            with(schema, [preserve, ("nullable", json!(nullable)), ("default", json!(default))])
        });
        let map = (inner.clone(), flags).prop_map(|(values, (_, nullable, default))| {
            let schema = json!({"type": "object", "additionalProperties": values, "nullable": nullable});
            with(schema, [("default", json!(default))])
        });
        let list = (inner, any::<bool>(), weighted(0.2, Just(json!([null]))));
        let list = list.prop_map(|(items, nullable, default)| {
            let schema = json!({"type": "array", "items": items, "nullable": nullable});
            with(schema, [("default", json!(default))])
        });
        prop_oneof![object, map, list]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1..6).prop_map(Value::from),
        "[def]".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec!["a", "b", "c", "x"]).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let object = prop::collection::btree_map(key.clone(), inner.clone(), 0..4);
        let object = object.prop_map(|fields| Value::Object(fields.into_iter().collect()));
        prop_oneof![3 => object, 1 => prop::collection::vec(inner, 0..3).prop_map(Value::from)]
    })
}

// === the model ===

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

fn child<'a>(schema: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    let schema = schema?;
    schema["properties"].get(name).or_else(|| schema.get("additionalProperties"))
}

/// What is left of a value, and the paths of what is not.
fn pruned(schema: Option<&Value>, value: &Value, path: &str, gone: &mut Vec<String>) -> Value {
    let preserve = schema.is_some_and(|schema| flag(schema, "x-kubernetes-preserve-unknown-fields"));
    match value {
        Value::Object(fields) => {
            let mut kept = serde_json::Map::new();
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match child(schema, name) {
                    Some(child) => drop(kept.insert(name.clone(), pruned(Some(child), value, &path, gone))),
                    None if preserve => drop(kept.insert(name.clone(), value.clone())),
                    None => gone.push(path),
                }
            }
            kept.into()
        }
        Value::Array(items) => {
            let Some(inner) = schema.and_then(|schema| schema.get("items")) else { return value.clone() };
            let item = |(at, item)| pruned(Some(inner), item, &format!("{path}[{at}]"), gone);
            items.iter().enumerate().map(item).collect()
        }
        _ => value.clone(),
    }
}

/// Nulls that are no values and have no default go away.
fn without_nulls(schema: Option<&Value>, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut kept = serde_json::Map::new();
            for (name, value) in fields {
                let child = child(schema, name);
                let stays = |child: &Value| flag(child, "nullable") || child.get("default").is_some();
                if !value.is_null() || child.is_none_or(stays) {
                    kept.insert(name.clone(), without_nulls(child, value));
                }
            }
            kept.into()
        }
        Value::Array(items) => {
            let inner = schema.and_then(|schema| schema.get("items"));
            items.iter().map(|item| without_nulls(inner, item)).collect()
        }
        _ => value.clone(),
    }
}

fn defaulted(schema: &Value, value: Option<&Value>) -> Option<Value> {
    let value = match value {
        None | Some(Value::Null) if !(value.is_some() && flag(schema, "nullable")) => {
            schema.get("default").or(value)?
        }
        Some(value) => value,
        None => return None,
    };
    Some(match value {
        Value::Object(fields) => {
            let declared = schema["properties"].as_object();
            let names = declared.into_iter().flatten().map(|(name, _)| name).chain(fields.keys());
            let get = |name: &String| {
                let value = match child(Some(schema), name) {
                    Some(child) => defaulted(child, fields.get(name)),
                    None => fields.get(name).cloned(),
                };
                Some((name.clone(), value?))
            };
            Value::Object(names.filter_map(get).collect())
        }
        Value::Array(items) => match schema.get("items") {
            Some(inner) => items.iter().filter_map(|item| defaulted(inner, Some(item))).collect(),
            None => value.clone(),
        },
        _ => value.clone(),
    })
}

fn valid(schema: &Value, value: &Value) -> bool {
    let number = |name: &str| schema[name].as_i64();
    if value.is_null() {
        return flag(schema, "nullable") || schema["type"].is_null();
    }
    let choices = schema["enum"].as_array();
    if choices.is_some_and(|choices| !choices.contains(value)) {
        return false;
    }
    match (schema["type"].as_str(), value) {
        (None, _) | (Some("string"), Value::String(_)) | (Some("boolean"), Value::Bool(_)) => true,
        (Some("integer"), Value::Number(found)) => {
            let found = found.as_i64().unwrap();
            number("minimum").is_none_or(|least| least <= found)
                && number("maximum").is_none_or(|most| found <= most)
        }
        (Some("array"), Value::Array(items)) => items.iter().all(|it| valid(&schema["items"], it)),
        (Some("object"), Value::Object(fields)) => {
            let required = schema["required"].as_array().into_iter().flatten();
            required.filter_map(Value::as_str).all(|name| fields.contains_key(name))
                && fields
                    .iter()
                    .all(|(name, it)| child(Some(schema), name).is_none_or(|child| valid(child, it)))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 400, ..Default::default() })]

    #[test]
    fn a_compiled_schema_does_what_its_text_says(node in node(), value in value()) {
        let text = json!({"type": "object", "properties": {"a": node}});
        let schema = Schema::compile(&text).unwrap();
        let mut got = json!({"a": value});

        let mut gone = Vec::new();
        let expected = pruned(Some(&text), &got, "", &mut gone);
        gone.sort();
        prop_assert_eq!(prune(&schema, &mut got), gone);
        prop_assert_eq!(&got, &expected);

        let expected = defaulted(&text, Some(&without_nulls(Some(&text), &expected))).unwrap();
        default(&schema, &mut got);
        prop_assert_eq!(&got, &expected);

        let errors = validate(&schema, &got, None);
        prop_assert_eq!(errors.is_empty(), valid(&text, &got), "{:?}", errors);
        // What is there already and does not change is let pass.
        prop_assert_eq!(validate(&schema, &got, Some(&got)), vec![]);
    }
}
