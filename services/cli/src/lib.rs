//! The command line for people: the verbs that act on sandboxes, on standalone and on any cluster alike.
//!
//! - [`Command`] is what was typed; each verb has a file of its own with its arguments and what it does.
//! - [`Connection`] is which API server it goes to; [`Failure`] is an error with its remedy and exit code.
//!
//! **Invariant:** a verb talks to the Kubernetes API and to nothing else, so that it works wherever the API does.

#![allow(clippy::print_stdout, reason = "a command line prints")]

mod apply;
mod connection;
mod container;
mod create;
mod exec;
mod expire;
mod failure;
mod image;
mod list;
mod logs;
mod manifest;
mod mode;
mod output;
pub mod owner;
mod progress;
mod remove;
mod run;
mod runtime;
mod sandbox;
mod several;
mod terminal;
mod verbs;
mod verdict;
mod wait;
mod why;

pub use connection::{Connection, ConnectionArgs, DATA_DIR};
pub use failure::{Failure, Result};
pub use output::{print, size};
pub use progress::Progress;
pub use verbs::{Command, perform};
