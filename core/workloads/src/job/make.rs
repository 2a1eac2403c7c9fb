//! The pod that a Job makes.

use crate::pod::{INDEX, TRACKING, from_template, owner_reference};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec};

/// Where a container of an indexed Job finds its index.
const VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// A new pod, for an index in an indexed Job.
pub fn pod(job: &Job, index: Option<i32>) -> Pod {
    let owner = owner_reference("batch/v1", "Job", &job.metadata);
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = from_template(&template, owner);
    pod.metadata.finalizers.get_or_insert_default().push(TRACKING.to_owned());
    if let Some(index) = index {
        number(&mut pod, job, index);
    }
    pod
}

fn number(pod: &mut Pod, job: &Job, index: i32) {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let meta = &mut pod.metadata;
    meta.generate_name = Some(format!("{name}-{index}-"));
    meta.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    meta.annotations.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    let spec = pod.spec.get_or_insert_with(PodSpec::default);
    spec.hostname.get_or_insert_with(|| format!("{name}-{index}"));
    let inits = spec.init_containers.iter_mut().flatten();
    inits.chain(&mut spec.containers).for_each(tell_index);
}

fn tell_index(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|variable| variable.name == VARIABLE) {
        return;
    }
    let field = ObjectFieldSelector { api_version: None, field_path: format!("metadata.labels['{INDEX}']") };
    env.push(EnvVar {
        name: VARIABLE.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
    });
}
