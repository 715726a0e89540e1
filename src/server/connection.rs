//! One connection, from its first byte to its close. It runs on one worker and never leaves it.
//!
//! ```text
//!   accepted ──▶ begins ──────────▶ serves ─────────▶ retires ──────────▶ closed
//!                │ no preface       │ old, or the     │ its streams end with
//!                │ in time          │ server stops    │ cursors, calls are answered,
//!                ▼                  │                 │ or the time is up
//!              closed ◀─────────────┘ the client leaves, or a reader stalls
//! ```

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::time::{sleep, timeout};
use tonic::service::Routes;

use super::connection_metrics::{ClosedConnection, ConnectionMetrics};
use super::frame_budget::{FrameBudget, FrameFlood};
use super::handshakes::Begun;
use super::pacing::Pace;
use super::socket::Socket;
use super::transport::DetachedTransport;
use super::unread::RequestBody;
use crate::api::admission::Answer;
use crate::api::{Account, Admission, AdmissionService, AnswerBody, Closer, Forwarding, Peer};
use crate::config::{Config, Limits};
use crate::runtime::WarningThrottle;

/// HTTP/2 settings for the open internet. The library's defaults are not made for it.
mod settings {
    /// Resets that the server sends because of a client's errors (RUSTSEC-2024-0003).
    pub(super) const LOCAL_ERROR_RESETS_MAX: usize = 1_024;
    /// Streams that a client opens and resets before they are accepted (CVE-2023-44487).
    pub(super) const PENDING_ACCEPT_RESETS_MAX: usize = 20;
    /// Flow-control window of one stream, in bytes: requests are small.
    pub(super) const STREAM_WINDOW_BYTES: u32 = 64 << 10;
    /// The same for a connection. h2 also takes half of it as its budget for small frames: 256
    /// bytes for each unread frame. It closes a connection that exceeds the budget, so 1,024
    /// streams must fit.
    pub(super) const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
    /// Bytes that are buffered for a stream whose client does not read: the largest batch.
    pub(super) const SEND_BUFFER_BYTES_MAX: usize = 64 << 10;
    /// The least that the library has as a buffer of HTTP/1.1, which bounds a head.
    pub(super) const HTTP1_BYTES_MIN: usize = 8 << 10;
}

/// The part of its maximal age at which a connection retires, as base and range: clients that
/// connected at the same time should not all reconnect at the same time.
const AGE_SPREAD: (f64, f64) = (0.8, 0.2);
const _: () = assert!(AGE_SPREAD.0 + AGE_SPREAD.1 <= 1.0, "a maximal age is not exceeded");

/// The routes, settings and time limits that all connections share.
#[derive(Debug)]
pub(super) struct Services {
    calls: AdmissionService<Routes>,
    forwarding: Option<Forwarding>,
    preface_time_max: Duration,
    age_max: Duration,
    retiring_time_max: Duration,
    limits: Limits,
    floods: WarningThrottle,
    metrics: ConnectionMetrics,
}

impl Services {
    /// Serves `routes` behind `admission`.
    pub(super) fn new(
        routes: Routes,
        admission: &Admission,
        config: &Config,
        metrics: ConnectionMetrics,
    ) -> Self {
        let limits = &config.limits;
        Self {
            calls: admission.before(routes.prepare()),
            forwarding: Forwarding::new(&config.transport),
            preface_time_max: limits.preface_time_max,
            age_max: limits.connection_age_max,
            retiring_time_max: limits.drain_time_max,
            limits: limits.clone(),
            floods: WarningThrottle::default(),
            metrics,
        }
    }

    /// How HTTP/2 is served on a connection whose streams keep to `pace`.
    fn http2(&self, pace: Pace) -> http2::Builder<Pace> {
        let mut http2 = http2::Builder::new(pace);
        http2
            .timer(TokioTimer::new())
            // hyper panics on a date that HTTP cannot express, such as that of a wrong clock.
            .auto_date_header(false)
            .max_concurrent_streams(self.limits.streams_per_connection_max)
            .max_local_error_reset_streams(settings::LOCAL_ERROR_RESETS_MAX)
            .max_pending_accept_reset_streams(settings::PENDING_ACCEPT_RESETS_MAX)
            .max_header_list_size(self.limits.header_list_bytes_max)
            .initial_stream_window_size(settings::STREAM_WINDOW_BYTES)
            .initial_connection_window_size(settings::CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(settings::SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(self.limits.keepalive_interval)
            .keep_alive_timeout(self.limits.keepalive_answer_time_max);
        http2
    }

    /// How HTTP/1.1 is served: a call at a time. The head of each has as long to arrive as the first bytes of
    /// a connection; a connection without calls is closed after that time.
    fn http1(&self) -> http1::Builder {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .header_read_timeout(self.preface_time_max)
            .max_buf_size(
                (self.limits.header_list_bytes_max as usize).max(settings::HTTP1_BYTES_MIN),
            );
        http1
    }
}

pin_project! {
    /// A connection of either protocol.
    #[project = HttpProject]
    enum Http {
        // Boxed, so that the many connections of HTTP/2 have no room for it.
        One { connection: Pin<Box<http1::Connection<TokioIo<Socket>, ConnectionService>>> },
        Two { #[pin] connection: http2::Connection<TokioIo<Socket>, ConnectionService, Pace> },
    }
}

impl Http {
    /// Answers the calls that have begun, and no more.
    fn retire(self: Pin<&mut Self>) {
        match self.project() {
            HttpProject::One { connection } => connection.as_mut().graceful_shutdown(),
            HttpProject::Two { connection } => connection.graceful_shutdown(),
        }
    }
}

impl Future for Http {
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self.project() {
            HttpProject::One { connection } => connection.as_mut().poll(cx),
            HttpProject::Two { connection } => connection.poll(cx),
        }
    }
}

/// Serves the connection until it is closed. Runs on the connection's worker.
pub(super) async fn serve(begun: Begun, services: Arc<Services>) {
    let Begun { transport, mut slot, peer } = begun;
    tracing::debug!(
        address = %peer.address,
        certificate = ?peer.certificate.as_ref().map(|certificate| &certificate.names),
        "a connection begins"
    );
    let closer = slot.closer.clone();
    let begun = Box::pin(begin(transport, &closer, services.preface_time_max));
    let Some(socket) = begun.await else { return };
    let account = slot.account();
    let is_http2 = socket.is_http2();
    let frames = is_http2.then(|| FrameBudget::new(&services.limits));
    let calls =
        ConnectionService { services: Arc::clone(&services), account: account.clone(), peer };
    let pace = Pace::new();
    let metrics = services.metrics.clone();
    let mut connection =
        std::pin::pin!(socket.served_by(account, frames, &pace, metrics, |socket| {
            if is_http2 {
                let connection =
                    services.http2(pace.clone()).serve_connection(TokioIo::new(socket), calls);
                Http::Two { connection }
            } else {
                let connection = services.http1().serve_connection(TokioIo::new(socket), calls);
                Http::One { connection: Box::pin(connection) }
            }
        }));
    // Unless something else is known below.
    slot.closed = ClosedConnection::Limit;
    let age = services.age_max.mul_f64(AGE_SPREAD.0 + AGE_SPREAD.1 * fastrand::f64());
    tokio::select! {
        biased;
        result = &mut connection => {
            slot.closed = log_end(result);
            if connection.is_flooded() {
                slot.closed = ClosedConnection::Flood;
                services.floods.add(format!("closed a connection: {FrameFlood}"));
                Box::pin(connection.last_words()).await;
            }
            return;
        }
        () = closer.retirement().cancelled() => {}
        () = sleep(age) => closer.retire(),
    }
    if closer.closing().is_cancelled() {
        return;
    }
    connection.as_mut().connection().retire();
    // Boxed like `begin`, so that the future of a serving connection has no room for either.
    let retired = Box::pin(async {
        tokio::select! {
            biased;
            result = &mut connection => log_end(result),
            () = closer.closing().cancelled() => ClosedConnection::Limit,
            () = sleep(services.retiring_time_max) => {
                tracing::debug!("a retired connection was still open at its deadline");
                ClosedConnection::Deadline
            }
        }
    });
    slot.closed = retired.await;
}

/// Waits for the client's preface; `None` if it does not come within `time_max`.
async fn begin(
    transport: DetachedTransport,
    closer: &Closer,
    time_max: Duration,
) -> Option<Socket> {
    let begun = async { timeout(time_max, Socket::begin(transport.attach()?)).await? };
    tokio::select! {
        begun = begun => begun
            .inspect_err(|error| tracing::debug!(%error, "a connection did not begin"))
            .ok(),
        // No call was made on it yet.
        () = closer.retirement().cancelled() => None,
    }
}

fn log_end(result: io::Result<()>) -> ClosedConnection {
    match result {
        Ok(()) => ClosedConnection::Ended,
        Err(error) => {
            tracing::debug!(%error, "a connection broke");
            ClosedConnection::Broken
        }
    }
}

/// Passes the calls of one connection to the routes, with the connection's [`Account`], [`Closer`]
/// and [`Peer`].
struct ConnectionService {
    services: Arc<Services>,
    account: Account,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answer<Infallible>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.account.closer().clone());
        let mut peer = self.peer.clone();
        if let Some(forwarding) = &self.services.forwarding {
            peer.address = forwarding.client(peer.address, request.headers());
        }
        request.extensions_mut().insert(peer);
        if request.version() >= Version::HTTP_2 {
            return self.services.calls.call(&self.account, RequestBody::of_http2(request));
        }
        let (request, unread) = RequestBody::of_http1(request);
        let answer = self.services.calls.call(&self.account, request);
        let limits = &self.services.limits;
        let (bytes_max, time_max) = (limits.request_bytes_max, limits.request_time_max);
        Box::pin(async move {
            let answer = answer.await;
            unread.read(bytes_max, time_max).await;
            answer
        })
    }
}
