//! Who may do what: Kubernetes' role-based access control, and what tokens say of their holders.
//!
//! ```text
//! Roles, bindings (Objects) ──> Policy ──> decide(Who, Request)        may this user do this?
//!                                     ├──> rules_for(Who, namespace)   everything this user may do
//!                                     └──> may_grant(Who, rules)       does this user hold what he gives away?
//! bootstrap ──> reconcile(stored)                                      the roles that every cluster has
//! claims, token_file                                                   what a token says
//! lifetime                                                             when a certificate is replaced
//! ```
//!
//! **Invariants.** Pure: no I/O, no clock (`now` is an argument), no keys: signatures are the business of whoever calls.
//! Rights only add up; what no rule allows is refused. Texts that a client can see are Kubernetes' own.

pub mod bootstrap;
pub mod claims;
pub mod lifetime;
pub mod token_file;

mod aggregate;
mod escalate;
mod objects;
mod policy;
mod reconcile;
mod request;
mod rule;
mod subject;

pub use claims::Claims;
pub use objects::{Objects, Plural};
pub use policy::{Decision, Policy};
pub use reconcile::reconcile;
pub use request::{Request, Resource, Target};
pub use rule::Rule;
pub use subject::{Subject, Who, service_account_groups, service_account_name, split_service_account};

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";
/// The group of everybody who has proved who he is.
pub const AUTHENTICATED: &str = "system:authenticated";
