//! The string and number formats that a Kubernetes API server checks.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A format that is checked. Others are accepted with any content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    None,
    Int32,
    Int64,
    DateTime,
    Date,
    Duration,
    Byte,
    Ipv4,
    Ipv6,
    Cidr,
    Uuid,
    Hostname,
}

// === impl Format ===

impl Format {
    pub(crate) fn parse(name: Option<&str>) -> Self {
        match name.unwrap_or_default() {
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "date-time" | "datetime" => Self::DateTime,
            "date" => Self::Date,
            "duration" => Self::Duration,
            "byte" => Self::Byte,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "cidr" => Self::Cidr,
            "uuid" | "uuid3" | "uuid4" | "uuid5" => Self::Uuid,
            "hostname" => Self::Hostname,
            _ => Self::None,
        }
    }

    /// The format's name, as messages give it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Duration => "duration",
            Self::Byte => "byte",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Cidr => "cidr",
            Self::Uuid => "uuid",
            Self::Hostname => "hostname",
        }
    }

    /// Whether text has the format.
    pub(crate) fn accepts(self, text: &str) -> bool {
        match self {
            Self::None | Self::Int32 | Self::Int64 => true,
            Self::DateTime => is_date_time(text),
            Self::Date => is_date(text.as_bytes()),
            Self::Duration => is_duration(text),
            Self::Byte => is_base64(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Cidr => is_cidr(text),
            Self::Uuid => is_uuid(text),
            Self::Hostname => is_hostname(text),
        }
    }
}

/// RFC 3339: `2026-01-31T10:00:00.5Z`, `...+02:00`. A space or lower case `t` is not taken.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(date), Some(rest)) = (bytes.get(..10), bytes.get(10..)) else { return false };
    let (Some(time), Some(mut zone)) = (rest.get(..9), rest.get(9..)) else { return false };
    if !is_date(date) || time[0] != b'T' || !is_time(&time[1..]) {
        return false;
    }
    if let Some(fraction) = zone.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        zone = &fraction[digits..];
    }
    match zone {
        [b'Z'] => true,
        [b'+' | b'-', offset @ ..] => {
            offset.len() == 5
                && offset[2] == b':'
                && pair(&offset[..2]).is_some_and(|hours| hours < 24)
                && pair(&offset[3..]).is_some_and(|minutes| minutes < 60)
        }
        _ => false,
    }
}

fn is_date(text: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return false };
    let (Some(century), Some(year)) = (pair(&[y1, y2]), pair(&[y3, y4])) else { return false };
    let (Some(month), Some(day)) = (pair(&[m1, m2]), pair(&[d1, d2])) else { return false };
    let year = u32::from(century) * 100 + u32::from(year);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// `10:00:59`.
fn is_time(text: &[u8]) -> bool {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *text else { return false };
    let below = |digits: [u8; 2], limit: u8| pair(&digits).is_some_and(|number| number < limit);
    below([h1, h2], 24) && below([m1, m2], 60) && below([s1, s2], 60)
}

fn pair(digits: &[u8]) -> Option<u8> {
    let [tens, ones] = *digits else { return None };
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + ones - b'0')
}

/// Go's form: `1h2m3.5s`, `300ms`, `-1.5h`, `0`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let digits = &rest[..number];
        if !digits.bytes().any(|byte| byte.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return false;
        }
        rest = &rest[number..];
        let units = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
        let Some(unit) = units.into_iter().find(|unit| rest.starts_with(unit)) else { return false };
        rest = &rest[unit.len()..];
        any = true;
    }
    any
}

/// Standard base64 with padding, as Go decodes `[]byte`.
fn is_base64(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = &bytes[..bytes.len() - padding];
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    bytes.len().is_multiple_of(4) && padding <= 2 && body.iter().all(alphabet)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(length) = length.parse::<u8>() else { return false };
    let v4 = address.parse::<Ipv4Addr>().is_ok() && length <= 32;
    v4 || (address.parse::<Ipv6Addr>().is_ok() && length <= 128)
}

/// Hexadecimal digits in groups of 8-4-4-4-12; the dashes may be left out.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    hex && (groups == [8, 4, 4, 4, 12] || groups == [32])
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[track_caller]
    fn check(name: &str, good: &[&str], bad: &[&str]) {
        let format = Format::parse(Some(name));
        assert_ne!(format, Format::None, "{name}");
        good.iter().for_each(|text| assert!(format.accepts(text), "{name} {text}"));
        bad.iter().for_each(|text| assert!(!format.accepts(text), "{name} {text}"));
    }

    #[test]
    fn formats_take_what_kubernetes_takes() {
        check(
            "date-time",
            &["2026-02-28T23:59:59Z", "2024-02-29T00:00:00.123456789+02:00"],
            &[
                "2026-02-29T00:00:00Z",
                "2026-01-01 00:00:00Z",
                "2026-01-01T00:00:00",
                "2026-01-01T24:00:00Z",
                "now",
            ],
        );
        check("duration", &["1h2m3.5s", "300ms", "0", "-1.5h"], &["", "5", "h", "1d"]);
        check("byte", &["", "aGk=", "aGkh"], &["aGk", "a===", "a b="]);
        check("cidr", &["10.0.0.0/8", "fd00::/64"], &["10.0.0.0", "10.0.0.0/33"]);
        check("ipv4", &["1.2.3.4"], &["1.2.3", "::1"]);
        check("uuid", &["123e4567-e89b-12d3-a456-426614174000"], &["123e4567"]);
        check("hostname", &["a.b-c.d"], &["-a", "a..b"]);
        check("date", &["2026-12-31"], &["2026-13-01", "2026-1-1"]);
    }
}
