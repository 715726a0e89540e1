//! The measurements, one a file. Each starts new processes of its systems, and measures them in
//! turns, round by round: the machine is never quiet, and only figures of the same minute can be
//! compared. A measurement never renders a result.

mod audience;
mod backup;
mod connections;
mod edges;
mod fan_out;
mod feed;
mod growth;
mod idle;
mod latency;
mod memory;
mod mixed;
mod publish;
mod restart;
mod security;
mod storm;

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use crate::data::Data;
use crate::error::Error;
use crate::peer::{Kind, Programs, System};
use crate::report::format::digits;
use crate::results::Results;

/// Calls in flight, in measurements that do not vary them.
const IN_FLIGHT: usize = 64;
/// The measurements, in the order of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Measurement {
    /// Publishes a second, compared with the cheapest call; a thousand posts at once.
    Publish,
    /// Deliveries a second: one author, a thousand watchers.
    FanOut,
    /// The time from a publish to its delivery, at a fixed rate.
    Latency,
    /// The time of a page of a feed.
    Feed,
    /// Memory of an idle watcher.
    Idle,
    /// Whimbrel with as many idle connections as the limit of open files allows, 100,000 at most.
    Connections,
    /// Memory of a follow.
    Edges,
    /// Memory of a server by what it is for, without peers.
    Memory,
    /// The time of a restart after a kill.
    Restart,
    /// Rates, times and memory as the data grows.
    Growth,
    /// The time of a post to all watchers as their number grows, and its effect on other posts.
    Audience,
    /// Ten thousand watchers who resume at once.
    Storm,
    /// All calls of a social app, nine reads to a write.
    Mixed,
    /// Whimbrel with tokens, and with tokens and TLS, compared with neither.
    Security,
    /// The time of a publish while a full backup is taken, and while none is.
    Backup,
}

/// The sizes of all measurements.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) rounds: usize,
    /// Length of a round, if it has no end of its own.
    pub(crate) time: Duration,
    /// How long a server may become idle before its memory is measured.
    pub(crate) settle: Duration,
    pub(crate) users: u32,
    pub(crate) followees: u32,
    pub(crate) in_flight: Vec<usize>,
    pub(crate) thousand: u64,
    pub(crate) watchers: u32,
    pub(crate) shared_connections: usize,
    pub(crate) fan_out_posts: u64,
    pub(crate) rates_per_s: Vec<f64>,
    pub(crate) feed_posts: u64,
    pub(crate) feed_authors: u32,
    pub(crate) feed_followees: Vec<u32>,
    pub(crate) connections: u32,
    /// How long they are idle: two rounds of keepalive.
    pub(crate) connections_time: Duration,
    pub(crate) edges_users: u32,
    pub(crate) edges_each: (u32, u32),
    pub(crate) memory_users: u32,
    pub(crate) restart_each: u32,
    /// Numbers of users; there are ten times as many edges and posts.
    pub(crate) growth_users: Vec<u32>,
    pub(crate) audience: Vec<u32>,
    /// How long posts of small authors are published during posts to all watchers.
    pub(crate) audience_time: Duration,
    pub(crate) storm_watchers: u32,
    pub(crate) storm_posts: u64,
    pub(crate) mixed_users: u32,
    pub(crate) mixed_followees: u32,
    /// Posts, replies, likes and reposts in the history.
    pub(crate) mixed_actions: usize,
    pub(crate) mixed_watchers: u32,
    pub(crate) mixed_time: Duration,
    pub(crate) security_followees: u32,
    pub(crate) security_posts: u64,
    pub(crate) backup_posts: u64,
}

/// A run: its systems, its sizes, and the results so far.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) programs: Programs,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) sizes: Sizes,
    pub(crate) results: Results,
}

/// A system that serves.
#[derive(Clone, Debug)]
pub(crate) struct Stand {
    kind: Kind,
    system: Arc<dyn System>,
}

impl Measurement {
    /// Makes the measurement. The results have the errors of systems that fail.
    pub(crate) async fn make(self, run: &mut Run) {
        match self {
            Self::Publish => publish::measure(run).await,
            Self::FanOut => fan_out::measure(run).await,
            Self::Latency => latency::measure(run).await,
            Self::Feed => feed::measure(run).await,
            Self::Idle => idle::measure(run).await,
            Self::Connections => connections::measure(run).await,
            Self::Edges => edges::measure(run).await,
            Self::Memory => memory::measure(run).await,
            Self::Restart => restart::measure(run).await,
            Self::Growth => growth::measure(run).await,
            Self::Audience => audience::measure(run).await,
            Self::Storm => storm::measure(run).await,
            Self::Mixed => mixed::measure(run).await,
            Self::Security => security::measure(run).await,
            Self::Backup => backup::measure(run).await,
        }
    }
}

impl Sizes {
    /// The sizes of the figures in the documentation.
    pub(crate) fn full() -> Self {
        Self {
            rounds: 5,
            time: Duration::from_millis(800),
            settle: Duration::from_secs(1),
            users: 10_000,
            followees: 20,
            in_flight: vec![64, 256],
            thousand: 1_000,
            watchers: 1_000,
            shared_connections: 4,
            fan_out_posts: 1_000,
            rates_per_s: vec![1_000.0, 5_000.0],
            feed_posts: 1_000_000,
            feed_authors: 10_000,
            feed_followees: vec![10, 100, 1_000, 10_000],
            connections: 100_000,
            connections_time: Duration::from_secs(60),
            edges_users: 100_000,
            edges_each: (20, 40),
            memory_users: 200_000,
            restart_each: 500_000,
            growth_users: vec![1_000, 10_000, 100_000, 1_000_000],
            audience: vec![1, 10, 100, 1_000, 10_000, 100_000],
            audience_time: Duration::from_secs(6),
            storm_watchers: 10_000,
            storm_posts: 100_000,
            mixed_users: 10_000,
            mixed_followees: 50,
            mixed_actions: 500_000,
            mixed_watchers: 200,
            mixed_time: Duration::from_secs(4),
            security_followees: 1_000,
            security_posts: 100_000,
            backup_posts: 1_000_000,
        }
    }

    /// Sizes of one round of a comparison of two builds, which starts new servers in each round: as
    /// small as they can be without changing what is measured.
    pub(crate) fn compared() -> Self {
        Self {
            rounds: 1,
            // Processor time is counted in steps of 10 ms.
            time: Duration::from_millis(1_200),
            rates_per_s: vec![5_000.0],
            feed_posts: 200_000,
            feed_authors: 2_000,
            feed_followees: vec![1_000],
            growth_users: vec![100_000],
            audience: vec![1_000, 10_000],
            audience_time: Duration::from_secs(4),
            mixed_actions: 100_000,
            mixed_time: Duration::from_secs(2),
            ..Self::full()
        }
    }

    /// Sizes that only test the bench, in seconds.
    pub(crate) fn quick() -> Self {
        Self {
            rounds: 2,
            time: Duration::from_millis(100),
            settle: Duration::from_millis(100),
            users: 200,
            followees: 5,
            in_flight: vec![64],
            thousand: 1_000,
            watchers: 50,
            shared_connections: 2,
            fan_out_posts: 50,
            rates_per_s: vec![500.0],
            feed_posts: 5_000,
            feed_authors: 100,
            feed_followees: vec![10, 100],
            connections: 200,
            connections_time: Duration::from_millis(100),
            edges_users: 1_000,
            edges_each: (10, 20),
            memory_users: 20_000,
            restart_each: 1_000,
            growth_users: vec![100, 1_000],
            audience: vec![1, 100],
            audience_time: Duration::from_secs(1),
            storm_watchers: 100,
            storm_posts: 1_000,
            mixed_users: 200,
            mixed_followees: 20,
            mixed_actions: 5_000,
            mixed_watchers: 10,
            mixed_time: Duration::from_millis(500),
            security_followees: 100,
            security_posts: 1_000,
            backup_posts: 5_000,
        }
    }
}

impl Run {
    /// Starts each of `kinds` with `data`. The results have the errors of those that fail.
    async fn start(&mut self, measurement: &str, kinds: &[Kind], data: &Data) -> Vec<Stand> {
        let mut stands = Vec::new();
        for &kind in kinds {
            match kind.start(&self.programs, data).await {
                Ok(system) => stands.push(Stand { kind, system }),
                Err(error) => self.failed(measurement, kind, 0.0, &error),
            }
        }
        stands
    }

    /// The wanted systems that are in `of`.
    fn kinds_of(&self, of: &[Kind]) -> Vec<Kind> {
        self.kinds.iter().copied().filter(|kind| of.contains(kind)).collect()
    }

    /// The wanted systems to which posts can be published.
    fn publishers(&self) -> Vec<Kind> {
        self.kinds.iter().copied().filter(|kind| *kind != Kind::RedisHydrated).collect()
    }

    /// Adds one round of one system to the results, or its error, and prints it.
    fn note(
        &mut self,
        measurement: &str,
        kind: Kind,
        x: f64,
        measured: Result<Vec<(&'static str, f64)>, Error>,
    ) {
        let figures = match measured {
            Ok(figures) => figures,
            Err(error) => return self.failed(measurement, kind, x, &error),
        };
        let shown: Vec<_> =
            figures.iter().map(|(name, value)| format!("{name} {}", digits(*value))).collect();
        eprintln!("{measurement} {x}: {}: {}", kind.label(), shown.join(", "));
        self.take(measurement, kind, x, figures);
    }

    /// Adds figures to the results without printing them.
    fn take<N: Into<String>>(
        &mut self,
        measurement: &str,
        kind: Kind,
        x: f64,
        figures: impl IntoIterator<Item = (N, f64)>,
    ) {
        let row = self.results.row_mut(measurement, kind, x);
        for (name, value) in figures {
            row.figures.entry(name.into()).or_default().push(value);
        }
    }

    fn failed(&mut self, measurement: &str, kind: Kind, x: f64, error: &Error) {
        eprintln!("{measurement} {x}: {}: {error}", kind.label());
        self.results.row_mut(measurement, kind, x).note = Some(error.to_string());
    }
}
