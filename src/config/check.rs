//! The allowed range of each limit. A value with which a server would hang, panic or run out of
//! memory is refused before the server opens anything.
//!
//! A value is never clamped: the error names the limit, its range, and the reason.

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Limits;

/// The limit that is refused, and why.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The limit is outside of its range.
    #[error("the limit {name} is {value} and must be {min} to {max}: {reason}")]
    OutOfRange {
        /// The name of the limit.
        name: &'static str,
        /// Its value.
        value: String,
        /// The least allowed value.
        min: String,
        /// The greatest allowed value.
        max: String,
        /// The problem with lower and greater values.
        reason: &'static str,
    },
    /// The limit is greater than another limit that bounds it.
    #[error("the limit {name} is {value} and must be at most {bound_name}, which is {bound}")]
    AboveAnother {
        /// The name of the limit.
        name: &'static str,
        /// Its value.
        value: String,
        /// The name of the other limit.
        bound_name: &'static str,
        /// The value of the other limit.
        bound: String,
    },
}

/// Longest time: more than anybody needs, and far below an overflow when it is added to the
/// present.
const TIME_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// Shortest time: the resolution of timers.
const TIME_MIN: Duration = Duration::from_millis(1);
/// Most objects that each take some memory, or an index of 32 bits.
const COUNT_MAX: usize = 1 << 24;
/// More calls than a server answers.
const RATE_MAX: u32 = 1_000_000;
const HOUR: Duration = Duration::from_secs(60 * 60);
/// More memory than any machine has.
const MEMORY_BYTES_MAX: usize = 1 << 40;
/// Longest response that gRPC clients accept by default, less its framing.
const RESPONSE_BYTES_MAX: usize = (4 << 20) - (64 << 10);

/// What one request may take: a message and headers of the greatest allowed limits.
const UNFINISHED_BYTES_MIN: usize = 6 << 20;
/// What a few of the longest responses take.
const UNSENT_BYTES_MIN: usize = 16 << 20;

/// Expands one line for each limit into `check_ranges`. A limit without a line does not compile.
macro_rules! ranges {
    ($($name:ident: $range:expr, $reason:literal;)*) => {
        fn check_ranges(limits: &Limits) -> Result<(), LimitError> {
            let Limits { $($name),* } = limits;
            $(check_range(stringify!($name), $name, &$range, $reason)?;)*
            Ok(())
        }
    };
}

ranges! {
    follows_per_user_max: 1..=COUNT_MAX, "0 allows no follow, and more fill the memory";
    blocks_per_user_max: 1..=COUNT_MAX, "0 allows no block, and more fill the memory";
    mutes_per_user_max: 1..=COUNT_MAX, "0 allows no mute, and more fill the memory";
    users_max: 1..=4_000_000_000, "0 allows no user, and the numbers of users have 32 bits";
    streams_per_user_max: 1..=COUNT_MAX, "0 allows no stream, and one user could take all streams";
    streams_max: 1..=COUNT_MAX, "0 allows no stream, and more fill the memory";
    worker_threads: 1..=1_024, "0 serve nothing, and more only take turns";
    connections_max: 1..=COUNT_MAX, "0 allows no connection, and more fill the memory";
    connections_per_address_max: 1..=COUNT_MAX, "0 allows no connection";
    preface_time_max: TIME_MIN..=TIME_MAX, "0 closes every connection, and silent ones must end";
    handshake_time_max: TIME_MIN..=TIME_MAX, "0 closes every connection, and slow ones must end";
    handshakes_max: 1..=COUNT_MAX, "0 ends no handshake, and more fill the memory";
    connection_age_max: TIME_MIN..=TIME_MAX, "0 closes every connection, and old ones must end";
    keepalive_interval: TIME_MIN..=TIME_MAX, "0 asks without a pause, and it must happen";
    keepalive_answer_time_max: TIME_MIN..=TIME_MAX, "0 closes every connection, and dead ones must end";
    calls_max: 1..=COUNT_MAX, "0 allows no call, and more fill the memory";
    worker_lateness_max: TIME_MIN..=TIME_MAX, "a timer is never quite on time";
    worker_silence_max: Duration::from_millis(100)..=TIME_MAX, "a worker shows that it runs 40 times a second";
    user_reads_per_second_max: 1..=RATE_MAX, "0 allows no call, and more is no limit";
    user_changes_per_second_max: 1..=RATE_MAX, "0 allows no call, and more is no limit";
    user_streams_per_second_max: 1..=RATE_MAX, "0 allows no stream, and more is no limit";
    quota_burst_time: Duration::from_secs(1)..=HOUR, "what comes at once must fit, and be bounded";
    new_user_follows_per_hour_max: 1..=RATE_MAX, "0 allows no follow, and more is no limit";
    new_user_mentions_per_hour_max: 1..=RATE_MAX, "0 allows no mention, and more is no limit";
    new_user_time: Duration::ZERO..=TIME_MAX, "times must not overflow";
    address_reads_per_second_max: 1..=RATE_MAX, "0 allows no call, and more is no limit";
    address_changes_per_second_max: 1..=RATE_MAX, "0 allows no call, and more is no limit";
    address_streams_per_second_max: 1..=RATE_MAX, "0 allows no stream, and more is no limit";
    address_refusals_per_second_max: 1..=RATE_MAX, "one mistake must be allowed";
    quota_callers_max: 1..=COUNT_MAX, "0 remembers nobody, and more fill the memory";
    request_time_max: TIME_MIN..=TIME_MAX, "0 refuses every call, and slow ones must end";
    unfinished_request_bytes_per_connection_max: UNFINISHED_BYTES_MIN..=MEMORY_BYTES_MAX, "a request must fit, and no machine has more memory";
    unfinished_request_bytes_per_address_max: UNFINISHED_BYTES_MIN..=MEMORY_BYTES_MAX, "a request must fit, and no machine has more memory";
    unfinished_request_bytes_max: UNFINISHED_BYTES_MIN..=MEMORY_BYTES_MAX, "a request must fit, and no machine has more memory";
    unsent_answer_bytes_per_connection_max: UNSENT_BYTES_MIN..=MEMORY_BYTES_MAX, "an answer must fit, and no machine has more memory";
    unsent_answer_bytes_max: UNSENT_BYTES_MIN..=MEMORY_BYTES_MAX, "an answer must fit, and no machine has more memory";
    empty_frames_at_once_max: 1_000..=COUNT_MAX, "clients send some at once, and they must end";
    empty_frames_per_second_max: 0..=COUNT_MAX, "they must end";
    streams_per_connection_max: 100..=(1 << 24), "clients count on 100 (RFC 9113, section 6.5.2)";
    page_items_default: 1..=10_000, "an empty page has no next page, and a page must end";
    page_items_max: 1..=10_000, "an empty page has no next page, and a page must end";
    page_scan_entries_max: 1..=COUNT_MAX, "0 makes no progress, and a scan must end";
    thread_depth_default: 1..=1_000, "0 shows no reply, and a thread must end";
    thread_depth_max: 1..=1_000, "0 shows no reply, and a thread must end";
    thread_replies_default: 1..=10_000, "0 shows no reply, and a thread must end";
    thread_replies_max: 1..=10_000, "0 shows no reply, and a thread must end";
    thread_ancestors_max: 1..=10_000, "0 shows no parent, and the ancestors must end";
    thread_scan_replies_max: 1..=COUNT_MAX, "0 finds no reply, and a scan must end";
    thread_bytes_max: 1..=RESPONSE_BYTES_MAX, "clients accept no response of more than 4 MiB";
    unseen_count_max: 1..=1_000_000, "0 counts nothing as unseen, and counting must end";
    queue_commands_max: 1..=COUNT_MAX, "0 accepts no change, and more fill the memory";
    batch_commands_max: 1..=(1 << 20), "0 writes nothing, and the first of a batch waits for all";
    unapplied_batches_max: 1..=1_024, "0 applies nothing, and the log must not be far ahead";
    request_id_retention: Duration::from_secs(1)..=TIME_MAX, "a retry must find its first attempt";
    post_cache_bytes_max: 0..=(MEMORY_BYTES_MAX as u64), "no machine has more memory";
    recent_reactions_max: 0..=(1 << 28), "no machine has memory for more";
    older_reactions_bytes_max: 0..=(MEMORY_BYTES_MAX as u64), "no machine has more memory";
    log_segment_bytes_max: (64 << 10)..=(1 << 30), "a batch must fit, and a scan must end soon";
    recent_revisions_per_author_max: 1..=COUNT_MAX, "memory has the newest one, and more fill it";
    index_events_max: 1..=COUNT_MAX, "0 writes nothing, and one write must fit into the memory";
    index_write_delay_max: TIME_MIN..=TIME_MAX, "0 writes without a pause, and it must happen";
    index_cache_bytes: 0..=MEMORY_BYTES_MAX, "no machine has more memory";
    index_check_bytes_max: (1 << 20)..=MEMORY_BYTES_MAX, "less makes more files than may be open";
    concurrent_reads_max: 1..=512, "0 reads nothing, and each takes a thread";
    waiting_reads_max: 1..=COUNT_MAX, "0 refuses every read from the disk, and each holds a call";
    segment_reads_max: 1..=1_024, "0 allows no backup, and each takes a thread";
    disk_free_bytes_min: 0..=u64::MAX, "every value is allowed";
    compaction_interval: TIME_MIN..=TIME_MAX, "0 rewrites without a pause, and it must happen";
    channel_events_max: 1..=(1 << 16), "0 delivers nothing, and each feed takes memory for all";
    fan_out_step_feeds_max: 1..=COUNT_MAX, "0 delivers nothing, and calls wait for a step";
    active_fan_outs_max: 1..=(1 << 16), "0 delivers no post, and each feed is compared with all";
    undispatched_batches_max: 1..=(1 << 16), "0 delivers nothing, and more fill the memory";
    batch_events_max: 1..=256, "a batch has an event, and the API promises at most 256";
    batch_bytes_max: 1..=(64 << 10), "the API promises at most 64 KiB";
    heartbeat_interval_default: TIME_MIN..=TIME_MAX, "0 sends nothing else, and some must come";
    heartbeat_interval_min: TIME_MIN..=TIME_MAX, "0 sends nothing else, and some must come";
    heartbeat_interval_max: TIME_MIN..=TIME_MAX, "0 sends nothing else, and some must come";
    stall_time_max: TIME_MIN..=TIME_MAX, "0 closes every stream, and stalled ones must end";
    call_time_max: Duration::ZERO..=TIME_MAX, "deadlines must not overflow";
    request_bytes_max: (1 << 10)..=(4 << 20), "a change must fit, and large ones fill the memory";
    header_list_bytes_max: (1 << 10)..=(1 << 20), "a call must fit, and large ones fill the memory";
    drain_notice: Duration::ZERO..=TIME_MAX, "deadlines must not overflow";
    drain_time_max: Duration::ZERO..=TIME_MAX, "deadlines must not overflow";
}

/// Compares two limits by their names.
macro_rules! at_most {
    ($limits:ident, $($name:ident <= $bound:ident;)*) => {
        $(check_at_most(
            (stringify!($name), &$limits.$name),
            (stringify!($bound), &$limits.$bound),
        )?;)*
    };
}

impl Limits {
    /// Checks the range of every limit, and the limits that bound each other.
    ///
    /// # Errors
    /// The first limit that is refused.
    pub fn check(&self) -> Result<(), LimitError> {
        check_ranges(self)?;
        at_most! { self,
            page_items_default <= page_items_max;
            thread_depth_default <= thread_depth_max;
            thread_replies_default <= thread_replies_max;
            heartbeat_interval_min <= heartbeat_interval_default;
            heartbeat_interval_default <= heartbeat_interval_max;
        }
        Ok(())
    }
}

fn check_range<T: Debug + PartialOrd>(
    name: &'static str,
    value: &T,
    range: &RangeInclusive<T>,
    reason: &'static str,
) -> Result<(), LimitError> {
    if range.contains(value) {
        return Ok(());
    }
    let (min, max) = (format!("{:?}", range.start()), format!("{:?}", range.end()));
    Err(LimitError::OutOfRange { name, value: format!("{value:?}"), min, max, reason })
}

fn check_at_most<T: Debug + PartialOrd>(
    (name, value): (&'static str, &T),
    (bound_name, bound): (&'static str, &T),
) -> Result<(), LimitError> {
    if value <= bound {
        return Ok(());
    }
    let (value, bound) = (format!("{value:?}"), format!("{bound:?}"));
    Err(LimitError::AboveAnother { name, value, bound_name, bound })
}
