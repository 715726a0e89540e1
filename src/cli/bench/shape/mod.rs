//! `whimbrel bench --shape`: a workload with its own data, mix and rates, as others published them or
//! as a user describes it. Never judges a figure.
//!
//! ```text
//! TOML ──▶ Shape ──▶ FollowGraph, Composer ──▶ Workload: makes the data
//!            │                                    │ a call
//!            └─ rates ──▶ pacer ──▶ open loop ◀───┘
//!                                      ▼
//!                                  StepResult ──▶ a row; held, or not
//! ```

mod composer;
mod description;
mod graph;
mod open_loop;
mod report;
mod workload;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

pub use self::description::{CallWeights, LoadSteps, Published, Shape, ShapeError, TextShape};
pub use self::graph::{FollowEdge, FollowGraph};
pub use self::open_loop::{KindResult, OUTSTANDING_MAX, StepResult, open_loop};
use self::report::{CpuUse, HeldRate, PreparedData, StepRow};
use self::workload::Workload;
use crate::cli::json::JsonLine;
use crate::cli::{Error, Output, number};
use crate::client::{Client, ConnectOptions};

/// The shapes that are built in, by name: each is a file in the form that users write.
pub const BUILT_IN: [(&str, &str); 5] = [
    ("getstream", include_str!("built_in/getstream.toml")),
    ("getstream-200", include_str!("built_in/getstream-200.toml")),
    ("deathstarbench", include_str!("built_in/deathstarbench.toml")),
    ("deathstarbench-nightcore", include_str!("built_in/deathstarbench-nightcore.toml")),
    ("twitter-2013", include_str!("built_in/twitter-2013.toml")),
];

/// The factor between two rates after the last one of the shape: the highest rate that is held is
/// known to within a half.
const RATE_FACTOR: f64 = 1.5;
/// A step is held if at least this part of what was due was answered in time.
const HELD_PART_MIN: f64 = 0.95;
/// Most steps, so that a server that answers ever faster ends as well.
const STEPS_MAX: usize = 64;

/// The calls of a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// The first page of a user's home feed.
    Feed,
    /// The first page of a user's posts.
    UserPosts,
    /// A new post.
    Publish,
    /// A follow.
    Follow,
}

/// A shape with the name by which it was asked for, and its text.
#[derive(Debug)]
pub(super) struct NamedShape {
    name: String,
    text: String,
    shape: Shape,
}

/// What a shape is measured on.
#[derive(Debug)]
pub(super) struct ShapeTarget<'a> {
    pub(super) address: &'a str,
    pub(super) options: &'a ConnectOptions,
    /// The server's process, if it is known.
    pub(super) pid: Option<u32>,
    /// Least number of connections.
    pub(super) connections: usize,
    /// Prefix of all user names.
    pub(super) names: Arc<str>,
    /// Seconds of a step, instead of what the shape says.
    pub(super) seconds: Option<u64>,
}

impl CallKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Feed, Self::UserPosts, Self::Publish, Self::Follow];

    fn as_str(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::UserPosts => "user_posts",
            Self::Publish => "publish",
            Self::Follow => "follow",
        }
    }
}

impl NamedShape {
    /// The built-in shape of this name, or the one in this file; with `scale` instead of its own.
    pub(super) fn load(name_or_file: &str, scale: Option<u64>) -> Result<Self, Error> {
        let built_in = BUILT_IN.iter().find(|(name, _)| *name == name_or_file);
        let text = match built_in {
            Some((_, text)) => (*text).to_owned(),
            None => fs::read_to_string(name_or_file).map_err(|error| {
                let names = BUILT_IN.map(|(name, _)| name).join(", ");
                Error::Usage(format!(
                    "cannot read the shape {name_or_file:?} ({error}): give a file in TOML, or one \
                     of {names}"
                ))
            })?,
        };
        let refused = |error: ShapeError| Error::Usage(format!("shape {name_or_file}: {error}"));
        let shape = Shape::from_toml(&text).map_err(refused)?;
        let scale = scale.unwrap_or(shape.scale);
        let shape = shape.scaled(scale).map_err(refused)?;
        Ok(Self { name: name_or_file.to_owned(), text, shape })
    }

    /// Prints the description, to start one's own from.
    pub(super) fn print(&self, output: Output) -> Result<(), Error> {
        output.print(|| self.text.trim_end().to_owned(), || JsonLine("shape", &self.shape))
    }

    /// Makes the data, and measures step by step until a rate is not held.
    pub(super) async fn measure(
        &self,
        target: ShapeTarget<'_>,
        output: Output,
    ) -> Result<(), Error> {
        let Self { name, shape, .. } = self;
        let ShapeTarget { address, options, pid, connections, names, seconds } = target;
        let clients = Client::connect_for(address, options, OUTSTANDING_MAX, connections).await?;
        let mut workload = Workload::new(clients, names, shape);
        let started = Instant::now();
        workload.prepare(output).await?;
        PreparedData::new(name, shape, started.elapsed(), pid).print(output)?;

        let load = &shape.load;
        report::print_head(output)?;
        let time = Duration::from_secs(seconds.unwrap_or(load.seconds));
        // Who wants short steps does not want to wait longer for the first.
        let warm_up = Duration::from_secs(load.warm_up_seconds).min(time);
        step(&mut workload, load.rates.first().map_or(1.0, |rate| *rate as f64), warm_up).await?;
        let mut held = None;
        for rate in rates(&load.rates).take(STEPS_MAX) {
            let (before, begun) = (CpuUse::now(pid), Instant::now());
            let result = step(&mut workload, rate, time).await?;
            let mut row = StepRow::new(rate, &result, begun.elapsed(), before, pid);
            row.not_held = not_held(&result, load.p99_ms_max);
            row.print(output)?;
            if let Some(error) = result.first_error() {
                output.note(&format!("the first error of this step: {error}"));
            }
            if row.not_held.is_none() {
                held = Some(row);
            } else if rate >= load.rates.last().map_or(0.0, |last| *last as f64) {
                break;
            }
        }
        HeldRate::new(name, held.as_ref(), shape).print(output)
    }
}

/// The rates of the shape, and then ever higher ones.
fn rates(of_shape: &[u64]) -> impl Iterator<Item = f64> {
    let last = of_shape.last().map_or(1.0, |rate| *rate as f64);
    let higher = std::iter::successors(Some(last), |rate| Some(rate * RATE_FACTOR)).skip(1);
    of_shape.iter().map(|rate| *rate as f64).chain(higher)
}

async fn step(workload: &mut Workload, rate: f64, time: Duration) -> Result<StepResult, Error> {
    let arrivals = open_loop::start_pacer(rate, time).map_err(Error::Runtime)?;
    Ok(open_loop(arrivals, || workload.call()).await)
}

/// Why the server did not hold the rate of a step; `None` if it did.
fn not_held(step: &StepResult, p99_ms_max: u64) -> Option<String> {
    let all = step.all();
    let part = all.answered_in_time() as f64 / all.due().max(1) as f64;
    if step.is_saturated() {
        let calls = number::grouped(OUTSTANDING_MAX as u64);
        let seconds = step.time().as_secs_f64();
        Some(format!("saturated: {calls} calls without an answer after {seconds:.1} s"))
    } else if part < HELD_PART_MIN {
        // Rounded down: 95.0 % would seem to be enough.
        let percent = (part * 1_000.0).floor() / 10.0;
        let needed = HELD_PART_MIN * 100.0;
        Some(format!(
            "only {percent:.1} % of the calls were answered with OK before the step ended, and \
             {needed:.0} % are needed"
        ))
    } else if all.latency_us(0.99) > p99_ms_max * 1_000 {
        Some(format!("the p99 is over {p99_ms_max} ms"))
    } else {
        None
    }
}
