//! The server: connects the layers, listens, and stops in order. Never knows what a call means.

mod admin;
mod collector;
mod connection;
mod connection_metrics;
mod connections;
mod drain;
mod entrance;
mod error;
mod first_bytes;
mod frame_budget;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshakes;
mod intake;
mod listener;
mod metrics;
mod nodes;
mod opened_data;
mod other_protocol;
#[cfg(feature = "conformance")]
mod other_services;
mod pacing;
mod proxy_protocol;
mod readiness;
mod reload;
mod resolve;
mod seeding;
mod self_signed;
mod shared_keys;
mod socket;
mod spans;
mod tls;
mod traces;
mod transport;
mod unread;
mod validity;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use admin::NotReady;
pub use collector::TraceError;
use connection::Services;
use connections::Connections;
use entrance::Entrance;
pub use error::Error;
use intake::Intake;
use metrics::Started;
use nodes::OwnPlace;
use opened_data::OpenedData;
use readiness::Readiness;
pub use reload::Reloader;
pub use resolve::resolve;
pub use self_signed::Authority;
pub use tls::TlsError;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::service::Routes;
use traces::Traces;
pub use validity::{TimeProblem, Validity};

use crate::api::{self, Accounts, Admission, Authentication, CallLog, Health, Quotas, Schema, Web};
use crate::auth::Auth;
use crate::config::Config;
use crate::engine::Engine;
use crate::runtime::metrics::Scrape;
use crate::runtime::{Clock, CriticalThreads, ThreadFailure, Workers};
use crate::storage::{Log, OpenedIndex, Probe, StoreOptions};

/// Drain time after a failure, in which callers receive their last answers.
const FAILURE_DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    entrance: Entrance,
    engine: Engine,
    critical: CriticalThreads,
    authentication: Authentication,
    routes: Routes,
    schema: &'static Schema,
    health: Health,
    accounts: Accounts,
    config: Config,
    reloader: Reloader,
    call_log: CallLog,
    traces: Option<Traces>,
    clock: Clock,
    place: Option<OwnPlace>,
}

impl Server {
    /// Binds the address, opens the data, and replays the log. Clients can connect from then on;
    /// they are answered once [`Server::run`] is called. Dropping the future cancels the start, as
    /// if the process had ended.
    ///
    /// # Errors
    /// See [`Error`]. The configuration is checked, the address is bound and TLS is loaded before
    /// the data are opened.
    pub async fn open(config: Config) -> Result<Self, Error> {
        Self::open_with_probe(config, None).await
    }

    /// As [`Server::open`]. If an earlier process died while it used the index, `probe` checks the
    /// index first.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub async fn open_with_probe(config: Config, probe: Option<Probe>) -> Result<Self, Error> {
        config.check()?;
        let entrance = Entrance::open(&config)?;
        let (data_dir, limits) = (config.data_dir.clone(), config.limits.clone());
        let store = config.store.clone().map(StoreOptions::try_from).transpose()?;
        let listen = entrance.listener.addresses()[0];
        let store = store.map(|store| (store, nodes::seeding(&config, listen)));
        let open = move || OpenedData::open(&data_dir, &limits, store, probe);
        let opened = on_own_thread("whimbrel-open", open).await?;
        Self::start(entrance, config, opened, Clock::system()).await
    }

    /// As [`Server::open`], with the caller's log and clock and without an index.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn with_log(config: Config, log: Arc<dyn Log>, clock: Clock) -> Result<Self, Error> {
        config.check()?;
        let opened = OpenedData { log, index: None, reserves: Vec::new(), shared: None };
        Self::start(Entrance::open(&config)?, config, opened, clock).await
    }

    /// As [`Server::with_log`], with an index of that log.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn with_indexed_log(
        config: Config,
        log: Arc<dyn Log>,
        index: OpenedIndex,
        clock: Clock,
    ) -> Result<Self, Error> {
        config.check()?;
        let reserves = index.disk_reserve().into_iter().collect();
        let opened = OpenedData { log, index: Some(index), reserves, shared: None };
        Self::start(Entrance::open(&config)?, config, opened, clock).await
    }

    async fn start(
        entrance: Entrance,
        config: Config,
        opened: OpenedData,
        clock: Clock,
    ) -> Result<Self, Error> {
        let OpenedData { log, index, reserves, shared } = opened;
        let (critical, metrics) = (entrance.critical.clone(), entrance.metrics.clone());
        let (limits, of_engine) = (config.limits.clone(), critical.clone());
        let clock_of_engine = clock.clone();
        let open = move || match index {
            Some(index) => Engine::open_indexed(log, index, &limits, clock_of_engine, &of_engine),
            None => Engine::open(log, &limits, clock_of_engine, &of_engine),
        };
        let engine = on_own_thread("whimbrel-replay", open).await?;
        let auth = match &config.authentication {
            Some(options) => {
                Some(Auth::open(options.clone(), &config.data_dir, clock.clone(), &critical)?)
            }
            None => None,
        };
        let traces = config.tracing.as_ref().map(|settings| {
            Traces::start(settings, config.limits.worker_threads, clock.clone(), &critical)
        });
        let (traces, tracer) = traces.transpose()?.unzip();
        let call_log = CallLog::new(metrics.api().clone(), &config.call_log, tracer.clone());
        let reloader = Reloader::new(engine.limits().clone(), call_log.clone(), reserves);
        let quotas = Quotas::new(engine.limits().clone(), clock.clone(), metrics.api().clone());
        let listen = entrance.listener.addresses()[0];
        let place = shared.map(|shared| OwnPlace::new(&config, listen, shared)).transpose()?;
        let (routes, health) = api::routes(api::ServiceParts {
            engine: engine.clone(),
            auth: auth.clone(),
            quotas: quotas.clone(),
            limits: config.limits.clone(),
            reflection: config.reflection,
            metrics: metrics.api().clone(),
            scraper: metrics.scraper(),
            nodes: place.as_ref().map(|place| place.nodes(&config, metrics.api().clone())),
        })?;
        let accounts = Accounts::new(&config.limits, metrics.api().clone());
        metrics.started(Started {
            engine: engine.clone(),
            auth: auth.clone(),
            accounts: accounts.clone(),
            tracer,
            cluster: place.as_ref().map(|place| place.cluster().clone()),
        });
        let authentication =
            Authentication::new(auth, quotas, &config.limits, metrics.api().clone())
                .with_node_key(place.as_ref().map(OwnPlace::key));
        Ok(Self {
            entrance,
            engine,
            critical,
            authentication,
            routes,
            schema: Schema::own(),
            health,
            accounts,
            config,
            reloader,
            call_log,
            traces,
            clock,
            place,
        })
    }

    /// The first address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.entrance.listener.addresses()[0]
    }

    /// All addresses it listens on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.entrance.listener.addresses()
    }

    /// The first address of the admin listener; `None` without one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.entrance.admin.address()
    }

    /// Whether it serves the console.
    #[must_use]
    pub fn has_console(&self) -> bool {
        self.config.serves_console()
    }

    /// All metrics, as they are now.
    #[must_use]
    pub fn scrape(&self) -> Scrape {
        self.entrance.metrics.scrape()
    }

    /// Sets limits again while the server runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// The authority that clients must trust, if the certificate is self-signed.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        self.entrance.authority.as_ref()
    }

    /// Serves until `shutdown` completes, then stops in order: health reports NOT_SERVING, new
    /// calls are refused, streams end with their cursors, running calls are answered, connections
    /// are closed, and the log is closed last.
    ///
    /// # Errors
    /// A vital part failed, in which case only running calls are still answered; or no thread could
    /// be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self {
            entrance, engine, critical, health, accounts, config, clock, traces, place, ..
        } = self;
        let (limits, metrics) = (&config.limits, entrance.metrics.clone());
        let mut health = Readiness::new(health, entrance.admin.clone());
        let admission = Admission::new(
            self.authentication,
            limits,
            Web::new(&config, self.schema),
            self.call_log,
        );
        let workers = Workers::start_with_pulse(limits.worker_threads, &critical, metrics.pulse())
            .map_err(Error::Workers)?;
        for (worker, mailbox) in (1..).zip(engine.mailboxes()) {
            workers.spawn_on(worker, move || mailbox.run()).await;
        }
        let in_force = engine.limits().clone();
        let connections = Connections::new(
            in_force,
            &config.transport,
            workers.count(),
            accounts.clone(),
            metrics.connections().clone(),
        );
        let of_services = metrics.connections().clone();
        let services = Arc::new(Services::new(self.routes, &admission, &config, of_services));
        let begun = entrance.begin(&config, clock, &critical);
        let (mut listener, handshakes) = begun.map_err(Error::Workers)?;
        let membership = place.map(|place| place.join(engine.clone(), &critical)).transpose()?;
        health.set(None).await;

        let failure = {
            let intake = Intake {
                listener: &mut listener,
                connections: &connections,
                handshakes,
                workers: &workers,
                services: &services,
            };
            tokio::select! {
                never = intake.run() => match never {},
                never = accounts.watch() => match never {},
                () = is_to_stop(&mut health, &engine, shutdown) => None,
                failure = critical.failed() => Some(failure),
            }
        };

        drop(listener);
        drop(membership);
        admission.drain();
        engine.stop_waiting();
        health.end().await;
        let drain_time_max =
            if failure.is_some() { FAILURE_DRAIN_TIME_MAX } else { limits.drain_time_max };
        drain::drain(&connections, drain_time_max).await;
        workers.stop().await;
        if let Some(traces) = traces {
            traces.stop().await;
        }
        // After a failure the log must not be used, so its threads are not stopped in order.
        if failure.is_none() {
            engine.stop().await;
        }
        // A vital part may have failed while it stopped.
        match failure.or_else(|| critical.failure()) {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }
}

/// Keeps `health` true until `shutdown` completes; then says that the server stops, and waits until those
/// who look at it now and then have seen that.
async fn is_to_stop(health: &mut Readiness, engine: &Engine, shutdown: impl Future<Output = ()>) {
    tokio::select! {
        never = health.follow(engine) => match never {},
        () = shutdown => {}
    }
    health.set(Some(NotReady::Stopping)).await;
    let drain_notice = engine.limits().now().drain_notice;
    if !drain_notice.is_zero() {
        sleep(drain_notice).await;
    }
}

/// Runs long work on a thread of its own. If the caller drops the future, the thread runs on.
async fn on_own_thread<T, E>(
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
    // If the receiver is dropped, nobody needs the result.
    thread.spawn(move || drop(sender.send(work()))).map_err(Error::Workers)?;
    match done.await {
        Ok(done) => Ok(done?),
        Err(_) => {
            let reason = "it panicked".to_owned();
            Err(ThreadFailure { part: part.to_owned(), reason }.into())
        }
    }
}
