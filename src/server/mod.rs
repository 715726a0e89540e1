//! The server: wires the layers, listens, and stops in order.
//!
//! Nothing here knows what the calls mean.

mod connection;
mod listener;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use listener::Listener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::api::{self, Admission, Health, StallWatch};
use crate::config::{self, Config};
use crate::engine::{self, Engine};
use crate::log::{self, Index, LocalLog, Log, OpenedIndex, Options};
use crate::model::Revision;
use crate::runtime::{Clock, Failure, Vital};

/// HTTP/2 settings for the open internet; the library's defaults are those of a library.
mod http2 {
    use std::time::Duration;

    /// Resets that we send because of a peer's errors (RUSTSEC-2024-0003).
    pub(super) const LOCAL_ERROR_RESETS_MAX: usize = 1_024;
    /// Streams that a peer opens and resets before we have looked at them (CVE-2023-44487).
    pub(super) const PENDING_ACCEPT_RESETS_MAX: usize = 20;
    /// What one caller may send before we have read it: requests are small.
    pub(super) const STREAM_WINDOW_BYTES: u32 = 64 << 10;
    /// The same for a connection. h2 also takes half of it as its budget for small frames, 256
    /// bytes for each that is not read yet, and closes the connection beyond: a connection's 1,024
    /// streams must fit.
    pub(super) const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
    /// With the timeout, a dead peer is gone in 40 s.
    pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
    /// See [`KEEPALIVE_INTERVAL`].
    pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
}

/// How long callers have to hear that the server failed.
const FAILURE_DRAIN_TIME_MAX: Duration = Duration::from_secs(1);
/// How long connections have to notice that they were closed.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Why a server does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The data cannot be opened.
    #[error(transparent)]
    Log(#[from] log::Error),
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
    /// The descriptors built into this program are damaged.
    #[error(transparent)]
    Reflection(#[from] api::ReflectionError),
    /// The transport failed.
    #[error("the transport failed: {0}")]
    Transport(#[from] tonic::transport::Error),
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
    /// Opens the data, replays it, and listens. Calls are taken from then on, and answered once
    /// [`Server::run`] is called.
    ///
    /// # Errors
    /// See [`Error`]. The configuration is checked before anything is touched.
    pub async fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        let limits = &config.limits;
        let disk_free_bytes_min = limits.disk_free_bytes_min;
        let options = Options { cache_bytes: limits.log_cache_bytes, disk_free_bytes_min };
        let log = LocalLog::open(&config.data_dir, options)?;
        let options = Options { cache_bytes: limits.index_cache_bytes, disk_free_bytes_min };
        let index = Index::open(&config.data_dir, &log, options, limits.request_id_kept)?;
        Self::on_indexed_log(config, Arc::new(log), index, Clock::system()).await
    }

    /// As [`Server::open`], on a log and a clock of the caller's, and without an index.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn on_log(config: Config, log: Arc<dyn Log>, clock: Clock) -> Result<Self, Error> {
        Self::on(config, log, None, clock).await
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
        Self::on(config, log, Some(index), clock).await
    }

    async fn on(
        config: Config,
        log: Arc<dyn Log>,
        index: Option<OpenedIndex>,
        clock: Clock,
    ) -> Result<Self, Error> {
        config.check()?;
        let vital = Vital::new();
        let started = std::time::Instant::now();
        let head = log.head();
        let indexed = index.as_ref().map_or(Revision::ZERO, |index| index.contents.complete_until);
        let limits = &config.limits;
        let engine = match index {
            Some(index) => Engine::open_indexed(log, index, limits, clock, &vital)?,
            None => Engine::open(log, limits, clock, &vital)?,
        };
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(%head, %indexed, seconds, "log replayed");

        let stall_watch = StallWatch::new(config.limits.stall_max);
        let (routes, health) = api::routes(api::Parts {
            engine: engine.clone(),
            limits: config.limits.clone(),
            stall_watch: stall_watch.clone(),
            reflection: config.reflection,
        })?;
        let listener = Listener::bind(config.listen, config.limits.connections_max)
            .await
            .map_err(|source| Error::Listen { address: config.listen, source })?;
        Ok(Self { listener, engine, vital, routes, health, stall_watch, config })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Serves until `shutdown` ends, then stops in order: health says so, new calls are refused,
    /// streams are ended with their cursors, calls under way are answered, connections are closed,
    /// and the log is closed last.
    ///
    /// # Errors
    /// A vital part failed; then only callers under way are still told.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { listener, engine, vital, routes, mut health, stall_watch, config } = self;
        let limits = &config.limits;
        let admission = Admission::new(limits);
        let connections = CancellationToken::new();
        let stop_accepting = CancellationToken::new();
        let header_list_bytes_max = limits.header_list_bytes_max;

        let serve = tonic::transport::Server::builder()
            .max_concurrent_streams(limits.streams_per_connection_max)
            .http2_max_local_error_reset_streams(Some(http2::LOCAL_ERROR_RESETS_MAX))
            .http2_max_pending_accept_reset_streams(Some(http2::PENDING_ACCEPT_RESETS_MAX))
            .http2_max_header_list_size(header_list_bytes_max)
            .initial_stream_window_size(http2::STREAM_WINDOW_BYTES)
            .initial_connection_window_size(http2::CONNECTION_WINDOW_BYTES)
            .http2_keepalive_interval(Some(http2::KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(http2::KEEPALIVE_TIMEOUT))
            .layer(admission.clone())
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                listener.connections(connections.clone()),
                stop_accepting.cancelled(),
            );
        tokio::pin!(serve);
        health.serving().await;

        let failure = tokio::select! {
            served = &mut serve => return Ok(served?),
            () = stall_watch.run() => None,
            () = shutdown => None,
            failure = vital.failed() => Some(failure),
        };

        health.not_serving().await;
        admission.drain();
        engine.close_streams();
        health.end_watches().await;
        stop_accepting.cancel();
        let drain_time_max =
            if failure.is_some() { FAILURE_DRAIN_TIME_MAX } else { limits.drain_time_max };
        if timeout(drain_time_max, &mut serve).await.is_err() {
            tracing::warn!("connections were still open at the deadline, and were closed");
            connections.cancel();
            let _ = timeout(CLOSE_TIME_MAX, &mut serve).await;
        }
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
