//! Preparing jobs: the selector and the pods' labels come from the job's uid.

use serde_json::{Value, json};

use crate::value::{field, flag, object, set, text};

/// A new job.
pub(super) fn create_job(job: &mut Value) {
    set(job, "status", json!({}));
    if flag(job, "/spec/manualSelector") {
        return;
    }
    let (name, uid) = (text(job, "/metadata/name").to_owned(), text(job, "/metadata/uid").to_owned());
    object(job, "spec");
    let spec = field(job, "spec");
    object(spec, "template");
    let template = field(spec, "template");
    object(template, "metadata");
    let labels = object(field(template, "metadata"), "labels");
    for (key, value) in [
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("controller-uid", &uid),
    ] {
        labels.insert(key.to_owned(), Value::from(value.as_str()));
    }
    object(spec, "selector");
    let selector = object(field(spec, "selector"), "matchLabels");
    selector.insert("batch.kubernetes.io/controller-uid".to_owned(), Value::from(uid));
}
