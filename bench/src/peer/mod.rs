//! The interface between the measurements and the systems: a [`System`] is started with its data,
//! called and watched. Each system has a file. Its protocol never leaves this folder.

mod axum;
mod floor;
mod http;
mod nats;
mod nats_wire;
mod postgres;
mod protection;
mod redis;
mod redis_page;
mod seed;
mod whimbrel;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use clap::ValueEnum;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::sleep;

pub(crate) use self::floor::{Floor, FloorCalls};
pub(crate) use self::protection::Protection;
use self::redis::Form;
pub(crate) use self::whimbrel::{CALLER, Whimbrel};
use crate::data::Data;
use crate::error::Error;
use crate::load::Callers;
use crate::machine;
use crate::server::Server;
use crate::watchers::Watcher;

/// Longest time from the start of a process until it serves, with any data.
const START_TIME_MAX: Duration = Duration::from_secs(180);
/// Time between two attempts to call it.
const TRY_INTERVAL: Duration = Duration::from_millis(2);

/// Items of a page of a feed.
const FEED_ITEMS: usize = 50;

/// Reads one connection or stream until it ends, writing to the watchers' sinks.
pub(crate) type Reader = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The systems.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Whimbrel.
    Whimbrel,
    /// NATS core, which stores no messages.
    Nats,
    /// NATS JetStream with a file store and its defaults.
    Jetstream,
    /// NATS JetStream that flushes each message to the disk.
    JetstreamSync,
    /// Redis with its defaults: occasional snapshots.
    Redis,
    /// Redis that flushes each change to the disk.
    RedisSync,
    /// Redis whose pages are put together when they are read. Differs from Redis only in that.
    RedisHydrated,
    /// PostgreSQL with its defaults: flushes each commit. Feeds are joined when they are read.
    Postgres,
    /// PostgreSQL with its defaults, with each user's feed in a table that a publish writes.
    PostgresTimeline,
    /// A service with all data in maps in memory.
    Axum,
}

/// The paths of the programs, and the folder for their data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    pub(crate) whimbrel: PathBuf,
    pub(crate) nats_server: PathBuf,
    pub(crate) redis_server: PathBuf,
    /// The folder of `postgres` and `initdb`.
    pub(crate) postgres: PathBuf,
    pub(crate) data_in: PathBuf,
}

/// One connection to a system, or a client that shares one.
#[async_trait]
pub(crate) trait Caller: Send + Sync {
    /// Publishes a post, as durably as the system is configured. Gives the key that a watcher gets.
    async fn publish(&self, author: u32, post: u64) -> Result<u64, Error>;

    /// Publishes a post to watchers.
    async fn publish_live(&self, author: u32, post: u64) -> Result<u64, Error> {
        self.publish(author, post).await
    }

    /// Reads the newest 50 items of a user's feed with their texts. Gives their number.
    async fn feed(&self, _user: u32) -> Result<usize, Error> {
        Err(Error::NotOffered("it has no feeds to read"))
    }

    /// Bytes of the answer to [`Caller::feed`].
    async fn feed_bytes(&self, _user: u32) -> Result<usize, Error> {
        Err(Error::NotOffered("the size of its answers is not measured"))
    }

    /// Makes the cheapest call of the server.
    async fn floor(&self) -> Result<(), Error>;

    /// Makes the cheapest call that is made for somebody: whether `user` follows `other`.
    async fn look_up(&self, _user: u32, _other: u32) -> Result<(), Error> {
        Err(Error::NotOffered("its look-ups are not measured"))
    }
}

/// A running system.
#[async_trait]
pub(crate) trait System: Send + Sync + std::fmt::Debug {
    /// The process.
    fn server(&self) -> &Server;

    /// Calls the system once. Fails if it does not serve its data yet.
    async fn answers(&self) -> Result<(), Error>;

    /// Enough clients for `in_flight` calls at once, as the system's documentation recommends.
    async fn callers(&self, in_flight: usize) -> Result<Callers, Error>;

    /// Opens one connection with a stream for each of `watchers`. Every post that is published
    /// after it returns reaches their sinks while the readers run.
    async fn watch(&self, watchers: Vec<Watcher>) -> Result<Vec<Reader>, Error>;

    /// Bytes of the follows as the system itself counts them; `None` if it does not.
    async fn follows_bytes(&self) -> Result<Option<f64>, Error> {
        Ok(None)
    }

    /// The folder of the stored data, without files that only a recovery needs.
    fn tables(&self) -> PathBuf {
        self.server().dir()
    }

    /// The signal for an orderly stop.
    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }

    /// Writes the data to the disk, if the system does so only on request.
    async fn save(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Kind {
    /// The name in the report.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Whimbrel => "Whimbrel",
            Self::Nats => "NATS core",
            Self::Jetstream => "NATS JetStream",
            Self::JetstreamSync => "NATS JetStream, sync always",
            Self::Redis => "Redis",
            Self::RedisSync => "Redis, AOF sync always",
            Self::RedisHydrated => "Redis, hydrated by pipeline",
            Self::Postgres => "PostgreSQL",
            Self::PostgresTimeline => "PostgreSQL, stored timelines",
            Self::Axum => "axum + DashMap",
        }
    }

    /// The durability of an answered publish.
    pub(crate) fn durability(self) -> &'static str {
        match self {
            Self::Whimbrel => "on disk, flushed",
            Self::Nats => "forwarded; never stored",
            Self::Jetstream => "in the page cache; flushed every 2 minutes",
            Self::JetstreamSync => "on disk, flushed",
            Self::Redis | Self::RedisHydrated => "in memory; a snapshot every 1 to 60 minutes",
            Self::RedisSync => "on disk, flushed",
            Self::Postgres | Self::PostgresTimeline => "on disk, flushed",
            Self::Axum => "in memory; never stored",
        }
    }

    /// Whether the system has its data after its process was killed.
    pub(crate) fn keeps(self) -> bool {
        !matches!(self, Self::Nats | Self::Axum)
    }

    /// Most watchers on connections of their own; `None` without a limit of the system.
    pub(crate) fn watchers_max(self) -> Option<u32> {
        match self {
            Self::Postgres | Self::PostgresTimeline => Some(postgres::WATCHERS_MAX),
            _ => None,
        }
    }

    /// Starts a new process with `data`, and waits until it serves.
    pub(crate) async fn start(
        self,
        programs: &Programs,
        data: &Data,
    ) -> Result<Arc<dyn System>, Error> {
        let started: Result<Arc<dyn System>, Error> = match self {
            Self::Whimbrel => Whimbrel::start(programs, data).await.map(|it| Arc::new(it) as _),
            Self::Nats => nats::Nats::start(programs, nats::Store::None, data).await.map(to_dyn),
            Self::Jetstream => {
                nats::Nats::start(programs, nats::Store::File, data).await.map(to_dyn)
            }
            Self::JetstreamSync => {
                nats::Nats::start(programs, nats::Store::Synced, data).await.map(to_dyn)
            }
            Self::Redis => redis::Redis::start(programs, Form::Plain, data).await.map(to_dyn),
            Self::RedisSync => redis::Redis::start(programs, Form::Synced, data).await.map(to_dyn),
            Self::RedisHydrated => {
                redis::Redis::start(programs, Form::Hydrated, data).await.map(to_dyn)
            }
            Self::Postgres => {
                postgres::Postgres::start(programs, &postgres::JOINED, data).await.map(to_dyn)
            }
            Self::PostgresTimeline => {
                postgres::Postgres::start(programs, &postgres::STORED, data).await.map(to_dyn)
            }
            Self::Axum => axum::Axum::start(programs, data).await.map(to_dyn),
        };
        started.map_err(|error| error.while_doing("starting"))
    }

    /// The version of the program.
    pub(crate) fn version(self, programs: &Programs) -> Result<String, Error> {
        match self {
            Self::Whimbrel => output_of(&programs.whimbrel, &["--version"], "build it first"),
            Self::Nats | Self::Jetstream | Self::JetstreamSync => {
                output_of(&programs.nats_server, &["--version"], nats::HOW_TO_INSTALL)
            }
            Self::Redis | Self::RedisSync | Self::RedisHydrated => {
                output_of(&programs.redis_server, &["--version"], redis::HOW_TO_INSTALL)
            }
            Self::Postgres | Self::PostgresTimeline => {
                let server = programs.postgres.join("postgres");
                output_of(&server, &["--version"], postgres::HOW_TO_INSTALL)
            }
            Self::Axum => Ok("axum 0.8 and dashmap 6, in this package".to_owned()),
        }
    }
}

fn to_dyn(system: impl System + 'static) -> Arc<dyn System> {
    Arc::new(system)
}

/// Starts the process of `system`. Gives the time until it served.
pub(crate) async fn serve(system: &dyn System) -> Result<Duration, Error> {
    let started = Instant::now();
    system.server().start()?;
    loop {
        match system.answers().await {
            Ok(()) => return Ok(started.elapsed()),
            Err(error) if started.elapsed() > START_TIME_MAX => return Err(error),
            Err(error) if system.server().has_ended() => {
                return Err(error.while_doing("it ended before it served"));
            }
            Err(_) => sleep(TRY_INTERVAL).await,
        }
    }
}

/// Waits until the system has no background work, stops it in order, and starts it again.
pub(crate) async fn restart_in_order(system: &dyn System) -> Result<Duration, Error> {
    machine::settled(system.server().pid()).await;
    system.server().stop(system.stop_signal()).await?;
    serve(system).await
}

/// Kills the process, and starts it again.
pub(crate) async fn restart_killed(system: &dyn System) -> Result<Duration, Error> {
    system.server().kill();
    serve(system).await
}

/// A new data folder, which is removed when it is dropped.
fn data_folder(programs: &Programs) -> Result<TempDir, Error> {
    Ok(tempfile::Builder::new().prefix("whimbrel-bench-").tempdir_in(&programs.data_in)?)
}

/// A program of this package, from the folder of this program.
fn sibling_program(name: &str) -> Result<PathBuf, Error> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

fn output_of(program: &Path, args: &[&str], how_to_install: &str) -> Result<String, Error> {
    let missing = |_| Error::NotInstalled(format!("{}: {how_to_install}", program.display()));
    let output = Command::new(program).args(args).output().map_err(missing)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    // The rest of the line is about the build.
    Ok(line.split(" sha=").next().unwrap_or_default().to_owned())
}
