//! Kinds of CustomResourceDefinitions are collected, emptied and counted like all others.
use super::world::*;
use kube::api::PropagationPolicy::{Background, Foreground};
use serde_json::{Value, json};

const CRD: &str = "apiextensions.k8s.io/v1/CustomResourceDefinition";
const WIDGET: &str = "example.com/v1/Widget";

async fn with_widgets() -> World {
    let world = start().await;
    world.until("v1/ServiceAccount", "default", "default", |_| true).await;
    define(&world).await;
    world
}

async fn define(world: &World) {
    let version = json!({"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [version]}});
    world.create("", crd).await;
}

fn widget(name: &str, owners: &[(&Value, bool)]) -> Value {
    let mut widget = map(name, owners);
    widget["apiVersion"] = "example.com/v1".into();
    widget["kind"] = "Widget".into();
    widget
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_defined_object_owns_goes_with_it() {
    let world = with_widgets().await;
    let root = world.create("default", widget("root", &[])).await;
    let child = world.create("default", map("child", &[(&root, true)])).await;
    world.create("default", widget("grandchild", &[(&child, true)])).await;
    // What owns and is owned is known a moment after the definition came.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    world.delete(WIDGET, "default", "root", Foreground).await;
    world.gone("v1/ConfigMap", "default", "child").await;
    world.gone(WIDGET, "default", "grandchild").await;
    world.gone(WIDGET, "default", "root").await;
}

/// Kinds of one group need not be served in the same versions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_the_preferred_version_of_its_group_lacks_is_known_too() {
    let world = with_widgets().await;
    let version = json!({"name": "v1alpha1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "gadgets", "kind": "Gadget"},
            "versions": [version]}});
    world.create("", crd).await;
    let root = world.create("default", map("root", &[])).await;
    let mut gadget = map("gadget", &[(&root, true)]);
    gadget["apiVersion"] = "example.com/v1alpha1".into();
    gadget["kind"] = "Gadget".into();
    world.create("default", gadget).await;
    world.delete("v1/ConfigMap", "default", "root", Background).await;
    world.gone("example.com/v1alpha1/Gadget", "default", "gadget").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_goes_takes_what_its_objects_own_and_may_come_again() {
    let world = with_widgets().await;
    for round in ["first", "second"] {
        let root = world.create("default", widget(round, &[])).await;
        world.create("default", map(round, &[(&root, true)])).await;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        world.delete(CRD, "", "widgets.example.com", Background).await;
        world.gone("v1/ConfigMap", "default", round).await;
        world.gone(CRD, "", "widgets.example.com").await;
        define(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_are_emptied_of_defined_objects_and_quotas_count_them() {
    let world = with_widgets().await;
    world.create("", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})).await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"},
        "spec": {"hard": {"count/widgets.example.com": "5"}}});
    world.create("team", quota).await;
    world.create("team", widget("a", &[])).await;
    world.create("team", widget("b", &[])).await;
    world
        .until("v1/ResourceQuota", "team", "few", |quota| {
            quota["status"]["used"]["count/widgets.example.com"] == "2"
        })
        .await;
    world.delete("v1/Namespace", "", "team", Background).await;
    world.gone("v1/Namespace", "", "team").await;
    assert!(world.get(WIDGET, "team", "a").await.is_none());
}
