//! Containers by the real runc and runsc, as root: what a sandbox is promised, seen from inside and from the host.
//!
//! Every test makes its own instance (run directory, network namespace, cgroups) and checks at its end that nothing
//! of it is left on the host.

mod adoption;
mod confinement;
mod failures;
mod io;
mod life;
mod measure;
mod pods;
mod support;
