//! Writes of roles and bindings give no rights that their writer does not hold.
//!
//! Facts: `policybased` storages of Kubernetes; the check comes before validation.

use access::{GROUP, Policy, Request, Resource, Rule};
use kinds::Body;
use serde_json::Value;
use wire::{Qualified, Status};

use crate::{object, verb::Call};

/// Fields that a controller may change on the way to an object's end, whoever it is.
const OF_COLLECTORS: [&str; 4] = ["finalizers", "ownerReferences", "managedFields", "resourceVersion"];

/// Refuses a write that would give more than the writer holds.
pub(crate) fn escalation(call: &Call<'_>, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    let kind = call.kind();
    let is_role = match kind.body {
        Body::Role | Body::ClusterRole => true,
        Body::RoleBinding | Body::ClusterRoleBinding => false,
        _ => return Ok(()),
    };
    if call.identity.may_do_everything() || old.is_some_and(|old| is_for_collectors_only(new, old)) {
        return Ok(());
    }
    let policy = call.core.access.policy();
    if is_role { role(call, &policy, new, old) } else { binding(call, &policy, new) }
}

fn role(call: &Call<'_>, policy: &Policy, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    let resource = Resource {
        group: GROUP,
        resource: &call.kind().plural,
        subresource: "",
        namespace: &call.target.namespace,
        name: &call.target.name,
    };
    let who = call.identity.who();
    if policy.decide(&who, &Request::on("escalate", resource)).is_allowed() {
        return Ok(());
    }
    let forbidden = |why: &str| Status::forbidden(call.target.resource(), object::name(new), why);
    let held = policy.may_grant(&who, &call.target.namespace, &Rule::read_all(new));
    held.map_err(|why| forbidden(&why))?;
    let aggregated = |role: &Value| role["aggregationRule"].is_object();
    if (aggregated(new) || old.is_some_and(aggregated)) && !policy.has_full_authority(&who) {
        return Err(forbidden("must have cluster-admin privileges to use the aggregationRule"));
    }
    Ok(())
}

fn binding(call: &Call<'_>, policy: &Policy, new: &Value) -> Result<(), Status> {
    let text = |field: &str| new["roleRef"][field].as_str().unwrap_or_default();
    let (kind, name, namespace) = (text("kind"), text("name"), call.target.namespace.as_str());
    let resource = Resource {
        group: GROUP,
        resource: if kind == "ClusterRole" { "clusterroles" } else { "roles" },
        subresource: "",
        namespace,
        name,
    };
    let who = call.identity.who();
    if policy.decide(&who, &Request::on("bind", resource)).is_allowed() {
        return Ok(());
    }
    let Ok(rules) = policy.role(kind, name, namespace) else {
        let kind = kind.to_lowercase();
        return Err(Status::not_found(Qualified::new(GROUP, &kind), name));
    };
    policy
        .may_grant(&who, namespace, rules)
        .map_err(|why| Status::forbidden(call.target.resource(), object::name(new), why))
}

fn is_for_collectors_only(new: &Value, old: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        for field in OF_COLLECTORS {
            object::set(&mut object, field, None);
        }
        object
    };
    bare(new) == bare(old)
}
