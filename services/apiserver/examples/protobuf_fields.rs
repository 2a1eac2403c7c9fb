//! Makes `data/protobuf.txt`, the field numbers of the built-in kinds, from the folder that holds
//! Kubernetes' `api` and `apimachinery` (`staging/src/k8s.io` in its source tree):
//! `cargo run -p apiserver --example protobuf_fields -- <folder>`.
//!
//! Numbers and types come from the `.proto` files; which fields are optional (and so keep a zero) and which are inlined
//! comes from the tags in `types.go`.
#![allow(clippy::unwrap_used, reason = "a tool for developers: it may stop at what it does not expect")]

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Write as _,
    fs,
    path::Path,
};

const APIS: [&str; 15] = [
    "apps",
    "authentication",
    "authorization",
    "autoscaling",
    "batch",
    "coordination",
    "core",
    "discovery",
    "events",
    "networking",
    "node",
    "policy",
    "rbac",
    "scheduling",
    "storage",
];
const MACHINERY: [&str; 4] = ["apis/meta/v1", "api/resource", "util/intstr", "runtime"];

type Fields = BTreeMap<u32, (String, String)>;

#[derive(Default)]
struct Tags {
    pointers: HashSet<(String, u32)>,
    inlined: HashSet<(String, u32)>,
}

fn main() {
    let root = std::env::args().nth(1).expect("the folder of `api` and `apimachinery`");
    let staging = Path::new(&root);
    let mut folders: Vec<_> = APIS.iter().map(|api| staging.join("api").join(api).join("v1")).collect();
    folders.extend(MACHINERY.iter().map(|part| staging.join("apimachinery/pkg").join(part)));
    let (mut messages, mut tags) = (BTreeMap::new(), Tags::default());
    for folder in &folders {
        let package = read_proto(&folder.join("generated.proto"), &mut messages);
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "go") {
                read_go(&path, &package, &mut tags);
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/protobuf.txt");
    fs::write(path, written(&messages, &tags)).unwrap();
}

fn read_proto(path: &Path, messages: &mut BTreeMap<String, Fields>) -> String {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("package ")).unwrap();
    let package = line.trim_end_matches(';').to_owned();
    let mut current = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("message ").and_then(|rest| rest.strip_suffix(" {")) {
            current = format!("{package}.{name}");
            messages.insert(current.clone(), Fields::new());
        } else if let Some((left, number)) = line.strip_suffix(';').and_then(|line| line.split_once(" = ")) {
            let Ok(number) = number.parse() else { continue };
            let (kind, name) = left.rsplit_once(' ').unwrap();
            let field = (short_type(kind, &package), name.to_owned());
            messages.get_mut(&current).unwrap().insert(number, field);
        }
    }
    package
}

/// `optional string` is `s`, `repeated int32` is `*i`, a map of strings `{s`, a message its full name.
fn short_type(kind: &str, package: &str) -> String {
    if let Some(rest) = kind.strip_prefix("map<string, ") {
        return format!("{{{}", short_type(rest.trim_end_matches('>'), package));
    }
    if let Some(rest) = kind.strip_prefix("repeated ") {
        return format!("*{}", short_type(rest, package));
    }
    match kind.strip_prefix("optional ").unwrap_or(kind) {
        "string" => "s".to_owned(),
        "bool" => "b".to_owned(),
        "int32" | "int64" | "uint32" | "uint64" => "i".to_owned(),
        "double" => "d".to_owned(),
        "bytes" => "y".to_owned(),
        other => match other.strip_prefix('.') {
            Some(full) => full.to_owned(),
            None => format!("{package}.{other}"),
        },
    }
}

fn read_go(path: &Path, package: &str, tags: &mut Tags) {
    let text = fs::read_to_string(path).unwrap();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("type ").and_then(|rest| rest.strip_suffix(" struct {")) {
            current = format!("{package}.{name}");
        }
        let (Some(at), Some(start)) = (line.find("protobuf:\""), line.find('`')) else { continue };
        let Some(number) = line[at..].split(',').nth(1).and_then(|number| number.parse::<u32>().ok()) else {
            continue;
        };
        if line[..start].split_whitespace().last().is_some_and(|kind| kind.starts_with('*')) {
            tags.pointers.insert((current.clone(), number));
        }
        if line.contains(",inline\"") {
            tags.inlined.insert((current.clone(), number));
        }
    }
}

/// All messages, one line each field: number, `?` for optional and `~` for inlined, type, name.
fn written(messages: &BTreeMap<String, Fields>, tags: &Tags) -> String {
    let names: BTreeSet<&str> =
        messages.keys().map(String::as_str).filter(|name| !name.ends_with("List")).collect();
    let mut out = String::new();
    for name in names {
        writeln!(out, "={}", shortened(name)).unwrap();
        for (number, (kind, json)) in &messages[name] {
            let key = (name.to_owned(), *number);
            let pointer = if tags.pointers.contains(&key) { "?" } else { "" };
            let inlined = if tags.inlined.contains(&key) { "~" } else { "" };
            writeln!(out, "{number} {pointer}{inlined}{} {json}", shortened(kind)).unwrap();
        }
    }
    out
}

/// `k8s.io.api.core.v1.Pod` is `core.Pod`.
fn shortened(name: &str) -> String {
    let cut = name.replace("k8s.io.apimachinery.pkg.apis.", "").replace("k8s.io.apimachinery.pkg.api.", "");
    let cut = cut.replace("k8s.io.apimachinery.pkg.util.", "").replace("k8s.io.apimachinery.pkg.", "");
    cut.replace("k8s.io.api.", "").replace(".v1.", ".")
}
