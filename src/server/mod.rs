//! The server: connects the layers, listens, and stops in order. Never knows what a call means.

mod connection;
mod connections;
mod drain;
mod frame_budget;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshakes;
mod intake;
mod listener;
mod other_protocol;
mod pacing;
mod proxy_protocol;
mod reload;
mod resolve;
mod self_signed;
mod socket;
mod tls;
mod transport;
mod validity;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use connection::Services;
use connections::Connections;
use handshakes::Handshakes;
use intake::Intake;
use listener::Listener;
pub use reload::Reloader;
pub use resolve::resolve;
pub use self_signed::Authority;
use self_signed::SelfSigned;
use tls::Tls;
pub use tls::TlsError;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::service::Routes;
pub use validity::{TimeProblem, Validity};

use crate::api::{self, Accounts, Admission, Authentication, Health, Quotas};
use crate::auth::{self, Auth};
use crate::config::{self, Config, ServerCertificate};
use crate::engine::{self, Engine};
use crate::runtime::{Clock, CriticalThreads, ThreadFailure, Workers};
use crate::storage::{
    self, DiskReserve, Index, IndexOptions, LocalLog, Log, LogOptions, OpenedIndex, Probe,
};

/// Drain time after a failure, in which callers receive their last answers.
const FAILURE_DRAIN_TIME_MAX: Duration = Duration::from_secs(1);
/// How often health is brought up to date with the index: load balancers ask about as often.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// How to renew a certificate of an authority.
const RENEWAL: &str = "put a new one in its place, which new connections use at once";
/// How to renew a self-signed one.
const SELF_SIGNED_RENEWAL: &str = "stop the server and remove the folder `tls` of the data; the \
                                   next start makes another one, whose ca.pem clients need";

/// Why a server does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is invalid.
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
        /// The error of the operating system.
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
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The keys of callers cannot be used.
    #[error("cannot authenticate callers: {0}")]
    Authentication(#[from] auth::OpenError),
    /// TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The descriptors built into this program are damaged.
    #[error(transparent)]
    Reflection(#[from] api::ReflectionError),
    /// The operating system started no thread.
    #[error("cannot start the threads that serve: {0}")]
    Workers(std::io::Error),
    /// A vital part failed.
    #[error(transparent)]
    Failed(#[from] ThreadFailure),
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    entrance: Entrance,
    engine: Engine,
    critical: CriticalThreads,
    authentication: Authentication,
    routes: Routes,
    health: Health,
    config: Config,
    reloader: Reloader,
    clock: Clock,
}

/// The data of a server.
#[derive(Debug)]
struct OpenedData {
    log: Arc<dyn Log>,
    index: Option<OpenedIndex>,
    /// What the two leave free on the disk.
    reserves: Vec<DiskReserve>,
}

/// Where clients come in.
#[derive(Debug)]
struct Entrance {
    listener: Listener,
    tls: Option<Tls>,
    /// Of a self-signed certificate.
    authority: Option<Authority>,
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
        let open = move || -> Result<OpenedData, Error> {
            let disk_free_bytes_min = limits.disk_free_bytes_min;
            let options =
                LogOptions { disk_free_bytes_min, segment_bytes_max: limits.log_segment_bytes_max };
            let log = LocalLog::open(&data_dir, options)?;
            let options =
                IndexOptions { cache_bytes: limits.index_cache_bytes, disk_free_bytes_min };
            let kept = limits.request_id_retention;
            let index = Index::open_with_probe(&data_dir, &log, options, kept, probe)?;
            let reserves = [Some(log.disk_reserve()), index.disk_reserve()];
            let reserves = reserves.into_iter().flatten().collect();
            Ok(OpenedData { log: Arc::new(log), index: Some(index), reserves })
        };
        let opened = on_own_thread("whimbrel-open", open).await?;
        Self::start(entrance, config, opened, Clock::system()).await
    }

    /// As [`Server::open`], with the caller's log and clock and without an index.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn with_log(config: Config, log: Arc<dyn Log>, clock: Clock) -> Result<Self, Error> {
        config.check()?;
        let opened = OpenedData { log, index: None, reserves: Vec::new() };
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
        let opened = OpenedData { log, index: Some(index), reserves };
        Self::start(Entrance::open(&config)?, config, opened, clock).await
    }

    async fn start(
        entrance: Entrance,
        config: Config,
        opened: OpenedData,
        clock: Clock,
    ) -> Result<Self, Error> {
        let OpenedData { log, index, reserves } = opened;
        let critical = CriticalThreads::new();
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
        let reloader = Reloader::new(engine.limits().clone(), reserves);
        let quotas = Quotas::new(engine.limits().clone(), clock.clone());
        let (routes, health) = api::routes(api::ServiceParts {
            engine: engine.clone(),
            auth: auth.clone(),
            quotas: quotas.clone(),
            limits: config.limits.clone(),
            reflection: config.reflection,
        })?;
        let authentication = Authentication::new(auth, quotas, &config.limits);
        Ok(Self {
            entrance,
            engine,
            critical,
            authentication,
            routes,
            health,
            config,
            reloader,
            clock,
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
        let Self { entrance, engine, critical, mut health, config, clock, .. } = self;
        let limits = &config.limits;
        let admission = Admission::new(self.authentication, limits);
        let workers = Workers::start(limits.worker_threads, &critical).map_err(Error::Workers)?;
        for (worker, mailbox) in (1..).zip(engine.mailboxes()) {
            workers.spawn_on(worker, move || mailbox.run()).await;
        }
        let accounts = Accounts::new(limits);
        let in_force = engine.limits().clone();
        let connections =
            Connections::new(in_force, &config.transport, workers.count(), accounts.clone());
        let services = Services::new(self.routes, &admission, &config);
        let services = Arc::new(services);
        let (mut listener, handshakes) =
            entrance.begin(&config, clock, &critical).map_err(Error::Workers)?;
        health.serving().await;

        let failure = {
            let intake = Intake {
                listener: &mut listener,
                connections: &connections,
                handshakes,
                workers: &workers,
                services: &services,
            };
            let stopping = async {
                tokio::select! {
                    never = report_health(&health, &engine) => match never {},
                    () = shutdown => {}
                }
                health.not_serving().await;
                let drain_notice = engine.limits().now().drain_notice;
                if !drain_notice.is_zero() {
                    sleep(drain_notice).await;
                }
            };
            tokio::select! {
                never = intake.run() => match never {},
                never = accounts.watch() => match never {},
                () = stopping => None,
                failure = critical.failed() => Some(failure),
            }
        };

        drop(listener);
        admission.drain();
        health.end_watches().await;
        let drain_time_max =
            if failure.is_some() { FAILURE_DRAIN_TIME_MAX } else { limits.drain_time_max };
        drain::drain(&connections, drain_time_max).await;
        workers.stop().await;
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

impl Entrance {
    /// Binds the addresses, and loads TLS.
    fn open(config: &Config) -> Result<Self, Error> {
        let bound = Listener::bind(&config.listen);
        let listener = bound.map_err(|(address, source)| Error::Listen { address, source })?;
        let Some(tls) = &config.transport.tls else {
            return Ok(Self { listener, tls: None, authority: None });
        };
        let clients = tls.clients.as_ref();
        let (tls, authority) = match &tls.certificate {
            ServerCertificate::Files { certificate, key } => {
                (Tls::load(certificate, key, RENEWAL, clients)?, None)
            }
            ServerCertificate::SelfSigned => {
                let made = SelfSigned::in_folder(&config.data_dir)?;

                let tls = Tls::load(&made.certificate, &made.key, SELF_SIGNED_RENEWAL, clients)?;
                (tls, Some(made.authority))
            }
        };
        Ok(Self { listener, tls: Some(tls), authority })
    }

    /// Starts the thread for handshakes, if connections begin with one.
    fn begin(
        self,
        config: &Config,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> std::io::Result<(Listener, Option<Handshakes>)> {
        let has_handshakes = self.tls.is_some() || !config.transport.proxy_protocol_from.is_empty();
        let handshakes = has_handshakes
            .then(|| Handshakes::start(self.tls, &config.limits, clock, critical))
            .transpose()?;
        Ok((self.listener, handshakes))
    }
}

/// Sets health to NOT_SERVING while the index cannot be read, and back to SERVING after.
async fn report_health(health: &Health, engine: &Engine) -> Infallible {
    let mut is_complete = true;
    loop {
        sleep(HEALTH_INTERVAL).await;
        if is_complete != engine.is_complete() {
            is_complete = !is_complete;
            if is_complete { health.serving().await } else { health.not_serving().await }
        }
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
