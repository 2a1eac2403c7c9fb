//! `expire`: when a sandbox is shut down.

use crate::{
    connection::Connection,
    failure::{Doing as _, Failure, Result},
    sandbox::{get, rfc3339, sandboxes},
};
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::str::FromStr;

/// Shown under `expire --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox expire my-sandbox 30m            # delete it in half an hour
  agent-sandbox expire my-sandbox 2h --keep      # stop it then, keep its volumes
  agent-sandbox expire my-sandbox never";

/// A moment, given as a duration from now or as a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expiry(Timestamp);

/// Arguments of `expire`.
#[derive(Args, Debug)]
pub struct ExpireArgs {
    /// Name of the sandbox
    pub(crate) name: String,
    /// When: a duration (30m, 2h, 1d), a time (2026-12-01T12:00:00Z), `now`, or `never`
    #[arg(value_name = "WHEN")]
    pub(crate) when: String,
    /// Keep the Sandbox object and its volumes; only what runs is stopped
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What `-o` of kubectl calls the shutdown policy.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Policy {
    Delete,
    Retain,
}

pub(crate) async fn perform(args: ExpireArgs, connection: &Connection) -> Result<()> {
    get(connection, &args.name).await?;
    let policy = if args.keep { Policy::Retain } else { Policy::Delete };
    let expiry =
        if args.when == "never" { None } else { Some(args.when.parse::<Expiry>().map_err(Failure::new)?) };
    let time = expiry.as_ref().map(|expiry| rfc3339(&expiry.time()));
    let body = json!({"spec": {"shutdownTime": time, "shutdownPolicy": format!("{policy:?}")}});
    let patch = sandboxes(connection).patch(&args.name, &PatchParams::default(), &Patch::Merge(&body)).await;
    patch.doing(|| format!("set the expiry of sandbox {:?}", args.name))?;
    match time {
        Some(time) => println!("sandbox/{} expires at {time}", args.name),
        None => println!("sandbox/{} does not expire", args.name),
    }
    Ok(())
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
    }
}
