//! What each limit may be. A number that a server would hang, panic or run out of memory with is
//! refused before anything is opened.
//!
//! Nothing here is clamped: what is refused is named, with the range and its reason.

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Limits;

/// Why limits are refused.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// One of them is too small or too large by itself.
    #[error("the limit {name} is {value} and must be {min} to {max}: {reason}")]
    OutOfRange {
        /// Which.
        name: &'static str,
        /// What it is.
        value: String,
        /// The least that it may be.
        min: String,
        /// The most that it may be.
        max: String,
        /// What would go wrong beyond.
        reason: &'static str,
    },
    /// One of them is greater than another that bounds it.
    #[error("the limit {name} is {value} and must be at most {bound_name}, which is {bound}")]
    AboveAnother {
        /// Which.
        name: &'static str,
        /// What it is.
        value: String,
        /// Which other.
        bound_name: &'static str,
        /// What that is.
        bound: String,
    },
}

/// Times are added to the present: far beyond any use, and far below what overflows.
const TIME_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// What timers can tell from nothing.
const TIME_MIN: Duration = Duration::from_millis(1);
/// Numbers of things that each take some memory, or an index of 32 bits.
const MANY: usize = 1 << 24;
/// Memory of which no machine has more.
const MEMORY_MAX: usize = 1 << 40;
/// Answers with more are not taken by clients that are left as they come, less what is around it.
const ANSWER_BYTES_MAX: usize = (4 << 20) - (64 << 10);

/// Makes of one line for each limit, in their order, the check of all of them. A limit without a
/// line does not compile.
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
    follows_per_user_max: 1..=MANY, "nobody could follow, or one user would fill the memory";
    blocks_per_user_max: 1..=MANY, "nobody could block, or one user would fill the memory";
    mutes_per_user_max: 1..=MANY, "nobody could mute, or one user would fill the memory";
    users_max: 1..=4_000_000_000, "nobody could do anything, or numbers of 32 bits would run out";
    streams_per_user_max: 1..=MANY, "nobody could watch, or one user would take all streams";
    streams_max: 1..=MANY, "nobody could watch, or streams would fill the memory";
    worker_threads: 1..=1_024, "nothing would serve, or threads would only take turns";
    connections_max: 1..=MANY, "nobody could connect, or connections would fill the memory";
    connections_per_address_max: 1..=MANY, "nobody could connect";
    preface_time_max: TIME_MIN..=TIME_MAX, "every connection would be closed, or silent ones never";
    connection_age_max: TIME_MIN..=TIME_MAX, "every connection would be closed at once, or never";
    calls_max: 1..=MANY, "no call would be taken, or waiting calls would fill the memory";
    streams_per_connection_max: 100..=(1 << 24), "clients count on 100 (RFC 9113, section 6.5.2)";
    page_items_default: 1..=10_000, "a page without items has no next one, a long one no end";
    page_items_max: 1..=10_000, "a page without items has no next one, a long one no end";
    page_scan_entries_max: 1..=MANY, "a page would never go on, or keep a reader busy";
    thread_depth_default: 1..=1_000, "a thread would have no answers, or never end";
    thread_depth_max: 1..=1_000, "a thread would have no answers, or never end";
    thread_replies_default: 1..=10_000, "a thread would have no answers, or never end";
    thread_replies_max: 1..=10_000, "a thread would have no answers, or never end";
    thread_ancestors_max: 1..=10_000, "an answer would stand alone, or its ancestors never end";
    thread_scan_replies_max: 1..=MANY, "no answer would be found, or one thread keep a reader busy";
    thread_bytes_max: 1..=ANSWER_BYTES_MAX, "clients take no answer of more than 4 MiB";
    unseen_count_max: 1..=1_000_000, "nothing would count as unseen, or counting never end";
    queue_commands_max: 1..=MANY, "no change would be taken, or waiting ones fill the memory";
    batch_commands_max: 1..=(1 << 20), "nothing would be written, or the first wait for too many";
    unapplied_batches_max: 1..=1_024, "nothing would be applied, or be written far ahead of that";
    request_id_retention: Duration::from_secs(1)..=TIME_MAX, "a retry would publish a second time";
    post_cache_bytes_max: 0..=(MEMORY_MAX as u64), "no machine has that much memory";
    count_cache_posts_max: 0..=(1 << 28), "no machine has that much memory";
    log_cache_bytes: 0..=MEMORY_MAX, "no machine has that much memory";
    recent_revisions_per_author_max: 1..=MANY, "the newest stays in memory; all would fill it";
    index_events_max: 1..=MANY, "nothing would be written, or one write would fill the memory";
    index_write_delay_max: TIME_MIN..=TIME_MAX, "the index would be written without a pause, or never";
    index_cache_bytes: 0..=MEMORY_MAX, "no machine has that much memory";
    concurrent_reads_max: 1..=512, "nothing would be read, or reads would take more threads than there are";
    disk_free_bytes_min: 0..=u64::MAX, "any will do";
    compaction_interval: TIME_MIN..=TIME_MAX, "the log would be rewritten without a pause, or never";
    channel_events_max: 1..=(1 << 16), "nothing could be sent; each watched feed takes them at once";
    fan_out_step_feeds_max: 1..=MANY, "no feed would be sent anything, or calls would wait for all feeds";
    active_fan_outs_max: 1..=(1 << 16), "no post would be sent, or each feed be compared with too many";
    undispatched_batches_max: 1..=(1 << 16), "nothing could be sent, or it would fill the memory";
    batch_events_max: 1..=256, "a batch has an event, and clients were promised no more than 256";
    batch_bytes_max: 1..=(64 << 10), "clients were promised no more than 64 KiB";
    heartbeat_interval_default: TIME_MIN..=TIME_MAX, "a stream would send nothing but signs of life, or none";
    heartbeat_interval_min: TIME_MIN..=TIME_MAX, "a stream would send nothing but signs of life, or none";
    heartbeat_interval_max: TIME_MIN..=TIME_MAX, "a stream would send nothing but signs of life, or none";
    stall_time_max: TIME_MIN..=TIME_MAX, "every reader would count as stalled, or none";
    call_time_max: Duration::ZERO..=TIME_MAX, "times are added to the present";
    request_bytes_max: (1 << 10)..=(4 << 20), "no change would fit, or a few would fill the memory";
    header_list_bytes_max: (1 << 10)..=(1 << 20), "no call would fit, or a few would fill the memory";
    drain_notice: Duration::ZERO..=TIME_MAX, "times are added to the present";
    drain_time_max: Duration::ZERO..=TIME_MAX, "times are added to the present";
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
    /// Checks every limit by itself, and those that bound each other.
    ///
    /// # Errors
    /// Names the first that is not as it must be, its value, and what it may be.
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
