//! Every limit in one place, each with the reason for its number. What each may be is in `check.rs`.
//!
//! What clients are promised about ids and texts is not here: those bounds are part of the API,
//! see [`crate::model::bounds`].

use std::time::Duration;

/// The limits of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most followees of one user. Bounds the work of one page of a feed: 10,000 places looked at
    /// is under a millisecond.
    pub follows_per_user_max: usize,
    /// Most users that one user blocks. Each is looked at where counts are made as the user sees
    /// them: well below a millisecond for a post.
    pub blocks_per_user_max: usize,
    /// Most users that one user mutes: as many as one may follow.
    pub mutes_per_user_max: usize,
    /// Most users. Numbers of users have 32 bits, and this leaves room for those whom changes name
    /// that are on their way when it is reached. Their names alone take hundreds of GiB.
    pub users_max: usize,
    /// Most streams of one user at once: a person's devices, and room for those that a broken
    /// network has left behind.
    pub streams_per_user_max: usize,
    /// Most streams of all users at once. At some tens of KiB each, what a machine of a few GiB
    /// can hold.
    pub streams_max: usize,
    /// Threads that connections live on: one per core, as each keeps one busy.
    pub worker_threads: usize,
    /// Most connections at once: file descriptors and memory.
    pub connections_max: usize,
    /// Most connections at once from one address (of IPv6, one network of 64 bits): less than all,
    /// so that others always come in, and most of them, because a proxy in front has one address.
    pub connections_per_address_max: usize,
    /// How long a new connection has to say that it speaks HTTP/2: a first packet that was lost
    /// three times still comes in time.
    pub preface_time_max: Duration,
    /// How old a connection gets, give or take a fifth, before its client is sent elsewhere: so
    /// that load spreads over servers that came later, and nothing leaks for ever.
    pub connection_age_max: Duration,
    /// Most unary calls under way at once. Beyond it callers are told to come back, while those
    /// inside are still answered in time.
    pub calls_max: usize,
    /// Most HTTP/2 streams of one connection: what browsers and proxies expect as a minimum is
    /// 100. A client with more watchers opens more connections.
    pub streams_per_connection_max: u32,

    /// Items of a page if the caller does not say.
    pub page_items_default: usize,
    /// Most items of a page: a third of a MiB if they are texts, and below the 4 MiB that clients
    /// take by default if each has all that a post may have.
    pub page_items_max: usize,
    /// Most places that are looked through for a page: what is hidden or gone in between takes time,
    /// too, some tens of milliseconds if all of it has to be read. Then the page ends, and the next
    /// goes on from there. No further either goes the look for what makes a repost a double, and the
    /// count of the unseen.
    pub page_scan_entries_max: usize,
    /// How deep a thread is followed if the caller does not say: as deep as a phone can indent.
    pub thread_depth_default: usize,
    /// How deep a thread is followed at most. What is deeper is asked for by itself.
    pub thread_depth_max: usize,
    /// Answers of a thread if the caller does not say.
    pub thread_replies_default: usize,
    /// Most answers of a thread: two pages.
    pub thread_replies_max: usize,
    /// Most ancestors of a post in its thread: a page.
    pub thread_ancestors_max: usize,
    /// Most answers that are looked at to find those of a thread that are shown, among what was
    /// deleted or is hidden: some tens of milliseconds.
    pub thread_scan_replies_max: usize,
    /// Most bytes of the posts of a thread: below the 4 MiB that clients take by default, with what
    /// comes around them.
    pub thread_bytes_max: usize,
    /// Up to where unseen notifications are counted: nobody tells a thousand from more.
    pub unseen_count_max: usize,

    /// Commands that wait for the log. When full, callers are told to come back: waiting longer
    /// than the disk can keep up with helps nobody.
    pub queue_commands_max: usize,
    /// Most commands of one batch, so that the first in it does not wait on too many behind it.
    pub batch_commands_max: usize,
    /// Batches that are on disk but not applied. Two keep both threads busy; more only wait.
    pub unapplied_batches_max: usize,
    /// How long a `request_id` is remembered, at least: time in which no server runs, or its machine
    /// is suspended, does not count, and what the clock is set to neither.
    pub request_id_retention: Duration,
    /// Memory for post bodies; others are read from the log.
    pub post_cache_bytes_max: u64,
    /// Posts whose counts are at hand although the index has them: 10 MiB, for more posts than are
    /// read over and over.
    pub count_cache_posts_max: usize,
    /// Memory for pages of the log file; twice that while it is written anew.
    pub log_cache_bytes: usize,
    /// Revisions of an author's posts that are kept in memory although the index has them: enough
    /// for the first page of a feed with a single author in it, at half a KiB an author.
    pub recent_revisions_per_author_max: usize,
    /// Most events in one write of the index. More would spare writes, as the same pages take more
    /// rows, and cost memory, some tens of MiB, and time at the next start after a crash.
    pub index_events_max: usize,
    /// How long an event waits for the index at most, if the disk allows. A write of few events
    /// costs a page for nearly each of them, so it is worth waiting for more; a start after a
    /// crash replays what has waited.
    pub index_write_delay_max: Duration,
    /// Memory for pages of the index file: for the upper levels of its trees. The machine's own
    /// cache has the rest.
    pub index_cache_bytes: usize,
    /// Reads of what is not in memory that are made at once: a few more than a small machine has
    /// cores, so that some wait for the disk while others decode.
    pub concurrent_reads_max: usize,
    /// Free disk space below which writes are refused: room for the log to end its present work,
    /// and for an operator to act.
    pub disk_free_bytes_min: u64,

    /// How long what a deleted post said stays in the log's file, give or take a sixteenth, if
    /// there is room for a second one: then the file is written anew without it. That reads and
    /// writes all of the log, so it is worth waiting for more; a day is soon enough for whoever
    /// deletes.
    pub compaction_interval: Duration,

    /// Events, or runs of them, that a live feed's channel holds. Slots are allocated with the
    /// channel; a reader that falls behind is refilled from the log, so few do.
    pub channel_events_max: usize,
    /// Live feeds that are told without a pause, of new events and of posts on their way each. What
    /// else the worker has to do waits for that, and for the readers whom it woke: about a
    /// millisecond. A post to more of them is on its way for a while, and others overtake it.
    pub fan_out_step_feeds_max: usize,
    /// Posts that are on their way, at once. Each is looked at for every feed that is told, and a
    /// reader gets all of them together, about what fits into a batch; newer events then wait.
    pub active_fan_outs_max: usize,
    /// Batches that wait for a worker to tell them, and as many that it has taken in. When full, its
    /// live feeds lag and read on in the log, which costs more than to be told: so there is room for
    /// what comes while the worker is held up for a tenth of a second. Some MiB, if all are large.
    pub undispatched_batches_max: usize,
    /// Most events of one batch of a stream.
    pub batch_events_max: usize,
    /// Most bytes of one batch of a stream: fits a default HTTP/2 window of 64 KiB less a frame.
    pub batch_bytes_max: usize,
    /// Silence of a stream if the caller does not say: under the 30 s after which many proxies
    /// drop a silent connection.
    pub heartbeat_interval_default: Duration,
    /// Shortest silence: below it the signs of life cost more than the feed.
    pub heartbeat_interval_min: Duration,
    /// Longest silence: beyond it most middle boxes have forgotten the connection.
    pub heartbeat_interval_max: Duration,
    /// How long a reader may accept nothing before its connection is closed.
    pub stall_time_max: Duration,

    /// How long a unary call may take.
    pub call_time_max: Duration,
    /// Largest request message: a post of 3,000 bytes with everything around it, ten times over.
    pub request_bytes_max: usize,
    /// Largest list of headers: tokens of 8 KiB and the rest.
    pub header_list_bytes_max: u32,
    /// How long a server that stops still takes calls while health says that it does not serve:
    /// as long as a load balancer takes to hear of it. None, as most have no such thing.
    pub drain_notice: Duration,
    /// How long streams and calls have to end when the server stops, or their connection is
    /// retired.
    pub drain_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            follows_per_user_max: 10_000,
            blocks_per_user_max: 10_000,
            mutes_per_user_max: 10_000,
            users_max: 4_000_000_000,
            streams_per_user_max: 16,
            streams_max: 100_000,
            worker_threads: std::thread::available_parallelism().map_or(1, usize::from),
            connections_max: 20_000,
            connections_per_address_max: 15_000,
            preface_time_max: Duration::from_secs(10),
            connection_age_max: Duration::from_secs(24 * 60 * 60),
            calls_max: 8_192,
            streams_per_connection_max: 1_024,
            page_items_default: 50,
            page_items_max: 100,
            page_scan_entries_max: 10_000,
            thread_depth_default: 6,
            thread_depth_max: 10,
            thread_replies_default: 100,
            thread_replies_max: 200,
            thread_ancestors_max: 100,
            thread_scan_replies_max: 20_000,
            thread_bytes_max: 3 << 20,
            unseen_count_max: 1_000,
            queue_commands_max: 8_192,
            batch_commands_max: 1_024,
            unapplied_batches_max: 2,
            request_id_retention: Duration::from_secs(24 * 60 * 60),
            post_cache_bytes_max: 256 << 20,
            count_cache_posts_max: 100_000,
            log_cache_bytes: 128 << 20,
            recent_revisions_per_author_max: 64,
            index_events_max: 256 << 10,
            index_write_delay_max: Duration::from_secs(30),
            index_cache_bytes: 16 << 20,
            concurrent_reads_max: 4,
            disk_free_bytes_min: 256 << 20,
            compaction_interval: Duration::from_secs(24 * 60 * 60),
            channel_events_max: 16,
            fan_out_step_feeds_max: 128,
            active_fan_outs_max: 64,
            undispatched_batches_max: 64,
            batch_events_max: 256,
            batch_bytes_max: 64 << 10,
            heartbeat_interval_default: Duration::from_secs(20),
            heartbeat_interval_min: Duration::from_secs(10),
            heartbeat_interval_max: Duration::from_secs(300),
            stall_time_max: Duration::from_secs(60),
            call_time_max: Duration::from_secs(10),
            request_bytes_max: 64 << 10,
            header_list_bytes_max: 16 << 10,
            drain_notice: Duration::ZERO,
            drain_time_max: Duration::from_secs(10),
        }
    }
}
