//! Asks from inside a sandbox, with a program that the built-in image's python3 runs.

use crate::Machine;
use serde_json::Value;

const PROGRAM: &str = include_str!("inside.py");

/// Runs one of the program's functions in a Pod's first container through kubectl.
///
/// # Panics
/// It fails, or prints no JSON.
#[track_caller]
pub fn inside(machine: &Machine, pod: &str, asked: &Value) -> Value {
    let asked = asked.to_string();
    let said = machine.kubectl(&["exec", pod, "-q", "--", "python3", "-c", PROGRAM, &asked]).ok();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{pod}: {error}: {said}"))
}
