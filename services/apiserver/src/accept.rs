//! What a client wants back: the encoding and the form of the answer.

use http::{HeaderMap, header};
use wire::Status;

/// The media types objects are served in.
pub(crate) const SERVED: [&str; 2] = ["application/json", "application/yaml"];

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The object itself.
    Object,
    /// `meta.k8s.io/v1 Table`.
    Table,
    /// `PartialObjectMetadata` or its list.
    Partial,
    /// `APIGroupDiscoveryList` in this version.
    Discovery(&'static str),
}

/// The answer a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) encoding: Encoding,
    pub(crate) form: Form,
}

/// Reads the `Accept` header: the first of the client's choices, best quality first, that we serve.
pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Accept, Status> {
    let accepted: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut choices: Vec<(&str, f32)> =
        accepted.iter().flat_map(|value| value.split(',')).map(|choice| (choice, quality(choice))).collect();
    if choices.iter().all(|(choice, _)| choice.trim().is_empty()) {
        return Ok(Accept { encoding: Encoding::Json, form: Form::Object });
    }
    choices.sort_by(|a, b| b.1.total_cmp(&a.1));
    let found = choices.iter().filter(|(_, quality)| *quality > 0.0).find_map(|(choice, _)| read(choice));
    found.ok_or_else(|| Status::not_acceptable(&SERVED))
}

fn quality(choice: &str) -> f32 {
    parameter(choice, "q").and_then(|q| q.parse().ok()).unwrap_or(1.0)
}

fn parameter<'a>(choice: &'a str, name: &str) -> Option<&'a str> {
    choice.split(';').skip(1).find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

fn read(choice: &str) -> Option<Accept> {
    let encoding = match choice.split(';').next().unwrap_or_default().trim() {
        "application/json" | "application/*" | "*/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let group_version =
        (parameter(choice, "g").unwrap_or_default(), parameter(choice, "v").unwrap_or_default());
    let form = match (parameter(choice, "as"), group_version) {
        (None, _) => Form::Object,
        (Some("Table"), ("meta.k8s.io", "v1")) => Form::Table,
        (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), ("meta.k8s.io", "v1")) => Form::Partial,
        (Some("APIGroupDiscoveryList"), ("apidiscovery.k8s.io", "v2")) => Form::Discovery("v2"),
        (Some("APIGroupDiscoveryList"), ("apidiscovery.k8s.io", "v2beta1")) => Form::Discovery("v2beta1"),
        _ => return None,
    };
    Some(Accept { encoding, form })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(accept: &'static str, want: Option<(Encoding, Form)>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        let got = negotiate(&headers).ok().map(|accept| (accept.encoding, accept.form));
        assert_eq!(got, want, "{accept}");
    }

    // Fact: these are the headers kubectl 1.32, client-go and kube-rs send.
    #[test]
    fn the_first_choice_that_is_served_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                     application/json";
        check(table, Some((Encoding::Json, Form::Table)));
        check("application/vnd.kubernetes.protobuf,application/json", Some((Encoding::Json, Form::Object)));
        let discovery =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        check(discovery, Some((Encoding::Json, Form::Discovery("v2"))));
        check("application/json;q=0.5, application/yaml", Some((Encoding::Yaml, Form::Object)));
        check("*/*", Some((Encoding::Json, Form::Object)));
        check("application/vnd.kubernetes.protobuf", None);
    }
}
