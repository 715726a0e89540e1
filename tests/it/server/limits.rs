//! Limits: for any values, a server refuses them before it touches anything, or serves.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use whimbrel::api::v1::notification_service_client::NotificationServiceClient;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::api::v1::{GetThreadRequest, ListNotificationsRequest};
use whimbrel::config::{self, Config, LimitError, Limits};
use whimbrel::engine::{Engine, OpenError};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::server::{Error, Server};
use whimbrel::storage::LocalLog;

use crate::harness::{LOG_OPTIONS, MemoryFolder, Setup, TestServer, within};

/// A type of limits, with the values that are most likely to be wrong.
trait Pick: Copy + 'static {
    const ALL: &'static [Self];
}

impl Pick for usize {
    const ALL: &'static [Self] = &[0, 1, 2, 3, 100, 1 << 10, usize::MAX];
}
impl Pick for u64 {
    const ALL: &'static [Self] = &[0, 1, 2, 3, 100, 1 << 10, u64::MAX];
}
impl Pick for u32 {
    const ALL: &'static [Self] = &[0, 1, 2, 3, 100, 1 << 10, u32::MAX];
}
/// No time so short that a busy machine exceeds it: a valid time is also long enough.
impl Pick for Duration {
    const ALL: &'static [Self] =
        &[Self::ZERO, Self::from_nanos(1), Self::from_secs(3_600), Self::MAX];
}

pub(crate) type Set = fn(&mut Limits, usize);

/// A limit, and the number of its values.
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) picks: usize,
    pub(crate) set: Set,
}

/// The limits that are bounded by another limit.
const BOUND_TO_OTHERS: [&str; 9] = [
    "page_items_default",
    "page_items_max",
    "thread_depth_default",
    "thread_depth_max",
    "thread_replies_default",
    "thread_replies_max",
    "heartbeat_interval_default",
    "heartbeat_interval_min",
    "heartbeat_interval_max",
];

impl Limit {
    /// Whether this value is valid while all other limits have their defaults.
    pub(crate) fn allows(&self, pick: usize) -> bool {
        let mut limits = Limits::default();
        (self.set)(&mut limits, pick);
        limits.check().is_ok()
    }
}

fn picks<T: Pick>(_: impl Fn(&Limits) -> T) -> usize {
    T::ALL.len()
}

/// The limits of these names. A missing one is a compile error.
macro_rules! limits {
    ($($name:ident)*) => {
        pub(crate) fn all() -> Vec<Limit> {
            let Limits { $($name: _),* } = Limits::default();
            vec![$(Limit {
                name: stringify!($name),
                picks: picks(|limits| limits.$name),
                set: |limits, pick| limits.$name = Pick::ALL[pick],
            }),*]
        }
    };
}

limits! {
    follows_per_user_max blocks_per_user_max mutes_per_user_max users_max streams_per_user_max
    streams_max
    worker_threads connections_max connections_per_address_max preface_time_max handshake_time_max
    handshakes_max connection_age_max
    calls_max worker_lateness_max worker_silence_max user_reads_per_second_max user_changes_per_second_max user_streams_per_second_max
    quota_burst_time new_user_follows_per_hour_max new_user_mentions_per_hour_max new_user_time
    address_reads_per_second_max address_changes_per_second_max address_streams_per_second_max
    address_refusals_per_second_max quota_callers_max
    request_time_max unfinished_request_bytes_per_connection_max
    unfinished_request_bytes_per_address_max unfinished_request_bytes_max
    unsent_answer_bytes_per_connection_max unsent_answer_bytes_max
    empty_frames_at_once_max empty_frames_per_second_max
    streams_per_connection_max page_items_default page_items_max page_scan_entries_max thread_depth_default
    thread_depth_max thread_replies_default thread_replies_max thread_ancestors_max
    thread_scan_replies_max thread_bytes_max unseen_count_max queue_commands_max batch_commands_max
    unapplied_batches_max request_id_retention post_cache_bytes_max recent_reactions_max
    older_reactions_bytes_max log_segment_bytes_max
    recent_revisions_per_author_max index_events_max index_write_delay_max index_cache_bytes index_check_bytes_max
    concurrent_reads_max
    segment_reads_max waiting_reads_max
    disk_free_bytes_min compaction_interval channel_events_max fan_out_step_feeds_max active_fan_outs_max
    undispatched_batches_max batch_events_max batch_bytes_max heartbeat_interval_default heartbeat_interval_min
    heartbeat_interval_max stall_time_max call_time_max request_bytes_max header_list_bytes_max drain_notice
    drain_time_max keepalive_interval keepalive_answer_time_max
}

/// A limit that cannot work is refused with its name, its value and its range.
#[test]
fn a_limit_that_cannot_work_is_named() {
    Limits::default().check().expect("the defaults work");
    let no_zero = [
        "fan_out_step_feeds_max",
        "active_fan_outs_max",
        "channel_events_max",
        "queue_commands_max",
        "undispatched_batches_max",
        "unapplied_batches_max",
        "batch_commands_max",
        "stall_time_max",
        "heartbeat_interval_min",
        "preface_time_max",
        "worker_threads",
        "page_items_max",
        "concurrent_reads_max",
        "waiting_reads_max",
        "worker_lateness_max",
    ];
    for limit in all().iter().filter(|limit| no_zero.contains(&limit.name)) {
        let mut limits = Limits::default();
        (limit.set)(&mut limits, 0);
        let error = limits.check().expect_err(limit.name);
        let LimitError::OutOfRange { name, value, .. } = &error else { panic!("{error}") };
        assert_eq!((*name, value.trim_end_matches("ns")), (limit.name, "0"));
        let message = error.to_string();
        assert!(message.contains(limit.name) && message.contains(" must be 1"), "{message}");
    }
    let too_much =
        ["call_time_max", "request_id_retention", "queue_commands_max", "channel_events_max"];
    for limit in all().iter().filter(|limit| too_much.contains(&limit.name)) {
        let mut limits = Limits::default();
        (limit.set)(&mut limits, limit.picks - 1);
        assert!(limits.check().is_err(), "{} may be anything", limit.name);
    }
}

/// Limits that contradict each other are refused with both names.
#[test]
fn limits_that_contradict_each_other_are_named() {
    let contradictions: [(fn(&mut Limits), _, _); 5] = [
        (|limits| limits.page_items_default = 101, "page_items_default", "page_items_max"),
        (|limits| limits.thread_depth_max = 5, "thread_depth_default", "thread_depth_max"),
        (|limits| limits.thread_replies_max = 99, "thread_replies_default", "thread_replies_max"),
        (
            |limits| limits.heartbeat_interval_min *= 3,
            "heartbeat_interval_min",
            "heartbeat_interval_default",
        ),
        (
            |limits| limits.heartbeat_interval_max = Duration::from_secs(19),
            "heartbeat_interval_default",
            "heartbeat_interval_max",
        ),
    ];
    for (contradict, greater, bound) in contradictions {
        let mut limits = Limits::default();
        contradict(&mut limits);
        let error = limits.check().expect_err(greater);
        let LimitError::AboveAnother { name, bound_name, .. } = error else { panic!("{error}") };
        assert_eq!((name, bound_name), (greater, bound));
    }
}

/// The engine has the same check, for programs that use it without a server.
#[test]
fn an_engine_checks_its_limits() {
    let limits = Limits { active_fan_outs_max: 0, ..Limits::default() };
    let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
    match Engine::open(Arc::new(log), &limits, Clock::system(), &CriticalThreads::new()) {
        Err(OpenError::Limit(LimitError::OutOfRange { .. })) => {}
        Err(error) => panic!("refused for something else: {error}"),
        Ok(_) => panic!("not refused"),
    }
}

/// With every limit at its minimum a server serves.
#[tokio::test]
async fn a_server_with_minimal_limits_serves() {
    let mut limits = Setup::new().config("".as_ref()).limits;
    for limit in all() {
        if let Some(least) = (0..limit.picks).find(|&pick| limit.allows(pick)) {
            (limit.set)(&mut limits, least);
        }
    }
    assert_eq!(
        (limits.fan_out_step_feeds_max, limits.active_fan_outs_max, limits.channel_events_max),
        (1, 1, 1)
    );
    Box::pin(serves(limits)).await;
}

/// For random values of all limits, they are refused before anything is touched, or the server
/// serves.
#[tokio::test]
async fn any_limits_are_refused_or_serve() {
    let (mut refused, mut served) = (0, 0);
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut limits = Setup::new().config("".as_ref()).limits;
        for limit in all() {
            let allowed: Vec<_> = (0..limit.picks).filter(|&pick| limit.allows(pick)).collect();
            // Most values are valid and consistent. Otherwise no server would ever serve.
            let pick = match random.u32(..100) {
                0 => Some(random.usize(..limit.picks)),
                1..50 if !BOUND_TO_OTHERS.contains(&limit.name) => random.choice(allowed),
                1..3 => random.choice(allowed),
                _ => None,
            };
            if let Some(pick) = pick {
                (limit.set)(&mut limits, pick);
            }
        }
        eprintln!("seed {seed}: {limits:?}");
        if limits.check().is_ok() {
            Box::pin(serves(limits)).await;
            served += 1;
        } else {
            is_refused(limits).await;
            refused += 1;
        }
    }
    assert!(refused > 5 && served > 5, "{refused} refused, {served} served");
}

/// A single invalid limit is refused by its own name.
#[test]
fn every_limit_is_refused_by_its_name() {
    for limit in all() {
        for pick in (0..limit.picks).filter(|&pick| !limit.allows(pick)) {
            let mut limits = Limits::default();
            (limit.set)(&mut limits, pick);
            let error = limits.check().unwrap_err().to_string();
            assert!(error.contains(limit.name), "{}: {error}", limit.name);
        }
    }
}

/// The command line reports the invalid limit, ends with the exit code of bad usage, and creates no
/// folder.
#[test]
fn the_command_line_checks_the_limits() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    for (flag, value, name) in [
        ("--threads", "100000", "worker_threads"),
        ("--streams-max", "18446744073709551615", "streams_max"),
        ("--drain-notice", "3153600000", "drain_notice"),
        ("--compact-every", "3153600000", "compaction_interval"),
        ("--keepalive", "3153600000", "keepalive_interval"),
        ("--post-cache", "1073741824", "post_cache_bytes_max"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_whimbrel"))
            .env("WHIMBREL_ADMIN_LISTEN", "none")
            .args(["serve", "--listen", "127.0.0.1:0", flag, value, "--data"])
            .arg(&data_dir)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&format!("the limit {name} is ")), "{stderr}");
        assert!(output.stdout.is_empty() && !data_dir.exists());
    }
}

async fn is_refused(limits: Limits) {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let config = Config { limits, ..Setup::new().config(&data_dir) };
    let error = Server::open(config).await.unwrap_err();
    assert!(matches!(error, Error::Config(config::Error::Limit(_))), "{error}");
    assert!(!data_dir.exists());
}

/// Checks that a server with `limits` answers calls of every kind, one after another.
async fn serves(mut limits: Limits) {
    // Times are long enough for a busy machine, a full disk is no concern here, a stop does not
    // wait, and three threads prove as much as a thousand.
    limits.call_time_max = Duration::from_secs(3_600);
    limits.disk_free_bytes_min = 0;
    limits.drain_notice = Duration::ZERO;
    limits.worker_threads = limits.worker_threads.min(3);
    let server = TestServer::limited(|set| *set = limits).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.follows("bob").await;
    let mut watching = alice.watches().await;
    watching.opened().await;
    let mut last = None;
    for number in 0..3 {
        last = Some(bob.publishes(&format!("post {number}")).await);
    }
    assert_eq!(watching.events(3).await, ["bob: post 0", "bob: post 1", "bob: post 2"]);
    drop(watching);
    assert_eq!(alice.feed_in_pages_of(2).await.texts(), ["post 2", "post 1", "post 0"]);

    let request = GetThreadRequest {
        user_id: "alice".to_owned(),
        post_id: last.unwrap().post_id,
        ..GetThreadRequest::default()
    };
    let mut posts = PostServiceClient::new(server.channel());
    within("a thread", Box::pin(posts.get_thread(request))).await.expect("a thread");
    let request = ListNotificationsRequest { user_id: "bob".to_owned(), ..Default::default() };
    let mut notifications = NotificationServiceClient::new(server.channel());
    let list = within("a list", Box::pin(notifications.list_notifications(request))).await;
    assert_eq!(list.expect("a list").into_inner().notifications.len(), 1);
    server.stop().await;
}
