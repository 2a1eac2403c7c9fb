//! Get.

use http::StatusCode;
use wire::{GetOptions, Status};

use super::Call;
use crate::body::Reply;

/// Answers with one object: its stored bytes.
pub(super) async fn get(call: &Call<'_>) -> Result<Reply, Status> {
    let options = GetOptions::from_query(&call.query)?;
    super::list::not_from_the_future(call, options.resource_version)?;
    let entry = call.core.store.get(&call.key()).ok_or_else(|| call.not_found())?;
    call.reply(StatusCode::OK, entry.value).await
}
