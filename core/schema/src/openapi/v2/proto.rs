//! The document as the messages of gnostic's `openapiv2/OpenAPIv2.proto`, whose numbers the calls below name.
//!
//! Values of any type go as YAML text, and JSON is YAML.

use serde_json::{Map, Value};

use super::{Custom, each_definition, each_path, info, security};

/// A message being written.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

/// `Document`.
pub(super) fn document(custom: &[Custom<'_>]) -> Vec<u8> {
    let (mut paths, mut definitions) = (Message::default(), Message::default());
    each_path(custom, &mut |name, item| paths.named(2, name, &path_item(item)));
    each_definition(custom, &mut |name, schema| definitions.named(1, name, &self::schema(schema)));
    let mut out = Message::default();
    out.text(1, "2.0");
    let mut about = Message::default();
    about.texts_of(&info(), &[(1, "title"), (2, "version")]);
    out.message(2, &about);
    out.message(8, &paths);
    drop(paths);
    out.message(9, &definitions);
    let (mut wanted, mut defined) = (Message::default(), Message::default());
    for (name, kind) in security().as_object().into_iter().flatten() {
        wanted.named(1, name, &Message::default());
        let mut key = Message::default();
        key.texts_of(kind, &[(1, "type"), (2, "name"), (3, "in"), (4, "description")]);
        defined.named(1, name, &Message::default().with(2, &key));
    }
    out.message(12, &wanted);
    out.message(13, &defined);
    out.0
}

/// `PathItem`.
fn path_item(item: &Value) -> Message {
    let mut out = Message::default();
    for (method, number) in
        [("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("options", 6), ("head", 7), ("patch", 8)]
    {
        item.get(method).into_iter().for_each(|value| out.message(number, &operation(value)));
    }
    list(&item["parameters"]).iter().for_each(|value| out.message(9, &parameter(value)));
    out
}

/// `Operation`.
fn operation(value: &Value) -> Message {
    let mut out = Message::default();
    out.texts(1, &value["tags"]);
    out.texts_of(value, &[(3, "description"), (5, "operationId")]);
    out.texts(6, &value["produces"]);
    out.texts(7, &value["consumes"]);
    list(&value["parameters"]).iter().for_each(|value| out.message(8, &parameter(value)));
    let mut responses = Message::default();
    for (code, answer) in value["responses"].as_object().into_iter().flatten() {
        let mut response = Message::default();
        response.texts_of(answer, &[(1, "description")]);
        if let Some(kind) = answer.get("schema") {
            response.message(2, &Message::default().with(1, &schema(kind)));
        }
        responses.named(1, code, &Message::default().with(1, &response));
    }
    out.message(9, &responses);
    out.texts(10, &value["schemes"]);
    out.extensions(13, value);
    out
}

/// `ParametersItem`, around `BodyParameter`, `QueryParameterSubSchema` or `PathParameterSubSchema`.
fn parameter(value: &Value) -> Message {
    let mut own = Message::default();
    let place = value["in"].as_str().unwrap_or_default();
    let inner = match place {
        "body" => {
            own.texts_of(value, &[(2, "name"), (3, "in")]);
            own.flag(4, &value["required"]);
            own.message(5, &schema(&value["schema"]));
            Message::default().with(1, &own)
        }
        "query" => {
            own.flag(1, &value["required"]);
            own.texts_of(value, &[(2, "in"), (4, "name"), (6, "type")]);
            own.flag(20, &value["uniqueItems"]);
            Message::default().with(2, &Message::default().with(3, &own))
        }
        _ => {
            own.flag(1, &value["required"]);
            own.texts_of(value, &[(2, "in"), (4, "name"), (5, "type")]);
            own.flag(19, &value["uniqueItems"]);
            Message::default().with(2, &Message::default().with(4, &own))
        }
    };
    Message::default().with(1, &inner)
}

/// `Schema`.
fn schema(value: &Value) -> Message {
    let mut out = Message::default();
    out.texts_of(value, &[(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")]);
    for (number, key) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        value[key].as_f64().into_iter().for_each(|value| out.double(number, value));
    }
    for (number, key) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        value[key].as_u64().into_iter().for_each(|value| out.number(number, value));
    }
    for (number, key) in [(8, "exclusiveMaximum"), (10, "exclusiveMinimum"), (16, "uniqueItems")] {
        out.flag(number, &value[key]);
    }
    out.texts(19, &value["required"]);
    list(&value["enum"]).iter().for_each(|value| out.message(20, &any(value)));
    match value.get("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            // A choice of messages is written even where it is false.
            let mut choice = Message::default();
            choice.number(2, (*allowed).into());
            out.message(21, &choice);
        }
        Some(kind) => out.message(21, &Message::default().with(1, &schema(kind))),
        None => {}
    }
    if let Some(kind) = value["type"].as_str() {
        let mut types = Message::default();
        types.text(1, kind);
        out.message(22, &types);
    }
    value
        .get("items")
        .into_iter()
        .for_each(|kind| out.message(23, &Message::default().with(1, &schema(kind))));
    if let Some(fields) = value["properties"].as_object() {
        let mut properties = Message::default();
        fields.iter().for_each(|(name, kind)| properties.named(1, name, &schema(kind)));
        out.message(25, &properties);
    }
    out.extensions(31, value);
    out
}

/// `Any`.
fn any(value: &Value) -> Message {
    let mut out = Message::default();
    out.text(2, &format!("{value}\n"));
    out
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

// === impl Message ===

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is meant")]
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        self.0.push(value as u8);
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, number: u64, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    fn message(&mut self, number: u64, inner: &Self) {
        self.bytes(number, &inner.0);
    }

    fn with(mut self, number: u64, inner: &Self) -> Self {
        self.message(number, inner);
        self
    }

    fn number(&mut self, number: u64, value: u64) {
        self.varint(number << 3);
        self.varint(value);
    }

    fn double(&mut self, number: u64, value: f64) {
        self.varint(number << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A truth; what is false or not there is not written.
    fn flag(&mut self, number: u64, value: &Value) {
        if *value == true {
            self.number(number, 1);
        }
    }

    fn texts(&mut self, number: u64, values: &Value) {
        list(values).iter().filter_map(Value::as_str).for_each(|text| self.text(number, text));
    }

    fn texts_of(&mut self, value: &Value, fields: &[(u64, &str)]) {
        for (number, key) in fields {
            value[*key].as_str().into_iter().for_each(|text| self.text(*number, text));
        }
    }

    /// One of the messages of a name and a value.
    fn named(&mut self, number: u64, name: &str, value: &Self) {
        let mut pair = Self::default();
        pair.text(1, name);
        pair.message(2, value);
        self.message(number, &pair);
    }

    fn extensions(&mut self, number: u64, value: &Value) {
        let fields = value.as_object().into_iter().flat_map(Map::iter);
        fields
            .filter(|(key, _)| key.starts_with("x-"))
            .for_each(|(key, value)| self.named(number, key, &any(value)));
    }
}
