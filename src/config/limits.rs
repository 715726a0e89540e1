//! Every limit of a server in one place, each with the reason for its number. `check.rs` has their
//! ranges.
//!
//! The bounds of ids and texts are never configurable: clients rely on them, see
//! [`crate::model::bounds`].

use std::time::Duration;

/// The limits of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most followees of one user. Bounds the work of one page of a feed: a merge of 10,000
    /// timelines takes under a millisecond.
    pub follows_per_user_max: usize,
    /// Most users that one user blocks. A count as the user sees it compares each of them: well
    /// below a millisecond for a post.
    pub blocks_per_user_max: usize,
    /// Most users that one user mutes: as many as one may follow.
    pub mutes_per_user_max: usize,
    /// Most users. Numbers of users have 32 bits; the rest is for users in changes that are being
    /// decided when the limit is reached. The names of so many users take hundreds of GiB.
    pub users_max: usize,
    /// Most streams of one user at once: a person's devices, and some streams that a broken network
    /// has left open.
    pub streams_per_user_max: usize,
    /// Most streams of all users at once: at some tens of KiB each, the memory of a machine with a
    /// few GiB.
    pub streams_max: usize,
    /// Threads that serve connections: one per core, as each can keep one busy.
    pub worker_threads: usize,
    /// Most connections at once: file descriptors and memory.
    pub connections_max: usize,
    /// Most connections at once from one address (of IPv6, one network of 64 bits). Less than all,
    /// so that other addresses can always connect; most of them, because a proxy has one address.
    pub connections_per_address_max: usize,
    /// Longest time until a new connection sends its HTTP/2 preface: enough for a first packet that
    /// is lost three times.
    pub preface_time_max: Duration,
    /// Longest time until a new connection has sent its PROXY header and ended its TLS handshake:
    /// three round trips over a slow network, with a packet that is lost twice.
    pub handshake_time_max: Duration,
    /// Most connections at once that have not ended their handshake, at some 20 KB each. The oldest of
    /// the address with most is closed for a new one, so those who never end it keep nobody out.
    pub handshakes_max: usize,
    /// The most that a connection gets old: it is closed in order at this age or up to a fifth
    /// earlier. The client connects again, so that load spreads to new servers, nothing leaks for
    /// ever, and a revoked certificate of a client is no longer good for anything.
    pub connection_age_max: Duration,
    /// Time without a byte from a client until it is asked whether it lives: half of the minute after
    /// which the first routers forget a connection.
    pub keepalive_interval: Duration,
    /// How long a client may take to answer that: a round trip over a slow network, with a packet that
    /// is lost twice. A client that vanished is so disconnected after 40 s by default.
    pub keepalive_answer_time_max: Duration,
    /// Most unary calls at once, from the arrival of their message to their answer. Further calls
    /// are refused at once, so that accepted calls are answered in time.
    pub calls_max: usize,
    /// By how much a worker may be late for a tenth of a second: a caller notices more. Beyond it those who
    /// call most are refused first, and tokens that were not seen before.
    pub worker_lateness_max: Duration,
    /// How long a worker may not run before the probe of life fails (`/livez`): a hundred times as long as its
    /// longest step, as a restart costs every stream of the server.
    pub worker_silence_max: Duration,
    /// Calls of one user that read, each second: a person who scrolls fast in an app that asks for
    /// each page by itself.
    pub user_reads_per_second_max: u32,
    /// Calls of one user that change something, each second: a person who likes as fast as they can.
    pub user_changes_per_second_max: u32,
    /// Streams that one user opens, each second: two for each device that comes back to the network.
    pub user_streams_per_second_max: u32,
    /// How long a caller with a quota for each second may have paused to use all of it at once.
    pub quota_burst_time: Duration,
    /// Follows of a new user, each hour: a person who looks for friends, and no machine.
    pub new_user_follows_per_hour_max: u32,
    /// Users mentioned by the posts of a new user, each hour.
    pub new_user_mentions_per_hour_max: u32,
    /// How long a user is new, from when the identity provider made the account, if it says so.
    pub new_user_time: Duration,
    /// Calls of all users of one address that read, each second: many share one behind a mobile network's.
    /// An attacker has few addresses and, where everybody may register, many users.
    pub address_reads_per_second_max: u32,
    /// Their calls that change something, each second.
    pub address_changes_per_second_max: u32,
    /// Streams that they open, each second.
    pub address_streams_per_second_max: u32,
    /// Tokens of one address (of IPv6, of one network of 64 bits) that are not accepted, each second:
    /// to verify one takes some 100 µs.
    pub address_refusals_per_second_max: u32,
    /// Most users whose use of quotas is remembered, and as many addresses: at some 200 B each.
    pub quota_callers_max: usize,
    /// Longest time from the headers of a request to the end of its message: clients send both
    /// together, so this is enough for packets that are lost twice.
    pub request_time_max: Duration,
    /// Most bytes of one connection's requests that have not arrived whole: of as many posts of
    /// 3,000 characters as it may have calls. Further ones are refused.
    pub unfinished_request_bytes_per_connection_max: usize,
    /// The same of all connections from one address: less than of all, so that other addresses
    /// always have some; and several connections, because a proxy has one address.
    pub unfinished_request_bytes_per_address_max: usize,
    /// The same of all connections: memory. Above it, the connection with most of them is closed.
    pub unfinished_request_bytes_max: usize,
    /// Most bytes of answers that one connection's client has not taken: a few of the largest in an
    /// eighth of it, where further calls and messages wait; the rest is for those that run already.
    /// Above it, the connection is closed.
    pub unsent_answer_bytes_per_connection_max: usize,
    /// The same of all connections: memory. Above it, the connection with most of them is closed.
    pub unsent_answer_bytes_max: usize,
    /// Frames that carry nothing, such as PING and PRIORITY, that a connection may send at once,
    /// besides those that its calls and answers earn: four for each of its streams. Then it is
    /// closed.
    pub empty_frames_at_once_max: usize,
    /// Such frames that a connection may send each second besides: many times as many as any client
    /// needs to keep it alive, and the work of some tens of microseconds.
    pub empty_frames_per_second_max: usize,
    /// Most HTTP/2 streams of one connection. Browsers and proxies expect at least 100. A client
    /// with more watchers opens more connections.
    pub streams_per_connection_max: u32,

    /// Items of a page if the request has no number.
    pub page_items_default: usize,
    /// Most items of a page: a third of a MiB with texts alone, and below the 4 MiB that clients
    /// accept by default with the largest posts.
    pub page_items_max: usize,
    /// Most entries that are scanned for a page: hidden and deleted ones take time too, some tens
    /// of milliseconds if all are read from the disk. Then the page ends, and the next one
    /// continues there. Also bounds the search for double reposts and the count of unseen
    /// notifications.
    pub page_scan_entries_max: usize,
    /// Levels of replies in a thread if the request has no number: as deep as a phone can indent.
    pub thread_depth_default: usize,
    /// Most levels of replies in a thread. Deeper replies need a request of their own.
    pub thread_depth_max: usize,
    /// Replies of a thread if the request has no number.
    pub thread_replies_default: usize,
    /// Most replies of a thread: two pages.
    pub thread_replies_max: usize,
    /// Most ancestors of a post in its thread: a page.
    pub thread_ancestors_max: usize,
    /// Most replies that are scanned for a thread, with the deleted and hidden ones: some ten
    /// milliseconds. Then the thread ends, and the next page continues there.
    pub thread_scan_replies_max: usize,
    /// Most bytes of the posts of a thread: below the 4 MiB that clients accept by default, with
    /// the rest of the response.
    pub thread_bytes_max: usize,
    /// Greatest number of unseen notifications; counting stops there. Nobody needs to distinguish a
    /// thousand from more.
    pub unseen_count_max: usize,

    /// Most commands in the queue of the log. When it is full, calls are refused: a longer queue
    /// than the disk can work off only adds latency.
    pub queue_commands_max: usize,
    /// Most commands of one batch, so that the first does not wait for too many others.
    pub batch_commands_max: usize,
    /// Most batches that are durable but not applied. Two keep both threads busy; more only wait.
    pub unapplied_batches_max: usize,
    /// Shortest time for which a `request_id` is remembered, in the log's own time: it leaves out
    /// times without a running server and suspended machines, and ignores changes of the clock.
    pub request_id_retention: Duration,
    /// Memory for posts, with their counts. Other posts are read from the log, and their counts from
    /// the index.
    pub post_cache_bytes_max: u64,
    /// Likes and reposts in memory although the index has them, of which the older half is dropped
    /// at a time: those of the posts on first pages, at some 80 B each.
    pub recent_reactions_max: usize,
    /// Memory for the likes and reposts of readers from before those: of some 20,000 readers, who
    /// have reacted to a few dozen posts each.
    pub older_reactions_bytes_max: u64,
    /// Bytes of a segment of the log: what is rewritten to erase a post, and scanned after an
    /// unclean stop. Larger ones make fewer files. The first is a 64th of it.
    pub log_segment_bytes_max: u64,
    /// Revisions of an author's posts in memory although the index has them: enough for the first
    /// page of a feed with this author alone, at half a KiB an author.
    pub recent_revisions_per_author_max: usize,
    /// Most events in one write of the index, unless it lacks many times as many. More would save
    /// writes, as one page takes the rows of more events, but cost some tens of MiB of memory, and
    /// time at the next start after a crash.
    pub index_events_max: usize,
    /// Longest time that an event waits for a write of the index, if the disk keeps up. A write of
    /// few events costs nearly a page for each; a start after a crash replays the events that
    /// waited.
    pub index_write_delay_max: Duration,
    /// Memory for pages of the index file: the upper levels of its trees. The page cache of the
    /// operating system has the rest.
    pub index_cache_bytes: usize,
    /// Memory for the rows that a check of the index makes from the log. The others are in files without
    /// a name meanwhile.
    pub index_check_bytes_max: usize,
    /// Most reads from the disk at once: a few more than a small machine has cores, so that some
    /// wait for the disk while others decode. One caller has half of them at most.
    pub concurrent_reads_max: usize,
    /// Most calls of one caller that wait to read the disk, of n callers an n-th of it each: so many
    /// ordinary pages take less than a second, and the costliest less than a call's time. A call
    /// beyond it is refused at once.
    pub waiting_reads_max: usize,
    /// Most segments of the log that backups read at once: one backup after the other reads one at a
    /// time, and a few MiB of memory and a thread each bound what more of them take from the disk.
    pub segment_reads_max: usize,
    /// Free disk space below which writes are refused: enough for the log to finish its present
    /// work, and for an operator to act.
    pub disk_free_bytes_min: u64,

    /// How long the content of a deleted post stays in the log's files, give or take a sixteenth, if
    /// the disk has room for a second file. A compaction reads and writes whole segments, so it
    /// waits for more deletions; a day is soon enough for the author.
    pub compaction_interval: Duration,

    /// Capacity of a live feed's channel, in events or event batches. Memory is allocated with the
    /// channel; a reader that falls behind reads from the log, so few slots are enough.
    pub channel_events_max: usize,
    /// Live feeds that one step of a fan-out delivers to, of new events and of active fan-outs
    /// each. Other tasks of the worker wait for a step and for the readers that it wakes: about a
    /// millisecond. A post for more feeds takes several steps, and later posts may overtake it.
    pub fan_out_step_feeds_max: usize,
    /// Most posts that are being fanned out at once. Each is compared with every feed that is
    /// delivered to, and a reader gets all of them together, about one batch; newer events wait.
    pub active_fan_outs_max: usize,
    /// Most batches in a worker's mailbox, and as many that it has taken out. When it is full, the
    /// shard lags and its live feeds read from the log, which costs more: so there is room for the
    /// batches of a tenth of a second. Some MiB, if all are large.
    pub undispatched_batches_max: usize,
    /// Most events of one batch of a stream.
    pub batch_events_max: usize,
    /// Most bytes of one batch of a stream: a default HTTP/2 window of 64 KiB less a frame.
    pub batch_bytes_max: usize,
    /// Time between heartbeats if the request has none: below the 30 s after which many proxies
    /// close a silent connection.
    pub heartbeat_interval_default: Duration,
    /// Shortest time between heartbeats: more of them would cost more than the feed.
    pub heartbeat_interval_min: Duration,
    /// Longest time between heartbeats: after it most routers have forgotten the connection.
    pub heartbeat_interval_max: Duration,
    /// How long a client may accept no byte of an answer, or of a stream that has a message, before
    /// its connection is closed.
    pub stall_time_max: Duration,

    /// Longest time of a unary call.
    pub call_time_max: Duration,
    /// Largest request message: ten times a post of 3,000 bytes with all its other fields.
    pub request_bytes_max: usize,
    /// Largest list of headers: a token of 8 KiB and the rest.
    pub header_list_bytes_max: u32,
    /// How long a stopping server accepts calls while its health is `NOT_SERVING`: as long as a
    /// load balancer takes to notice. None by default, as most setups have no load balancer.
    pub drain_notice: Duration,
    /// How long streams and calls have to end when the server stops or closes an old connection.
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
            handshake_time_max: Duration::from_secs(10),
            handshakes_max: 2_048,
            connection_age_max: Duration::from_secs(24 * 60 * 60),
            keepalive_interval: Duration::from_secs(30),
            keepalive_answer_time_max: Duration::from_secs(10),
            calls_max: 8_192,
            worker_lateness_max: Duration::from_millis(100),
            worker_silence_max: Duration::from_secs(10),
            user_reads_per_second_max: 50,
            user_changes_per_second_max: 10,
            user_streams_per_second_max: 4,
            quota_burst_time: Duration::from_secs(10),
            new_user_follows_per_hour_max: 100,
            new_user_mentions_per_hour_max: 30,
            new_user_time: Duration::from_secs(3 * 24 * 60 * 60),
            address_reads_per_second_max: 2_000,
            address_changes_per_second_max: 400,
            address_streams_per_second_max: 200,
            address_refusals_per_second_max: 20,
            quota_callers_max: 100_000,
            request_time_max: Duration::from_secs(5),
            unfinished_request_bytes_per_connection_max: 16 << 20,
            unfinished_request_bytes_per_address_max: 64 << 20,
            unfinished_request_bytes_max: 128 << 20,
            unsent_answer_bytes_per_connection_max: 64 << 20,
            unsent_answer_bytes_max: 256 << 20,
            empty_frames_at_once_max: 4_096,
            empty_frames_per_second_max: 100,
            streams_per_connection_max: 1_024,
            page_items_default: 50,
            page_items_max: 100,
            page_scan_entries_max: 10_000,
            thread_depth_default: 6,
            thread_depth_max: 10,
            thread_replies_default: 100,
            thread_replies_max: 200,
            thread_ancestors_max: 100,
            thread_scan_replies_max: 4_000,
            thread_bytes_max: 3 << 20,
            unseen_count_max: 1_000,
            queue_commands_max: 8_192,
            batch_commands_max: 1_024,
            unapplied_batches_max: 2,
            request_id_retention: Duration::from_secs(24 * 60 * 60),
            post_cache_bytes_max: 256 << 20,
            recent_reactions_max: 250_000,
            older_reactions_bytes_max: 16 << 20,
            log_segment_bytes_max: 64 << 20,
            recent_revisions_per_author_max: 64,
            index_events_max: 256 << 10,
            index_write_delay_max: Duration::from_secs(30),
            index_cache_bytes: 16 << 20,
            index_check_bytes_max: 64 << 20,
            concurrent_reads_max: 4,
            waiting_reads_max: 1_024,
            segment_reads_max: 2,
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
