//! The measurements, one a file. Each starts its systems afresh, goes round them so often, and
//! takes the rounds of one system right beside those of the others: the machine is never quiet,
//! and only figures taken side by side can be compared.

mod audience;
mod edges;
mod fan_out;
mod feed;
mod growth;
mod idle;
mod latency;
mod mixed;
mod publish;
mod restart;
mod storm;

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use crate::data::Data;
use crate::error::Error;
use crate::peer::{Kind, Programs, System};
use crate::results::Results;

/// Calls under way at once where that is not what is varied.
const IN_FLIGHT: usize = 64;
/// What can be measured, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Measurement {
    /// Publishing, beside calls that do nothing; a thousand posts at once.
    Publish,
    /// One author, a thousand watchers.
    FanOut,
    /// From publishing to delivery, at a rate.
    Latency,
    /// Reading a feed.
    Feed,
    /// Memory of a watcher who is told nothing.
    Idle,
    /// Memory of a follow.
    Edges,
    /// Starting again after a kill.
    Restart,
    /// The same figures at greater and greater sizes.
    Growth,
    /// A post to more and more watchers, and what others notice of it.
    Audience,
    /// Ten thousand watchers who resume at once.
    Storm,
    /// All calls of a social app, nine reads to a write.
    Mixed,
}

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) rounds: usize,
    /// Of one round of what has no end of its own.
    pub(crate) time: Duration,
    /// How long a server has to come to rest before its memory is looked at.
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
    pub(crate) edges_users: u32,
    pub(crate) edges_each: (u32, u32),
    pub(crate) restart_each: u32,
    /// Users, and ten times as many edges and posts.
    pub(crate) growth_users: Vec<u32>,
    pub(crate) audience: Vec<u32>,
    /// How long small posts are published beside those to everybody.
    pub(crate) audience_time: Duration,
    pub(crate) storm_watchers: u32,
    pub(crate) storm_posts: u64,
    pub(crate) mixed_users: u32,
    pub(crate) mixed_followees: u32,
    /// Posts, replies, likes and reposts before it begins.
    pub(crate) mixed_actions: usize,
    pub(crate) mixed_watchers: u32,
    pub(crate) mixed_time: Duration,
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) programs: Programs,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) sizes: Sizes,
    pub(crate) results: Results,
}

/// A system that stands ready.
#[derive(Clone, Debug)]
pub(crate) struct Stand {
    kind: Kind,
    system: Arc<dyn System>,
}

impl Measurement {
    /// Makes it. What a system cannot do is in the results.
    pub(crate) async fn make(self, run: &mut Run) {
        match self {
            Self::Publish => publish::measure(run).await,
            Self::FanOut => fan_out::measure(run).await,
            Self::Latency => latency::measure(run).await,
            Self::Feed => feed::measure(run).await,
            Self::Idle => idle::measure(run).await,
            Self::Edges => edges::measure(run).await,
            Self::Restart => restart::measure(run).await,
            Self::Growth => growth::measure(run).await,
            Self::Audience => audience::measure(run).await,
            Self::Storm => storm::measure(run).await,
            Self::Mixed => mixed::measure(run).await,
        }
    }
}

impl Sizes {
    /// Those that the documentation shows.
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
            edges_users: 100_000,
            edges_each: (20, 40),
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
        }
    }

    /// Those that show whether it all works, in seconds.
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
            edges_users: 1_000,
            edges_each: (10, 20),
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
        }
    }
}

impl Run {
    /// Starts each of `kinds` with `data`. Those that cannot are in the results.
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

    /// Those of the wanted systems that are also in `of`.
    fn kinds_of(&self, of: &[Kind]) -> Vec<Kind> {
        self.kinds.iter().copied().filter(|kind| of.contains(kind)).collect()
    }

    /// Takes one round of one system into the results, or why there is none.
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
            figures.iter().map(|(name, value)| format!("{name} {value:.1}")).collect();
        eprintln!("{measurement} {x}: {}: {}", kind.label(), shown.join(", "));
        self.take(measurement, kind, x, figures);
    }

    /// Takes figures into the results, and says nothing.
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
