//! What the kernel lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many open files as are allowed: shells start with 1024, and a sandbox with its watches needs several. Containers
/// have a limit of their own.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Up to the hard limit nobody is refused.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
