//! Built-in kinds, in the order in which discovery lists their groups. Names, short names and categories are those
//! of Kubernetes 1.36.

use std::borrow::Cow;

use super::subresources as sub;
use super::{Body, Kind, ONE_BY_ONE, STORED, Storage, Subresource, Text};

const NAMESPACED: bool = true;
const CLUSTER: bool = false;

/// All built-in kinds.
pub(super) fn kinds() -> Vec<Kind> {
    let mut kinds = core();
    kinds.extend(groups());
    kinds.extend(reviews());
    kinds
}

fn core() -> Vec<Kind> {
    let v1 = |plural, kind, namespaced, body| stored("", "v1", plural, kind, namespaced, body);
    vec![
        v1("configmaps", "ConfigMap", NAMESPACED, Body::ConfigMap).short("cm"),
        v1("endpoints", "Endpoints", NAMESPACED, Body::Endpoints)
            .short("ep")
            .deprecated("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        v1("events", "Event", NAMESPACED, Body::Event).short("ev"),
        v1("limitranges", "LimitRange", NAMESPACED, Body::LimitRange).short("limits"),
        v1("namespaces", "Namespace", CLUSTER, Body::Namespace)
            .short("ns")
            .below(sub::NAMESPACE)
            .one_by_one(),
        v1("nodes", "Node", CLUSTER, Body::Node).short("no").below(sub::NODE),
        v1("persistentvolumeclaims", "PersistentVolumeClaim", NAMESPACED, Body::PersistentVolumeClaim)
            .short("pvc")
            .below(sub::ONLY_STATUS),
        v1("persistentvolumes", "PersistentVolume", CLUSTER, Body::PersistentVolume)
            .short("pv")
            .below(sub::ONLY_STATUS),
        v1("pods", "Pod", NAMESPACED, Body::Pod).short("po").all().below(sub::POD),
        v1("resourcequotas", "ResourceQuota", NAMESPACED, Body::ResourceQuota)
            .short("quota")
            .below(sub::ONLY_STATUS),
        v1("secrets", "Secret", NAMESPACED, Body::Secret),
        v1("serviceaccounts", "ServiceAccount", NAMESPACED, Body::ServiceAccount)
            .short("sa")
            .below(sub::SERVICE_ACCOUNT),
        v1("services", "Service", NAMESPACED, Body::Service).short("svc").all().below(sub::SERVICE),
    ]
}

fn groups() -> Vec<Kind> {
    let apps = |plural, kind, body| stored("apps", "v1", plural, kind, NAMESPACED, body).all();
    let rbac = |plural, kind, namespaced, body| {
        stored("rbac.authorization.k8s.io", "v1", plural, kind, namespaced, body)
    };
    vec![
        apps("deployments", "Deployment", Body::Deployment).short("deploy").below(sub::SCALABLE),
        apps("replicasets", "ReplicaSet", Body::ReplicaSet).short("rs").below(sub::SCALABLE),
        stored("events.k8s.io", "v1", "events", "Event", NAMESPACED, Body::Event).short("ev").kept_as("core"),
        stored("batch", "v1", "jobs", "Job", NAMESPACED, Body::Job).all().below(sub::ONLY_STATUS),
        stored(
            "networking.k8s.io",
            "v1",
            "networkpolicies",
            "NetworkPolicy",
            NAMESPACED,
            Body::NetworkPolicy,
        )
        .short("netpol"),
        rbac("clusterrolebindings", "ClusterRoleBinding", CLUSTER, Body::ClusterRoleBinding),
        rbac("clusterroles", "ClusterRole", CLUSTER, Body::ClusterRole),
        rbac("rolebindings", "RoleBinding", NAMESPACED, Body::RoleBinding),
        rbac("roles", "Role", NAMESPACED, Body::Role),
        stored("storage.k8s.io", "v1", "storageclasses", "StorageClass", CLUSTER, Body::StorageClass)
            .short("sc"),
        crds(),
        stored("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", CLUSTER, Body::PriorityClass)
            .short("pc"),
        stored("coordination.k8s.io", "v1", "leases", "Lease", NAMESPACED, Body::Lease),
        stored("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", CLUSTER, Body::RuntimeClass),
        stored("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", NAMESPACED, Body::EndpointSlice),
    ]
}

fn crds() -> Kind {
    let plural = "customresourcedefinitions";
    let mut kind = stored(
        "apiextensions.k8s.io",
        "v1",
        plural,
        "CustomResourceDefinition",
        CLUSTER,
        Body::CustomResourceDefinition,
    )
    .short("crd")
    .short("crds")
    .below(sub::ONLY_STATUS);
    kind.categories.push(Cow::Borrowed("api-extensions"));
    kind
}

fn reviews() -> Vec<Kind> {
    let review = |group, plural, kind, namespaced| Kind {
        verbs: &["create"],
        storage: None,
        ..stored(group, "v1", plural, kind, namespaced, Body::Review)
    };
    let authentication = "authentication.k8s.io";
    let authorization = "authorization.k8s.io";
    vec![
        review(authentication, "selfsubjectreviews", "SelfSubjectReview", CLUSTER),
        review(authentication, "tokenreviews", "TokenReview", CLUSTER),
        review(authorization, "localsubjectaccessreviews", "LocalSubjectAccessReview", NAMESPACED),
        review(authorization, "selfsubjectaccessreviews", "SelfSubjectAccessReview", CLUSTER),
        review(authorization, "selfsubjectrulesreviews", "SelfSubjectRulesReview", CLUSTER),
        review(authorization, "subjectaccessreviews", "SubjectAccessReview", CLUSTER),
    ]
}

fn stored(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    body: Body,
) -> Kind {
    let kept = if group.is_empty() { "core" } else { group };
    Kind {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(kind),
        list_kind: Cow::Owned(format!("{kind}List")),
        plural: Cow::Borrowed(plural),
        singular: Cow::Owned(kind.to_lowercase()),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced,
        verbs: STORED,
        subresources: Vec::new(),
        storage: Some(Storage {
            group: Cow::Borrowed(kept),
            plural: Cow::Borrowed(plural),
            version: Cow::Borrowed(version),
        }),
        deprecation: None,
        body,
    }
}

impl Kind {
    fn short(mut self, name: &'static str) -> Kind {
        self.short_names.push(Cow::Borrowed(name));
        self
    }

    fn all(mut self) -> Kind {
        self.categories.push(Cow::Borrowed("all"));
        self
    }

    fn below(mut self, subresources: &[Subresource]) -> Kind {
        self.subresources = subresources.to_vec();
        self
    }

    fn one_by_one(mut self) -> Kind {
        self.verbs = ONE_BY_ONE;
        self
    }

    fn deprecated(mut self, text: &'static str) -> Kind {
        self.deprecation = Some(Text::Borrowed(text));
        self
    }

    fn kept_as(mut self, group: &'static str) -> Kind {
        if let Some(storage) = &mut self.storage {
            storage.group = Cow::Borrowed(group);
        }
        self
    }
}
