//! Which isolation a sandbox has where it names none: the server says it on its RuntimeClasses.

use crate::connection::Connection;
use crd::names::annotation;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::{Api, api::ListParams};

/// The RuntimeClass that stands in where none is named; `None` where the server does not say.
pub(crate) async fn default(connection: &Connection) -> Option<String> {
    let classes: Api<RuntimeClass> = Api::all(connection.client.clone());
    let list = classes.list(&ListParams::default()).await.ok()?;
    let is_default = |class: &RuntimeClass| {
        let annotations = class.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(annotation::DEFAULT_RUNTIME)).is_some_and(|value| value == "true")
    };
    list.items.into_iter().find(is_default)?.metadata.name
}

/// The isolation of a sandbox in plain words: runc shares the machine's kernel with it.
pub(crate) fn isolation(class: Option<&str>, default: Option<&str>) -> String {
    let by_default = if class.is_none() { " (the default)" } else { "" };
    match class.or(default) {
        Some("gvisor") => format!("isolation: gVisor{by_default}, a kernel of its own in user space"),
        Some("runc") => {
            format!("isolation: runc{by_default}, a shared kernel: not for code you do not trust")
        }
        Some(other) => format!("isolation: RuntimeClass {other}{by_default}"),
        None => "isolation: the server's own; it does not say which".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_that_shares_the_kernel_is_said_to() {
        assert!(isolation(None, Some("runc")).contains("runc (the default), a shared kernel"));
        assert!(isolation(Some("gvisor"), Some("runc")).contains("a kernel of its own"));
        assert!(!isolation(None, None).contains("kernel"));
    }
}
