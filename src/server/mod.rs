//! The server: wires the layers, listens, and stops in order.
//!
//! Nothing here knows what the calls mean.

mod connection;
mod connections;
mod drain;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod listener;
mod other_protocol;
mod resolve;
mod socket;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use connection::Services;
use connections::Connections;
use listener::Listener;
pub use resolve::resolve;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::service::Routes;

use crate::api::{self, Admission, Health, StallWatch};
use crate::config::{self, Config};
use crate::engine::{self, Engine};
use crate::model::Revision;
use crate::runtime::{Clock, Failure, Vital, Workers};
use crate::storage::{self, Index, LocalLog, Log, OpenedIndex, Options, Probe};

/// How long callers have to hear that the server failed.
const FAILURE_DRAIN_TIME_MAX: Duration = Duration::from_secs(1);
/// How soon health says that some reads cannot be answered, or can again: load balancers ask about
/// as often.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Why a server does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The data cannot be opened.
    #[error(transparent)]
    Log(#[from] storage::Error),
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] engine::OpenError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; is another server there? choose another --listen"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the machine said.
        source: std::io::Error,
    },
    /// The name to listen on has no address.
    #[error(
        "cannot listen on {name}: its addresses cannot be found: {source}; choose another \
         --listen, such as 127.0.0.1:50051"
    )]
    Resolve {
        /// The name.
        name: String,
        /// What the machine said.
        source: std::io::Error,
    },
    /// The descriptors built into this program are damaged.
    #[error(transparent)]
    Reflection(#[from] api::ReflectionError),
    /// The machine gave no thread to serve on.
    #[error("cannot start the threads that serve: {0}")]
    Workers(std::io::Error),
    /// A part that the server cannot live without failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    engine: Engine,
    vital: Vital,
    routes: Routes,
    health: Health,
    stall_watch: StallWatch,
    config: Config,
}

impl Server {
    /// Binds the address, opens the data, and replays it. Calls are taken from then on, and answered
    /// once [`Server::run`] is called. It may be dropped meanwhile: then no more is done, as if the
    /// process had ended.
    ///
    /// # Errors
    /// See [`Error`]. The configuration is checked, and the address bound, before the data are
    /// touched.
    pub async fn open(config: Config) -> Result<Self, Error> {
        Self::open_probing(config, None).await
    }

    /// As [`Server::open`]. An index over which a process has died is first looked into by `probe`.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub async fn open_probing(config: Config, probe: Option<Probe>) -> Result<Self, Error> {
        config.check()?;
        let listener = bind(&config)?;
        let (data_dir, limits) = (config.data_dir.clone(), config.limits.clone());
        let open = move || -> Result<(Arc<dyn Log>, OpenedIndex), Error> {
            let disk_free_bytes_min = limits.disk_free_bytes_min;
            let options = Options { cache_bytes: limits.log_cache_bytes, disk_free_bytes_min };
            let log = LocalLog::open(&data_dir, options)?;
            let options = Options { cache_bytes: limits.index_cache_bytes, disk_free_bytes_min };
            let kept = limits.request_id_kept;
            let index = Index::open_probing(&data_dir, &log, options, kept, probe)?;
            Ok((Arc::new(log), index))
        };
        let (log, index) = apart("whimbrel-open", open).await?;
        Self::on(listener, config, log, Some(index), Clock::system()).await
    }

    /// As [`Server::open`], on a log and a clock of the caller's, and without an index.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn on_log(config: Config, log: Arc<dyn Log>, clock: Clock) -> Result<Self, Error> {
        config.check()?;
        Self::on(bind(&config)?, config, log, None, clock).await
    }

    /// As [`Server::on_log`], with an index of that log.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn on_indexed_log(
        config: Config,
        log: Arc<dyn Log>,
        index: OpenedIndex,
        clock: Clock,
    ) -> Result<Self, Error> {
        config.check()?;
        Self::on(bind(&config)?, config, log, Some(index), clock).await
    }

    async fn on(
        listener: Listener,
        config: Config,
        log: Arc<dyn Log>,
        index: Option<OpenedIndex>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let vital = Vital::new();
        let started = std::time::Instant::now();
        let head = log.head();
        let indexed = index.as_ref().map_or(Revision::ZERO, |index| index.contents.complete_until);
        let (limits, of_engine) = (config.limits.clone(), vital.clone());
        let open = move || match index {
            Some(index) => Engine::open_indexed(log, index, &limits, clock, &of_engine),
            None => Engine::open(log, &limits, clock, &of_engine),
        };
        let engine = apart("whimbrel-replay", open).await?;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(%head, %indexed, seconds, "log replayed");

        let stall_watch = StallWatch::new(config.limits.stall_max);
        let (routes, health) = api::routes(api::Parts {
            engine: engine.clone(),
            limits: config.limits.clone(),
            stall_watch: stall_watch.clone(),
            reflection: config.reflection,
        })?;
        Ok(Self { listener, engine, vital, routes, health, stall_watch, config })
    }

    /// Where it listens; the first address, if there are several.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.addresses()[0]
    }

    /// Everywhere that it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listener.addresses()
    }

    /// Serves until `shutdown` ends, then stops in order: health says so, new calls are refused,
    /// streams are ended with their cursors, calls under way are answered, connections are closed,
    /// and the log is closed last.
    ///
    /// # Errors
    /// A vital part failed; then only callers under way are still told. Or there are no threads to
    /// serve on.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { mut listener, engine, vital, routes, mut health, stall_watch, config } = self;
        let limits = &config.limits;
        let admission = Admission::new(limits);
        let workers = Workers::start(limits.workers, &vital).map_err(Error::Workers)?;
        for (lane, porter) in (1..).zip(engine.porters()) {
            workers.spawn_on(lane, move || porter.run()).await;
        }
        let connections = Connections::new(limits, workers.count());
        let services = Arc::new(Services::new(routes, &admission, limits));
        health.serving().await;

        let failure = {
            let accepting = async {
                loop {
                    let (socket, place) = listener.accept(&connections).await;
                    let (lane, services) = (place.lane, Arc::clone(&services));
                    let serve = move || connection::serve(socket, place, services);
                    // Others are still served: nobody waits for a worker that is behind.
                    if !workers.try_spawn_on(lane, serve) {
                        tracing::debug!(lane, "a connection was closed: its worker is behind");
                    }
                }
            };
            let stopping = async {
                tokio::select! {
                    never = tell_health(&health, &engine) => match never {},
                    () = shutdown => {}
                }
                health.not_serving().await;
                if !limits.drain_notice.is_zero() {
                    sleep(limits.drain_notice).await;
                }
            };
            tokio::select! {
                () = accepting => None,
                () = stall_watch.run() => None,
                () = stopping => None,
                failure = vital.failed() => Some(failure),
            }
        };

        drop(listener);
        admission.drain();
        health.end_watches().await;
        let drain_time_max =
            if failure.is_some() { FAILURE_DRAIN_TIME_MAX } else { limits.drain_time_max };
        drain::drain(&connections, drain_time_max).await;
        workers.stop().await;
        // The log may not be touched after a failure, so its threads are then left as they are.
        if failure.is_none() {
            engine.stop().await;
        }
        // One may also have failed over its last work.
        match failure.or_else(|| vital.failure()) {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }
}

fn bind(config: &Config) -> Result<Listener, Error> {
    let bound = Listener::bind(&config.listen);
    bound.map_err(|(address, source)| Error::Listen { address, source })
}

/// Says now and then whether all that may be asked for can be answered.
async fn tell_health(health: &Health, engine: &Engine) -> Infallible {
    let mut has_all = true;
    loop {
        sleep(HEALTH_INTERVAL).await;
        if has_all != engine.has_all() {
            has_all = !has_all;
            if has_all { health.serving().await } else { health.not_serving().await }
        }
    }
}

/// Does what takes long on a thread of its own, which a caller may leave behind.
async fn apart<T, E>(
    part: &str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Error>
where
    T: Send + 'static,
    Error: From<E>,
    E: Send + 'static,
{
    let (sender, done) = oneshot::channel();
    let thread = std::thread::Builder::new().name(part.to_owned());
    // Whoever left it behind has no use for it.
    thread.spawn(move || drop(sender.send(work()))).map_err(Error::Workers)?;
    match done.await {
        Ok(done) => Ok(done?),
        Err(_) => {
            let reason = "it panicked".to_owned();
            Err(Failure { part: part.to_owned(), reason }.into())
        }
    }
}
