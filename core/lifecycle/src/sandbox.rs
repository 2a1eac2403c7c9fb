//! Decides what the Sandbox controller does next about one Sandbox.
