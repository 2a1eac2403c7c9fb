//! Options of get, list and watch.

use super::{GetOptions, ListOptions, Query, VersionMatch, invalid};
use crate::field::FieldError;
use crate::{FieldSelector, LabelSelector, Status};

impl GetOptions {
    /// Reads the query of a get.
    ///
    /// # Errors
    /// 500 when `resourceVersion` is not a number.
    pub fn from_query(query: &Query) -> Result<GetOptions, Status> {
        Ok(GetOptions { resource_version: revision(query).map_err(Status::unexplained)? })
    }
}

impl ListOptions {
    /// Reads the query of a list or watch.
    ///
    /// # Errors
    /// 400 (a watch's revision: 500) for values that cannot be read, 422 for combinations that Kubernetes refuses.
    pub fn from_query(query: &Query) -> Result<ListOptions, Status> {
        let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default());
        let fields = FieldSelector::parse(query.get("fieldSelector").unwrap_or_default());
        let unsigned = |name: &str| query.integer(name).map(|n| n.and_then(|n| u64::try_from(n).ok()));
        check(query)?;
        // Lists judge their revision themselves; gets and watches leave it to the storage, whose errors are no statuses.
        let refused = |error: FieldError| match query.flag("watch") {
            true => Status::unexplained(error),
            false => Status::bad_request(format!("invalid resource version: {error}")),
        };
        let version_match = match query.get("resourceVersionMatch") {
            Some("Exact") => Some(VersionMatch::Exact),
            Some("NotOlderThan") => Some(VersionMatch::NotOlderThan),
            _ => None,
        };
        Ok(ListOptions {
            labels: labels.map_err(Status::bad_request)?,
            fields: fields.map_err(Status::bad_request)?,
            watch: query.flag("watch"),
            bookmarks: query.flag("allowWatchBookmarks"),
            resource_version: revision(query).map_err(refused)?,
            version_match,
            timeout_seconds: unsigned("timeoutSeconds")?,
            limit: unsigned("limit")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
            continue_token: query.non_empty("continue").map(str::to_owned),
            send_initial_events: query.flag_if_present("sendInitialEvents"),
        })
    }
}

fn revision(query: &Query) -> Result<Option<u64>, FieldError> {
    let Some(text) = query.non_empty("resourceVersion") else { return Ok(None) };
    let number = crate::golang::parse_unsigned(text);
    number.map(Some).map_err(|why| FieldError::invalid("resourceVersion", text, why))
}

fn check(query: &Query) -> Result<(), Status> {
    let mut errors = Vec::new();
    let version_match = query.non_empty("resourceVersionMatch");
    if query.flag("watch") {
        check_watch(query, version_match, &mut errors);
    } else {
        check_list(query, version_match, &mut errors);
    }
    invalid("ListOptions", &errors)
}

fn check_list(query: &Query, version_match: Option<&str>, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "resourceVersionMatch";
    if let Some(wanted) = version_match {
        let mut forbid = |why: &str| errors.push(FieldError::forbidden(FIELD, why));
        if query.non_empty("resourceVersion").is_none() {
            forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if query.non_empty("continue").is_some() {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        if wanted != "Exact" && wanted != "NotOlderThan" {
            errors.push(FieldError::not_supported(FIELD, wanted, &["Exact", "NotOlderThan", ""]));
        } else if wanted == "Exact" && query.get("resourceVersion") == Some("0") {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(FIELD, why));
        }
    }
    if query.get("sendInitialEvents").is_some() {
        errors.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
}

fn check_watch(query: &Query, version_match: Option<&str>, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "resourceVersionMatch";
    let initial = query.get("sendInitialEvents").is_some();
    if initial && version_match != Some("NotOlderThan") {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden(FIELD, why));
    }
    let Some(wanted) = version_match else { return };
    if !initial {
        let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        errors.push(FieldError::forbidden(FIELD, why));
    }
    if wanted != "NotOlderThan" {
        errors.push(FieldError::not_supported(FIELD, wanted, &["NotOlderThan"]));
    }
    if query.non_empty("continue").is_some() {
        let why = "resourceVersionMatch is forbidden when continue is provided";
        errors.push(FieldError::forbidden(FIELD, why));
    }
}
