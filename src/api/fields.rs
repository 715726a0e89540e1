//! Parsers of request fields. A value that they return is valid for all layers below. They never
//! read the state.

use std::time::Duration;

use tonic::Status;

use super::context::ServiceContext;
use super::post_id::{self, PostIdError};
use super::{status, token};
use crate::model::bounds::IDS_MAX;
use crate::model::{Cursor, CursorError, Epochs, PostId, UserId};

pub(super) fn user_id(field: &str, text: &str) -> Result<UserId, Status> {
    UserId::parse(text).map_err(|error| status::invalid_field(field, error, error.parts()))
}

/// The id of a post of a log with these epochs.
pub(super) fn post_id(field: &str, text: &str, epochs: &Epochs) -> Result<PostId, Status> {
    post_id::parse(text, epochs).map_err(|error| match error {
        PostIdError::Empty | PostIdError::Malformed => {
            status::invalid_field(field, error, Vec::new())
        }
        PostIdError::HistoryLost => status::post_of_lost_history(field, text, &error),
    })
}

/// As [`post_id()`]; `None` for an empty text.
pub(super) fn optional_post_id(
    field: &str,
    text: &str,
    epochs: &Epochs,
) -> Result<Option<PostId>, Status> {
    (!text.is_empty()).then(|| post_id(field, text, epochs)).transpose()
}

/// A list of 1 to 100 ids, each parsed by `parse`. Repeated ids are dropped.
pub(super) fn each_once<T: PartialEq>(
    field: &str,
    texts: &[String],
    parse: impl Fn(&str, &str) -> Result<T, Status>,
) -> Result<Vec<T>, Status> {
    if texts.is_empty() {
        return Err(status::invalid_field(field, "must not be empty", Vec::new()));
    }
    at_most(field, texts.len(), IDS_MAX)?;
    let mut ids = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let id = parse(&format!("{field}[{at}]"), text)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Checks the length of a list.
pub(super) fn at_most(field: &str, count: usize, count_max: usize) -> Result<(), Status> {
    if count <= count_max {
        return Ok(());
    }
    let rule = format!("must have at most {count_max} entries, not {count}");
    let parts = vec![("count", count.to_string()), ("count_max", count_max.to_string())];
    Err(status::invalid_field(field, rule, parts))
}

/// A flag as text, for the options of a listing.
pub(super) fn flag(flag: bool) -> &'static str {
    if flag { "1" } else { "0" }
}

/// A number of items: 0 means `default`, and more than `most` means `most`.
pub(super) fn items_max(
    field: &str,
    value: i32,
    default: usize,
    most: usize,
) -> Result<usize, Status> {
    match usize::try_from(value) {
        Ok(0) => Ok(default),
        Ok(items) => Ok(items.min(most)),
        Err(_) => Err(status::invalid_field(
            field,
            format!("must not be negative, but is {value}: 0 means {default}"),
            vec![("value", value.to_string())],
        )),
    }
}

/// As [`cursor()`], refused with a status; `None` for an empty text.
pub(super) fn optional_cursor(
    field: &str,
    text: &str,
    context: &ServiceContext,
) -> Result<Option<Cursor>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    cursor(field, text, context)?
        .map(Some)
        .map_err(|error| status::from_cursor(&error, &context.epochs))
}

/// A cursor; an error of its own if it is of a lost history of this log.
pub(super) fn cursor(
    field: &str,
    text: &str,
    context: &ServiceContext,
) -> Result<Result<Cursor, CursorError>, Status> {
    let decoded = token::decode_cursor(text);
    let (cursor, epoch) = decoded.map_err(|error| status::malformed_token(field, &error))?;
    let given = cursor.required_revision();
    Ok(context.check_epoch(cursor.log, given, epoch).map(|()| cursor))
}

/// A heartbeat: the default if it is absent, and clamped to the limits.
pub(super) fn heartbeat(
    field: &str,
    value: Option<prost_types::Duration>,
    limits: &crate::config::Limits,
) -> Result<Duration, Status> {
    let Some(value) = value else { return Ok(limits.heartbeat_interval_default) };
    // Not the type's own conversion, which overflows on `i64::MIN` seconds.
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(value.seconds), u32::try_from(value.nanos))
    else {
        return Err(status::invalid_field(field, "must not be negative", Vec::new()));
    };
    let heartbeat = Duration::new(seconds, nanos);
    Ok(heartbeat.clamp(limits.heartbeat_interval_min, limits.heartbeat_interval_max))
}
