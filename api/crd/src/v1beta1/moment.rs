//! The moment at which a Sandbox or claim expires, read as generously as the API server accepts it.
//!
//! The schema asks for RFC 3339 and no more: years that a [`Timestamp`] cannot hold and any number of digits after the
//! second are valid. What is too far away becomes the last moment there is, and digits below the nanosecond are cut. A
//! Sandbox must not be lost over its own end.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// When something expires, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

/// Digits after the second that are kept.
const DIGITS: usize = 9;
/// Length of `2026-01-02T03:04:05`.
const CLOCK: usize = 19;

// === impl Moment ===

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map(Self).ok_or_else(|| format!("{text:?} is no RFC 3339 time"))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl From<Time> for Moment {
    fn from(time: Time) -> Self {
        Self(time.0)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let (clock, rest) = text.split_at_checked(CLOCK)?;
    let (fraction, zone) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("0", rest),
    };
    let kept = fraction.get(..DIGITS).unwrap_or(fraction);
    let civil: DateTime = format!("{clock}.{kept}").parse().ok()?;
    let limit = if civil.year() > 0 { Timestamp::MAX } else { Timestamp::MIN };
    Some(offset(zone)?.to_timestamp(civil).unwrap_or(limit))
}

/// `Z` or `+02:00`.
fn offset(zone: &str) -> Option<Offset> {
    if matches!(zone, "Z" | "z") {
        return Some(Offset::UTC);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':').filter(|(hours, _)| hours.len() == 2)?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    match sign {
        "+" => Offset::from_seconds(seconds).ok(),
        "-" => Offset::from_seconds(-seconds).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        text.parse::<Moment>().map(|moment| moment.to_string())
    }

    #[test]
    fn what_the_schema_accepts_is_read() {
        let rows = [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.5Z"),
            ("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456789Z"),
            ("2026-01-02T03:04:05.1234567899999Z", "2026-01-02T03:04:05.123456789Z"),
            ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
            ("2026-01-02T03:04:05-23:59", "2026-01-03T03:03:05Z"),
            ("2026-01-02t03:04:05z", "2026-01-02T03:04:05Z"),
            ("9999-12-31T23:59:59Z", "9999-12-30T22:00:00.999999999Z"),
            ("9999-12-31T23:59:59.99999999999-23:59", "9999-12-30T22:00:00.999999999Z"),
            ("0000-01-01T00:00:00+23:59", "-000001-12-31T00:01:00Z"),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_named() {
        for text in [
            "",
            "soon",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-01-02T03:04:05+2:00",
            "2026-01-02T03:04:05.Z+",
            "é026-01-02T03:04:05Z",
        ] {
            assert_eq!(read(text), Err(format!("{text:?} is no RFC 3339 time")));
        }
    }
}
