//! Turns a spec and a status into a Kubernetes resource type.
//!
//! The types carry `metadata`, `spec` and (most) `status`; `apiVersion` and `kind` are constants of the type,
//! written on the way out and not looked at on the way in, as client libraries do.

/// Declares a namespaced resource type: the struct, how it is written, and what it is called.
macro_rules! resource {
    ($(#[$doc:meta])* $name:ident in $group:expr, $version:literal, $plural:literal, $spec:ty, $status:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
        pub struct $name {
            /// Standard object metadata.
            #[serde(default)]
            pub metadata: kube_core::ObjectMeta,
            /// What is wanted.
            pub spec: $spec,
            /// What was observed; none until a controller wrote it.
            #[serde(default)]
            pub status: Option<$status>,
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;
                let mut out = serializer.serialize_struct(stringify!($name), 5)?;
                out.serialize_field("apiVersion", &<Self as kube_core::Resource>::api_version(&()))?;
                out.serialize_field("kind", stringify!($name))?;
                out.serialize_field("metadata", &self.metadata)?;
                out.serialize_field("spec", &self.spec)?;
                if let Some(status) = &self.status {
                    out.serialize_field("status", status)?;
                }
                out.end()
            }
        }

        impl kube_core::Resource for $name {
            type DynamicType = ();
            type Scope = k8s_openapi::NamespaceResourceScope;

            fn kind(_: &()) -> std::borrow::Cow<'_, str> {
                stringify!($name).into()
            }
            fn group(_: &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }
            fn version(_: &()) -> std::borrow::Cow<'_, str> {
                $version.into()
            }
            fn plural(_: &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &kube_core::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut kube_core::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

pub(crate) use resource;
