//! `expire`: when a sandbox is shut down.

use crate::{
    connection::Connection,
    failure::{Doing as _, Result},
    output::say,
    sandbox::{get, rfc3339, sandboxes},
};
use clap::Args;
use crd::v1beta1::ShutdownPolicy;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::str::FromStr;

/// Shown under `expire --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox expire my-sandbox 30m            # as its shutdownPolicy says; 'create' makes sandboxes that are deleted
  agent-sandbox expire my-sandbox 2h --keep      # stop it then, keep its volumes
  agent-sandbox expire my-sandbox 2h --delete    # delete it then, with its volumes
  agent-sandbox expire my-sandbox never";

/// A moment, given as a duration from now or as a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expiry(Timestamp);

/// When a sandbox is shut down, if ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Never,
    At(Expiry),
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(SignedDuration);

/// Arguments of `expire`.
#[derive(Args, Debug)]
pub struct ExpireArgs {
    /// Name of the sandbox
    pub(crate) name: String,
    /// When: a duration (30m, 2h, 1d), a time (2026-12-01T12:00:00Z), `now`, or `never`
    #[arg(value_name = "WHEN")]
    pub(crate) when: When,
    /// Keep the Sandbox object and its volumes then; only what runs is stopped
    #[arg(long)]
    pub(crate) keep: bool,
    /// Delete the Sandbox with its volumes then
    #[arg(long, conflicts_with = "keep")]
    pub(crate) delete: bool,
}

pub(crate) async fn perform(args: ExpireArgs, connection: &Connection) -> Result<()> {
    let sandbox = get(connection, &args.name).await?;
    let policy = policy(&args, sandbox.spec.shutdown_policy);
    let time = match &args.when {
        When::Never => None,
        When::At(expiry) => Some(rfc3339(&expiry.time())),
    };
    let body = json!({"spec": {"shutdownTime": time, "shutdownPolicy": policy}});
    let patch = sandboxes(connection).patch(&args.name, &PatchParams::default(), &Patch::Merge(&body)).await;
    patch.doing(|| format!("set the expiry of sandbox {:?}", args.name))?;
    match (time, policy) {
        (None, _) => say!("sandbox/{} does not expire", args.name),
        (Some(time), ShutdownPolicy::Delete) => {
            say!("sandbox/{} expires at {time} and is deleted with its volumes", args.name);
        }
        (Some(time), ShutdownPolicy::Retain) => {
            say!("sandbox/{} expires at {time}; it is stopped and kept (--delete deletes it)", args.name);
        }
    }
    Ok(())
}

/// What a flag says; else what the Sandbox says, which is not overwritten: somebody may count on its volumes.
fn policy(args: &ExpireArgs, present: Option<ShutdownPolicy>) -> ShutdownPolicy {
    match (args.keep, args.delete) {
        (true, _) => ShutdownPolicy::Retain,
        (_, true) => ShutdownPolicy::Delete,
        _ => present.unwrap_or(ShutdownPolicy::Delete),
    }
}

// === impl Expiry ===

impl Expiry {
    /// The moment as Kubernetes writes it, in whole seconds.
    pub(crate) fn time(&self) -> Time {
        Time(Timestamp::from_second(self.0.as_second()).unwrap_or(self.0))
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let now = Timestamp::now();
        if text == "now" {
            return Ok(Self(now));
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self(time));
        }
        let after = duration(text).ok_or_else(|| {
            format!(
                "{text:?} is neither a duration such as 30m or 2h nor a time such as 2026-12-01T12:00:00Z"
            )
        })?;
        now.checked_add(after).map(Self).map_err(|error| format!("{text:?}: {error}"))
    }
}

// === impl When ===

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "never" { Ok(Self::Never) } else { text.parse().map(Self::At) }
    }
}

// === impl Span ===

impl Span {
    /// Whole seconds.
    pub(crate) fn seconds(self) -> i64 {
        self.0.as_secs()
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        duration(text).map(Self).ok_or_else(|| format!("{text:?} is no duration such as 30s, 5m or 2h"))
    }
}

/// `90s`, `30m`, `1h30m`, `1d`. Days are 24 hours.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut seconds: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[digits + unit.len_utf8()..];
    }
    (!text.is_empty()).then(|| SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up() {
        assert_eq!(duration("1h30m"), Some(SignedDuration::from_secs(5400)));
        assert_eq!(duration("1d"), Some(SignedDuration::from_secs(86_400)));
        for wrong in ["", "5", "h", "5x", "-5m", "99999999999999999999s"] {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_time_is_taken_as_it_stands() {
        let expiry: Expiry = "2026-12-01T12:00:00Z".parse().expect("time");
        assert_eq!(rfc3339(&expiry.time()), "2026-12-01T12:00:00Z");
        assert!("tomorrow".parse::<Expiry>().is_err());
        assert_eq!("never".parse(), Ok(When::Never));
        assert_eq!("5m".parse::<Span>().map(Span::seconds), Ok(300));
    }

    #[test]
    fn the_policy_changes_only_where_a_flag_says_so() {
        let args = |keep, delete| ExpireArgs { name: "s".to_owned(), when: When::Never, keep, delete };
        let (retain, delete) = (ShutdownPolicy::Retain, ShutdownPolicy::Delete);
        assert_eq!(
            policy(&args(false, false), Some(retain)),
            retain,
            "volumes that somebody keeps stay kept"
        );
        assert_eq!(policy(&args(false, false), Some(delete)), delete);
        assert_eq!(policy(&args(false, false), None), delete);
        assert_eq!(policy(&args(true, false), Some(delete)), retain);
        assert_eq!(policy(&args(false, true), Some(retain)), delete);
    }
}
