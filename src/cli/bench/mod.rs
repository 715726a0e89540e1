//! `whimbrel bench`: how fast a server is, each figure beside one for calls that do nothing.
//!
//! Measures over real sockets only, and never judges: a figure is not right or wrong.

mod fan_out;
mod feed;
mod floor;
mod idle;
mod load;
mod machine;
mod mixed;
mod publish;
mod server;
mod table;
mod watchers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use self::server::Server;
use self::table::Row;
use super::{Error, Output, number};
use crate::client::{Address, Client};

/// Connections that watchers share.
const SHARED_CONNECTIONS: u64 = 4;
/// Most watchers: the server takes 1,024 streams on a connection.
const WATCHERS_MAX: u64 = SHARED_CONNECTIONS * 1_024;

/// Measure how fast a server is.
///
/// Starts a server of its own with a temporary data folder, unless --addr names one. The floor is
/// a call that does nothing, made with the same settings: the machine's part in every figure. Only
/// ratios to it can be compared between machines, or between two runs.
#[derive(Args, Debug)]
pub(super) struct Bench {
    /// Measure this server instead of an own one. Leaves users named bench-* and their posts there.
    #[arg(long, value_name = "URL")]
    addr: Option<Address>,
    /// The process that serves --addr, for its memory.
    #[arg(long, value_name = "PID", value_parser = number::within(1..=u32::MAX))]
    pid: Option<u32>,
    /// Where the own server has its data: on the disk that matters. A temporary folder in it, which
    /// is removed at the end.
    #[arg(long, value_name = "DIR")]
    data_in: Option<PathBuf>,
    /// Only these measurements.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Name>,
    /// How long each measurement that has no end of its own takes.
    #[arg(long, default_value_t = 3, value_name = "N",
          value_parser = number::within(1..=3600_u64))]
    seconds: u64,
    /// Connections of those who call.
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = number::within(1..=1024_u16))]
    connections: u16,
    /// Calls under way at once, over all connections.
    #[arg(long, default_value_t = 64, value_name = "N",
          value_parser = number::within(1..=4096_u16))]
    in_flight: u16,
    /// Users who watch, in the measurements of fan-out and of idle streams.
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = number::within(SHARED_CONNECTIONS..=WATCHERS_MAX))]
    watchers: u64,
    /// Posts that are published to the watchers at speed.
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = number::within(1..=100_000_u64))]
    posts: u64,
    /// Read the feed of this user, instead of one made for it.
    #[arg(long, value_name = "USER")]
    feed_user: Option<String>,
}

/// What can be measured, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum Name {
    /// Calls that do nothing.
    Floor,
    /// Posts, one a call.
    Publish,
    /// A thousand posts of a thousand users at once.
    Thousand,
    /// A page of the feed of somebody who follows a thousand.
    Feed,
    /// Nine reads to a write, of the calls that an app makes most.
    Mixed,
    /// One author, a thousand watchers on a few connections.
    FanOutShared,
    /// One author, a thousand watchers on a connection each.
    FanOutOwn,
    /// The memory of a stream on a shared connection.
    IdleShared,
    /// The memory of a stream on its own connection.
    IdleOwn,
}

/// A server to measure, and those who call it.
#[derive(Debug)]
struct Session<'a> {
    args: &'a Bench,
    address: String,
    clients: Vec<Client>,
    /// What the names of all users begin with: another in every run.
    names: Arc<str>,
    /// Dropped last, as fields are in order.
    _server: Option<Server>,
}

impl Bench {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        self.check()?;
        // Caught so that the own server is stopped and its data removed.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
        tokio::select! {
            measured = self.measure_all(*output) => measured,
            _ = interrupt.recv() => Err(Error::NotAllDone("interrupted".to_owned())),
            _ = terminate.recv() => Err(Error::NotAllDone("interrupted".to_owned())),
        }
    }

    /// Refuses what does not go together. Not left to clap, for which --addr before the verb is
    /// another.
    fn check(&self) -> Result<(), Error> {
        let is_own = self.addr.is_none();
        if is_own && (self.pid.is_some() || self.feed_user.is_some()) {
            return Err(Error::Usage("--pid and --feed-user are for the server of --addr".into()));
        }
        if !is_own && self.data_in.is_some() {
            return Err(Error::Usage("--data-in is for an own server: leave out --addr".into()));
        }
        Ok(())
    }

    async fn measure_all(&self, output: Output) -> Result<(), Error> {
        let data_in = match &self.addr {
            Some(_) => None,
            None => Some(server::data_in(self.data_in.as_deref(), output)?),
        };
        if !machine::allow_connections(self.watchers) {
            let watchers = number::grouped(self.watchers);
            output.note(&format!(
                "warning: too few files may be open for {watchers} connections: raise ulimit -n"
            ));
        }
        table::print_head(output)?;
        let wanted = |name: &Name| self.only.is_empty() || self.only.contains(name);
        let (idle, busy): (Vec<_>, Vec<_>) = Name::value_variants()
            .iter()
            .copied()
            .filter(wanted)
            .partition(|name| matches!(name, Name::IdleShared | Name::IdleOwn));

        if !busy.is_empty() {
            let session = Session::open(self, data_in.as_deref()).await?;
            for &name in &busy {
                for row in session.measure(name, &busy).await? {
                    row.print(output)?;
                }
            }
        }
        for name in idle {
            match self.measure_idle(name, data_in.as_deref()).await? {
                Some(row) => row.print(output)?,
                None => output.note(&format!(
                    "{}: left out, because the server's memory cannot be seen: give its --pid",
                    name.as_str()
                )),
            }
        }
        Ok(())
    }

    /// Measures idle streams, on a fresh server if it is an own one.
    async fn measure_idle(&self, name: Name, data_in: Option<&Path>) -> Result<Option<Row>, Error> {
        let connections = self.watch_connections(name);
        if let (Some(address), Some(pid)) = (&self.addr, self.pid) {
            let address = address.to_string();
            return idle::measure(name, &address, pid, self.watchers, connections).await;
        }
        let Some(data_in) = data_in else { return Ok(None) };
        let server = Server::start(data_in).await?;
        idle::measure(name, server.address(), server.pid(), self.watchers, connections).await
    }

    fn watch_connections(&self, name: Name) -> usize {
        let connections = match name {
            Name::FanOutOwn | Name::IdleOwn => self.watchers,
            _ => SHARED_CONNECTIONS,
        };
        connections as usize
    }
}

impl<'a> Session<'a> {
    async fn open(args: &'a Bench, data_in: Option<&Path>) -> Result<Self, Error> {
        let server = match data_in {
            Some(data_in) => Some(Server::start(data_in).await?),
            None => None,
        };
        let own = server.as_ref().map(|server| server.address().to_owned());
        let given = args.addr.as_ref().map(Address::to_string);
        let address = own.or(given).unwrap_or_default();
        let clients =
            Client::connect_for(&address, args.in_flight.into(), args.connections.into()).await?;
        let names = format!("bench-{:08x}-", fastrand::u32(..)).into();
        Ok(Self { args, address, clients, names, _server: server })
    }

    /// The rows of one measurement. The floor is measured with what stands on it, if that is
    /// `wanted` too.
    async fn measure(&self, name: Name, wanted: &[Name]) -> Result<Vec<Row>, Error> {
        Ok(match name {
            Name::Floor if wanted.contains(&Name::Publish) => Vec::new(),
            Name::Floor => vec![floor::measure(self).await?],
            Name::Publish => publish::measure(self).await?,
            Name::Thousand => vec![publish::measure_thousand(self).await?],
            Name::Feed => vec![feed::measure(self).await?],
            Name::Mixed => vec![mixed::measure(self).await?],
            Name::FanOutShared | Name::FanOutOwn => {
                vec![fan_out::measure(self, name, self.args.watch_connections(name)).await?]
            }
            // Measured apart, on servers of their own.
            Name::IdleShared | Name::IdleOwn => Vec::new(),
        })
    }

    /// One of those who call.
    fn client(&self) -> Client {
        self.clients[0].clone()
    }

    fn in_flight(&self) -> usize {
        self.args.in_flight.into()
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.args.seconds)
    }
}

impl Name {
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
