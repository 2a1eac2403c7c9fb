//! The controllers on the embedded API server, asked by a client that is a stranger to both.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::needless_pass_by_value, reason = "tests")]

mod cluster {
    mod apps;
    mod definitions;
    mod owners;
    mod people;
    mod scheduling;
    mod services;
    mod timing;
    mod volumes;
    mod world;
}
