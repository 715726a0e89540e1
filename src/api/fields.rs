//! Request fields, parsed: what passes here is valid everywhere below.

use std::time::Duration;

use tonic::Status;

use super::{status, token};
use crate::model::{Cursor, UserId};

pub(super) fn user_id(field: &str, text: &str) -> Result<UserId, Status> {
    UserId::parse(text).map_err(|error| status::invalid_field(field, error, error.parts()))
}

/// A number of items: 0 for the default, and never more than the most.
pub(super) fn items_max(
    field: &str,
    asked: i32,
    default: usize,
    most: usize,
) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(asked) => Ok(asked.min(most)),
        Err(_) => Err(status::invalid_field(
            field,
            format!("must not be negative, but is {asked}: 0 means {default}"),
            vec![("value", asked.to_string())],
        )),
    }
}

/// A cursor, or none for an empty text.
pub(super) fn optional_cursor(field: &str, text: &str) -> Result<Option<Cursor>, Status> {
    (!text.is_empty()).then(|| cursor(field, text)).transpose()
}

pub(super) fn cursor(field: &str, text: &str) -> Result<Cursor, Status> {
    token::decode_cursor(text).map_err(|error| status::malformed_token(field, &error))
}

/// A heartbeat: absent for the default, and moved within the bounds.
pub(super) fn heartbeat(
    field: &str,
    asked: Option<prost_types::Duration>,
    limits: &crate::config::Limits,
) -> Result<Duration, Status> {
    let Some(asked) = asked else { return Ok(limits.heartbeat_default) };
    // Not by the type's own conversion: it overflows on the least of all seconds.
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(asked.seconds), u32::try_from(asked.nanos))
    else {
        return Err(status::invalid_field(field, "must not be negative", Vec::new()));
    };
    let asked = Duration::new(seconds, nanos);
    Ok(asked.clamp(limits.heartbeat_min, limits.heartbeat_max))
}
