//! The GetServerInfo RPC. Never says anything about other callers.

use std::time::Duration;

use crate::api::context::ServiceContext;
use crate::api::quotas::QuotaUse;
use crate::api::{convert, v1};
use crate::auth::Caller;
use crate::config::Limits;
use crate::model::bounds;
use crate::runtime::metrics::Label;

pub(super) fn handle(
    context: &ServiceContext,
    caller: &Caller,
    quotas: Vec<QuotaUse>,
    request: v1::GetServerInfoRequest,
) -> v1::GetServerInfoResponse {
    let v1::GetServerInfoRequest {} = request;
    let features = [
        (context.auth.is_some(), v1::Feature::Authentication),
        (context.reflection, v1::Feature::Reflection),
    ];
    v1::GetServerInfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        log_id: context.engine.cursor().log.to_string(),
        features: features.iter().filter(|(is_on, _)| *is_on).map(|(_, it)| *it as i32).collect(),
        limits: Some(limits(&context.engine.limits().now())),
        caller: context.auth.is_some().then(|| info(caller)),
        quotas: quotas.into_iter().map(quota).collect(),
    }
}

fn limits(limits: &Limits) -> v1::RequestLimits {
    v1::RequestLimits {
        request_bytes_max: limits.request_bytes_max as u64,
        header_bytes_max: limits.header_list_bytes_max.into(),
        text_bytes_max: bounds::TEXT_BYTES_MAX as u64,
        text_graphemes_max: bounds::TEXT_GRAPHEMES_MAX as u64,
        user_id_bytes_max: bounds::USER_ID_BYTES_MAX as u64,
        page_items_default: limits.page_items_default as u64,
        page_items_max: limits.page_items_max as u64,
        follows_max: limits.follows_per_user_max as u64,
        user_streams_max: limits.streams_per_user_max as u64,
        connection_streams_max: limits.streams_per_connection_max.into(),
        call_time_max: Some(convert::duration(limits.call_time_max)),
        heartbeat_min: Some(convert::duration(limits.heartbeat_interval_min)),
        heartbeat_default: Some(convert::duration(limits.heartbeat_interval_default)),
        heartbeat_max: Some(convert::duration(limits.heartbeat_interval_max)),
    }
}

fn info(caller: &Caller) -> v1::CallerInfo {
    v1::CallerInfo {
        role: caller.role().name().to_owned(),
        user_id: caller.user().map_or_else(String::new, ToString::to_string),
        expire_time: caller.expires_at().and_then(expire_time),
    }
}

/// `None` for a time that a timestamp cannot say, which never comes.
fn expire_time(at: Duration) -> Option<prost_types::Timestamp> {
    let seconds = i64::try_from(at.as_secs()).ok()?;
    // Less than a second always fits.
    Some(prost_types::Timestamp { seconds, nanos: at.subsec_nanos().cast_signed() })
}

fn quota(it: QuotaUse) -> v1::QuotaInfo {
    v1::QuotaInfo {
        name: it.quota.name().to_owned(),
        max: it.max.into(),
        time: Some(convert::duration(it.time)),
        left: it.left,
    }
}
