//! Until when certificates are good, for `status` and `doctor`.

use crate::place::Place;
use apiserver::Standing;
use serde_json::{Value, json};
use telemetry::{Clock as _, SystemClock};

/// What is said of the certificates.
pub(crate) struct Report {
    /// Each with its end: `server until 2027-11-25`.
    pub(crate) line: String,
    /// What is wrong, and what to do.
    pub(crate) problem: Option<(String, String)>,
    /// The same for programs: names to times.
    pub(crate) document: Value,
}

/// Looks; none where there are none yet, or they may not be looked at.
pub(crate) fn report(place: &Place) -> Option<Report> {
    let found = apiserver::standing(&place.data.join("pki")).ok().filter(|found| !found.is_empty())?;
    Some(describe(&found, SystemClock.now().as_second()))
}

/// `now` is in seconds since the epoch.
fn describe(found: &[Standing], now: i64) -> Report {
    let date = |one: &Standing| one.until.to_string().chars().take(10).collect::<String>();
    let ends: Vec<_> = found.iter().map(|one| format!("{} until {}", one.what, date(one))).collect();
    let document = found.iter().map(|one| (one.what.to_owned(), json!(one.until.to_string())));
    Report {
        line: ends.join(", "),
        problem: found.iter().find_map(|one| problem(one, now)),
        document: Value::Object(document.collect()),
    }
}

fn problem(one: &Standing, now: i64) -> Option<(String, String)> {
    let late = now - one.due_from.as_second();
    if one.what == "authority" {
        let what = format!("the authority's certificate ends on {}", one.until);
        let fix =
            "at its next start 'up' makes a new authority; then give out new kubeconfigs and certificates";
        return (late >= 0).then(|| (what, fix.to_owned()));
    }
    // A running server replaces it within hours; two days late, nobody does.
    let what = format!("the {}'s certificate ends on {} and was not replaced", one.what, one.until);
    let fix = "start agent-sandbox, which replaces it; where it runs, its log says why it does not";
    (late > 2 * 24 * 3600).then(|| (what, fix.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn standing(what: &'static str, due: i64, until: i64) -> Standing {
        let at = |days: i64| serde_json::from_value(json!(day(days))).expect("a time");
        Standing { what, until: at(until), due_from: at(due) }
    }

    /// So many days after the beginning of 2026.
    fn day(days: i64) -> String {
        let date = 1 + days;
        format!("2026-01-{date:02}T00:00:00Z")
    }

    #[test]
    fn a_certificate_that_nobody_replaces_is_told_before_it_ends() {
        let begin = 1_767_225_600;
        let found = [standing("server", 10, 28), standing("authority", 20, 30)];
        let at = |days: i64| describe(&found, begin + days * DAY);
        assert_eq!(at(0).line, "server until 2026-01-29, authority until 2026-01-31");
        assert_eq!(at(0).document["server"], "2026-01-29T00:00:00Z");
        assert!(at(0).problem.is_none() && at(11).problem.is_none(), "it is due, and about to be replaced");
        let (what, fix) = at(13).problem.expect("late");
        assert!(what.contains("server's certificate ends on 2026-01-29") && fix.contains("start"), "{what}");
        let (what, fix) = describe(&found[1..], begin + 20 * DAY).problem.expect("the authority");
        assert!(what.contains("authority") && fix.contains("new kubeconfigs"), "{what} {fix}");
    }
}
