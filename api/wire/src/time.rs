//! Times on the wire (RFC 3339 in UTC, whole seconds or microseconds) and ages as kubectl prints them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `2026-11-23T21:07:41Z`, the form of `metav1.Time`.
pub fn seconds(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-11-23T21:07:41.000042Z`, the form of `metav1.MicroTime`.
pub fn micros(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads an RFC 3339 time with any fraction and offset.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// The age of a creation time: `<unknown>` when it is missing or unreadable.
pub fn human_age(created: Option<&str>, now: Timestamp) -> String {
    match created.and_then(parse) {
        Some(time) => human_duration(now.as_second() - time.as_second()),
        None => "<unknown>".to_owned(),
    }
}

/// A span in seconds with two or three significant figures: `5m30s`, `4h`, `3d2h`. Spans that end more than a
/// second in the future are `<invalid>`.
pub fn human_duration(seconds: i64) -> String {
    let pair = |big: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => pair(days, 'd', hours % 24, 'h'),
        _ if hours < 24 * 365 * 2 => format!("{days}d"),
        _ if hours < 24 * 365 * 8 => pair(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is that of apimachinery's `HumanDuration`.
    #[test]
    fn ages_read_as_in_kubectl() {
        let (m, h, d) = (60, 3600, 86400);
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * m, "2m"),
            (2 * m + 30, "2m30s"),
            (10 * m + 30, "10m"),
            (179 * m, "179m"),
            (3 * h, "3h"),
            (3 * h + 5 * m, "3h5m"),
            (8 * h + 59 * m, "8h"),
            (47 * h, "47h"),
            (48 * h, "2d"),
            (49 * h, "2d1h"),
            (8 * d, "8d"),
            (729 * d, "729d"),
            (730 * d, "2y"),
            (731 * d, "2y1d"),
            (8 * 365 * d + 5 * d, "8y"),
        ];
        for (seconds, want) in cases {
            assert_eq!(human_duration(seconds), want, "{seconds}");
        }
        assert_eq!(human_age(None, Timestamp::UNIX_EPOCH), "<unknown>");
    }

    #[test]
    fn times_have_the_two_wire_forms() {
        let time = parse("2026-11-23T22:07:41.5+01:00").unwrap();
        assert_eq!(seconds(time), "2026-11-23T21:07:41Z");
        assert_eq!(micros(time), "2026-11-23T21:07:41.500000Z");
    }
}
