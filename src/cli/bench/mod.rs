//! `whimbrel bench`: measures the speed of a server, relative to calls that do no work.
//!
//! Measures over real sockets only. Never judges a figure.

mod fan_out;
mod feed;
mod floor;
mod idle;
mod load;
mod machine;
mod mixed;
mod publish;
mod server;
pub mod shape;
mod table;
mod watchers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use self::server::OwnServer;
use self::shape::{NamedShape, ShapeTarget};
use self::table::TableRow;
use super::{Error, Output, number, open_files};
use crate::cli::context::Connecting;
use crate::cli::tls::ClientTlsArgs;
use crate::client::{Addresses, Client, ConnectOptions};

/// Connections of the measurements in which watchers share connections.
const SHARED_CONNECTIONS: u64 = 4;
/// Most watchers: the server accepts 1,024 streams on a connection.
const WATCHERS_MAX: u64 = SHARED_CONNECTIONS * 1_024;

/// Seconds of a measurement that has no end of its own.
const SECONDS_DEFAULT: u64 = 3;

/// Measure how fast a server is.
///
/// Starts its own server with a temporary data folder, unless --addr names one. The floor is a call
/// that does no work, made with the same settings: the machine's part in every figure. Only ratios
/// to the floor can be compared between machines, or between two runs.
#[derive(Args, Debug)]
pub(super) struct BenchArgs {
    /// Measure this server instead of its own. Leaves users named bench-* and their posts there.
    #[arg(long, value_name = "URL")]
    addr: Option<Addresses>,
    /// Watch at this server: another node of the log that --addr serves.
    #[arg(long, value_name = "URL")]
    watch_addr: Option<Addresses>,
    #[command(flatten)]
    tls: ClientTlsArgs,
    /// The process that serves --addr, to measure its memory.
    #[arg(long, value_name = "PID", value_parser = number::within(1..=u32::MAX))]
    pid: Option<u32>,
    /// Make the data folder of its own server in this folder, on the disk to measure. The data
    /// folder is removed at the end.
    #[arg(long, value_name = "DIR")]
    data_in: Option<PathBuf>,
    /// Make only these measurements.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Measurement>,
    /// Make calls as this workload does, at a steady rate, instead of these measurements: getstream,
    /// getstream-200, deathstarbench, deathstarbench-nightcore, twitter-2013, or a file in TOML.
    ///
    /// Its data is made first. Then each of its rates is a step of some seconds, and after them the
    /// rate rises until the server does not hold it. Latencies are counted from when a call was due.
    /// docs/shapes.md describes the workloads.
    #[arg(long, value_name = "NAME|FILE",
          conflicts_with_all = ["only", "in_flight", "watchers", "posts", "feed_user"])]
    shape: Option<String>,
    /// Divide the users, follows and posts of the workload by N.
    #[arg(long, value_name = "N", requires = "shape", value_parser = number::at_least(1_u64))]
    scale: Option<u64>,
    /// Print the description of the workload, to change it, and do not measure.
    #[arg(long, requires = "shape")]
    print_shape: bool,
    /// Seconds for each measurement that has no end of its own (3), or for each step of --shape (as
    /// the workload says).
    #[arg(long, value_name = "N", value_parser = number::within(1..=3600_u64))]
    seconds: Option<u64>,
    /// Connections for calls.
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = number::within(1..=1024_u16))]
    connections: u16,
    /// Concurrent calls, over all connections.
    #[arg(long, default_value_t = 64, value_name = "N",
          value_parser = number::within(1..=4096_u16))]
    in_flight: u16,
    /// Watching users, in the measurements of fan-out and of idle streams.
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = number::within(SHARED_CONNECTIONS..=WATCHERS_MAX))]
    watchers: u64,
    /// Posts that are published to the watchers at the highest rate.
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = number::within(1..=100_000_u64))]
    posts: u64,
    /// Read the feed of this user, instead of one made for it.
    #[arg(long, value_name = "USER")]
    feed_user: Option<String>,
}

/// The measurements, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum Measurement {
    /// Calls that do no work.
    Floor,
    /// Posts, one per call.
    Publish,
    /// A thousand posts by a thousand users at once.
    Thousand,
    /// A page of the feed of a user who follows a thousand.
    Feed,
    /// Nine reads to one write, of the calls that an app makes most.
    Mixed,
    /// One author, and a thousand watchers on a few connections.
    FanOutShared,
    /// One author, and a thousand watchers on a connection each.
    FanOutOwn,
    /// The memory of a stream on a shared connection.
    IdleShared,
    /// The memory of a stream on its own connection.
    IdleOwn,
}

/// The server to measure, and the clients that call it.
#[derive(Debug)]
struct Session<'a> {
    args: &'a BenchArgs,
    address: String,
    /// Where the streams are.
    watch_address: String,
    options: ConnectOptions,
    clients: Vec<Client>,
    /// Prefix of all user names, different in every run.
    names: Arc<str>,
    /// The last field, so that it is dropped last.
    server: Option<OwnServer>,
}

impl BenchArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        self.check()?;
        let shape = match &self.shape {
            Some(name) => Some(NamedShape::load(name, self.scale)?),
            None => None,
        };
        if let Some(shape) = shape.as_ref().filter(|_| self.print_shape) {
            return shape.print(*output);
        }
        // Handled, so that the bench stops its own server and removes its data.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
        tokio::select! {
            measured = self.measure(shape.as_ref(), *output) => measured,
            _ = interrupt.recv() => Err(Error::NotAllDone("interrupted".to_owned())),
            _ = terminate.recv() => Err(Error::NotAllDone("interrupted".to_owned())),
        }
    }

    /// Refuses options that exclude each other. Clap cannot: for it, --addr before the verb is
    /// another option.
    fn check(&self) -> Result<(), Error> {
        let is_own = self.addr.is_none();
        if is_own && (self.pid.is_some() || self.feed_user.is_some()) {
            return Err(Error::Usage("--pid and --feed-user are for the server of --addr".into()));
        }
        if is_own && self.watch_addr.is_some() {
            return Err(Error::Usage("--watch-addr is another node than --addr: give both".into()));
        }
        if let Some(pid) = self.pid.filter(|&pid| machine::resident_kib(pid).is_none()) {
            return Err(Error::Usage(format!(
                "the memory of process {pid} cannot be read: give the --pid of the server, on this \
                 machine"
            )));
        }
        if !is_own && self.data_in.is_some() {
            return Err(Error::Usage(
                "--data-in is for the bench's own server: leave out --addr".into(),
            ));
        }
        Ok(())
    }

    async fn measure(&self, shape: Option<&NamedShape>, output: Output) -> Result<(), Error> {
        let data_in = match &self.addr {
            Some(_) => None,
            None => Some(server::data_in(self.data_in.as_deref(), output)?),
        };
        let Some(shape) = shape else { return self.measure_all(data_in.as_deref(), output).await };
        let session = Session::open(self, data_in.as_deref()).await?;
        let target = ShapeTarget {
            address: &session.address,
            options: &session.options,
            pid: session.server.as_ref().map(OwnServer::pid).or(self.pid),
            connections: self.connections.into(),
            names: Arc::clone(&session.names),
            seconds: self.seconds,
        };
        shape.measure(target, output).await
    }

    async fn measure_all(&self, data_in: Option<&Path>, output: Output) -> Result<(), Error> {
        let possible = open_files::raise();
        if possible < self.watchers {
            let watchers = number::grouped(self.watchers);
            output.note(&format!(
                "warning: so few files may be open that only {possible} of {watchers} connections \
                 are possible: raise ulimit -n"
            ));
        }
        let wanted = |name: &Measurement| self.only.is_empty() || self.only.contains(name);
        let (idle, busy): (Vec<_>, Vec<_>) = Measurement::value_variants()
            .iter()
            .copied()
            .filter(wanted)
            .partition(|name| matches!(name, Measurement::IdleShared | Measurement::IdleOwn));

        let session = match &*busy {
            [] => None,
            _ => Some(Session::open(self, data_in).await?),
        };
        table::print_head(output)?;
        if let Some(session) = session {
            for &name in &busy {
                for row in session.measure(name, &busy).await? {
                    row.print(output)?;
                }
            }
        }
        for name in idle {
            match self.measure_idle(name, data_in).await? {
                Some(row) => row.print(output)?,
                None => output.note(&format!(
                    "{}: skipped, because the server's memory cannot be read: give its --pid",
                    name.as_str()
                )),
            }
        }
        Ok(())
    }

    /// Measures idle streams. Without --addr, each on a new server.
    async fn measure_idle(
        &self,
        name: Measurement,
        data_in: Option<&Path>,
    ) -> Result<Option<TableRow>, Error> {
        let connections = self.watch_connections(name);
        if let (Some(address), Some(pid)) = (&self.addr, self.pid) {
            let address = address.to_string();
            return idle::measure(name, &address, pid, self.watchers, connections).await;
        }
        let Some(data_in) = data_in else { return Ok(None) };
        let server = OwnServer::start(data_in).await?;
        idle::measure(name, server.address(), server.pid(), self.watchers, connections).await
    }

    fn watch_connections(&self, name: Measurement) -> usize {
        let connections = match name {
            Measurement::FanOutOwn | Measurement::IdleOwn => self.watchers,
            _ => SHARED_CONNECTIONS,
        };
        connections as usize
    }
}

impl<'a> Session<'a> {
    async fn open(args: &'a BenchArgs, data_in: Option<&Path>) -> Result<Self, Error> {
        let server = match data_in {
            Some(data_in) => Some(OwnServer::start(data_in).await?),
            None => None,
        };
        let own = server.as_ref().map(|server| server.address().to_owned());
        let given = args.addr.as_ref().map(Addresses::to_string);
        let address = own.or(given).unwrap_or_default();
        let watching = args.watch_addr.as_ref().map(Addresses::to_string);
        let watch_address = watching.unwrap_or_else(|| address.clone());
        let options = args.tls.options(&Connecting::default())?;
        let clients =
            Client::connect_for(&address, &options, args.in_flight.into(), args.connections.into())
                .await?;
        let names = format!("bench-{:08x}-", fastrand::u32(..)).into();
        Ok(Self { args, address, watch_address, options, clients, names, server })
    }

    /// The rows of one measurement. The floor is measured together with `publish` if that is
    /// `wanted` too.
    async fn measure(
        &self,
        name: Measurement,
        wanted: &[Measurement],
    ) -> Result<Vec<TableRow>, Error> {
        Ok(match name {
            Measurement::Floor if wanted.contains(&Measurement::Publish) => Vec::new(),
            Measurement::Floor => vec![floor::measure(self).await?],
            Measurement::Publish => publish::measure(self).await?,
            Measurement::Thousand => vec![publish::measure_thousand(self).await?],
            Measurement::Feed => vec![feed::measure(self).await?],
            Measurement::Mixed => vec![mixed::measure(self).await?],
            Measurement::FanOutShared | Measurement::FanOutOwn => {
                vec![fan_out::measure(self, name, self.args.watch_connections(name)).await?]
            }
            // `measure_idle` measures these, on servers of their own.
            Measurement::IdleShared | Measurement::IdleOwn => Vec::new(),
        })
    }

    fn client(&self) -> Client {
        self.clients[0].clone()
    }

    fn in_flight(&self) -> usize {
        self.args.in_flight.into()
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.args.seconds.unwrap_or(SECONDS_DEFAULT))
    }
}

impl Measurement {
    fn as_str(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Publish => "publish",
            Self::Thousand => "thousand",
            Self::Feed => "feed",
            Self::Mixed => "mixed",
            Self::FanOutShared => "fan_out_shared",
            Self::FanOutOwn => "fan_out_own",
            Self::IdleShared => "idle_shared",
            Self::IdleOwn => "idle_own",
        }
    }
}
