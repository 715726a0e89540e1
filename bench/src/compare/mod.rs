//! `compare`: two builds of Whimbrel, measured in turns by one load generator, and which figures
//! differ beyond noise. Never measures a peer.
//!
//! Each round starts new servers with new data for both builds: the addresses of a process alone
//! make it faster or slower for as long as it lives, and no number of rounds would show that. The
//! build that comes first alternates, so that a machine that slows down slows both.

mod outcome;
mod table;
mod verdict;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use self::outcome::Outcome;
use crate::cli::name_of;
use crate::data::{self, Data};
use crate::error::Error;
use crate::machine;
use crate::measure::{Measurement, Run, Sizes};
use crate::peer::{Kind, Programs};
use crate::results::Results;
use crate::watchers::{Watch, Watchers};

/// The measurements without `--only`: those of what users wait and pay for.
const MEASUREMENTS: [Measurement; 7] = [
    Measurement::Publish,
    Measurement::FanOut,
    Measurement::Latency,
    Measurement::Feed,
    Measurement::Idle,
    Measurement::Audience,
    Measurement::Mixed,
];
/// Measure two builds of Whimbrel in turns, and print which figures differ beyond noise.
///
/// One client calls both: that of the build of this program. `bench/compare BASE` makes both builds
/// and calls this. The exit code is 0 whatever is found, unless --fail-on-worse is given.
#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// The program to compare with.
    #[arg(long, value_name = "PATH")]
    base: PathBuf,
    /// The program that is compared.
    #[arg(long, default_value = "target/release/whimbrel", value_name = "PATH")]
    now: PathBuf,
    /// Only these measurements. Without it: publish, fan_out, latency, feed, idle, audience, mixed.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Measurement>,
    /// Rounds, in each of which both programs have their turn. Fewer than 5 give no verdict.
    #[arg(long, default_value_t = 7, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Small sizes, to test the comparison: the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Exit with 1 if a figure of --now is worse beyond noise, if it lost deliveries, or if it could
    /// not be measured.
    #[arg(long)]
    fail_on_worse: bool,
    /// The folder for the data folders, on the disk to measure.
    #[arg(long, value_name = "DIR")]
    data_in: Option<PathBuf>,
}

/// One of the two builds, with what was measured of it.
struct Build {
    name: &'static str,
    programs: Programs,
    /// For each figure that both builds have in a round, its value in that round.
    results: Results,
}

impl CompareArgs {
    /// Measures both builds, and prints the table.
    ///
    /// # Errors
    /// A program is missing, or does not understand the client; with `--fail-on-worse`, something
    /// is worse.
    pub(crate) async fn run(&self) -> Result<(), Error> {
        machine::raise_files();
        let mut builds = [self.build("base", &self.base)?, self.build("now", &self.now)?];
        for build in &builds {
            build.check().await?;
        }
        let sizes = if self.quick { Sizes::quick() } else { Sizes::compared() };
        let sizes = Sizes { rounds: 1, ..sizes };
        let wanted = if self.only.is_empty() { &MEASUREMENTS[..] } else { &*self.only };
        let mut faults = [Vec::new(), Vec::new()];
        for measurement in wanted {
            let (begun, name) = (Instant::now(), name_of(measurement));
            for round in 0..usize::from(self.rounds) {
                let first = round % 2;
                let mut measured = [Results::default(), Results::default()];
                for at in [first, 1 - first] {
                    let build = &builds[at];
                    eprintln!("{name}, round {} of {}, {}:", round + 1, self.rounds, build.name);
                    measured[at] = build.measure(*measurement, &sizes).await;
                    faults[at].extend(outcome::faults(&measured[at]));
                }
                add_round(&mut builds, &measured);
            }
            eprintln!("{name}: {:.0} s", begun.elapsed().as_secs_f64());
        }
        let results = builds.each_ref().map(|build| &build.results);
        let outcome = Outcome::new(results, &faults, self.quick);
        std::io::stdout().write_all(outcome.text.as_bytes())?;
        if self.fail_on_worse { outcome.check() } else { Ok(()) }
    }

    fn build(&self, name: &'static str, program: &std::path::Path) -> Result<Build, Error> {
        let data_in = self.data_in.clone().unwrap_or_else(std::env::temp_dir);
        let programs = Programs { whimbrel: program.to_owned(), data_in, ..Programs::default() };
        let version = Kind::Whimbrel.version(&programs)?;
        if !version.starts_with("whimbrel ") {
            let program = program.display();
            return Err(Error::Failed(format!(
                "{program} is not Whimbrel (its --version says {version:?}): give the path of a \
                 built program as --{name}"
            )));
        }
        Ok(Build { name, programs, results: Results::default() })
    }
}

impl Build {
    /// Makes all calls of the client once, in a small world.
    ///
    /// # Errors
    /// The build has another API or another log: all that was measured of it would be wrong.
    async fn check(&self) -> Result<(), Error> {
        self.call_all().await.map_err(|error| {
            Error::Failed(format!(
                "the {} ({}) cannot be measured by the client of this build: {error}. Both builds \
                 are driven by one client, over a log that it has written: compare with a revision \
                 that has the same API and the same log format",
                self.name,
                self.programs.whimbrel.display()
            ))
        })
    }

    async fn call_all(&self) -> Result<(), Error> {
        let (author, reader) = (0, 1);
        let data = Data { edges: vec![(reader, author)], ..Data::default() };
        let system = Kind::Whimbrel.start(&self.programs, &data).await?;
        let callers = system.callers(1).await?;
        let caller = callers.first().ok_or(Error::NotOffered("nobody calls"))?;
        caller.floor().await?;
        let watch = Watch { user: reader, authors: Arc::new([author]), cursor: None };
        let watching = Watchers::open(&system, vec![watch], 1).await?;
        caller.publish_live(author, data::next_post()).await?;
        let items = caller.feed(reader).await?;
        if items != 1 {
            return Err(Error::Failed(format!("a feed has {items} items instead of 1")));
        }
        watching.wait_for(1).await;
        if watching.received() != 1 {
            return Err(Error::Failed("a post is not delivered to a watcher".to_owned()));
        }
        Ok(())
    }

    /// Makes one round of a measurement.
    async fn measure(&self, measurement: Measurement, sizes: &Sizes) -> Results {
        let mut run = Run {
            programs: self.programs.clone(),
            kinds: vec![Kind::Whimbrel],
            sizes: sizes.clone(),
            results: Results::default(),
        };
        measurement.make(&mut run).await;
        run.results
    }
}

/// Adds the figures of a round that both builds have, so that their rounds stay pairs.
fn add_round(builds: &mut [Build; 2], [base, now]: &[Results; 2]) {
    for row in &base.rows {
        for (name, base) in &row.figures {
            let Some(now) = now.figure(&row.measurement, row.system, row.x, name) else { continue };
            for (build, value) in builds.iter_mut().zip([base.median, now.median]) {
                let row = build.results.row_mut(&row.measurement, row.system, row.x);
                row.figures.entry(name.clone()).or_default().push(value);
            }
        }
    }
}
