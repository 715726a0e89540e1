//! One connection, from its first byte to its last, on the worker that it lives on.
//!
//! ```text
//!   accepted ──▶ begins ──────────▶ serves ─────────▶ retires ──────────▶ closed
//!                │ no preface       │ old, or the     │ its streams end with
//!                │ in time          │ server stops    │ cursors, calls are answered,
//!                ▼                  │                 │ or the time is up
//!              closed ◀─────────────┘ the peer goes, or a reader stalls
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Layer, Service};

use super::connections::Place;
use super::socket::Socket;
use crate::api::{Admission, Admitted, Closer};
use crate::config::Limits;
use crate::runtime;

/// HTTP/2 settings for the open internet; the library's defaults are those of a library.
mod settings {
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
    /// What is kept for one stream whose client does not take it: a batch at its largest.
    pub(super) const SEND_BUFFER_BYTES_MAX: usize = 64 << 10;
    /// With the timeout, a dead peer is gone in 40 s.
    pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
    /// See [`KEEPALIVE_INTERVAL`].
    pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
}

/// What a connection's age is multiplied by: clients that came together should not all come back
/// together.
const AGE_SPREAD: (f64, f64) = (0.8, 0.4);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Services {
    calls: Admitted<Routes>,
    http2: http2::Builder<OnWorker>,
    preface_time_max: Duration,
    age_max: Duration,
    retiring_time_max: Duration,
}

impl Services {
    /// Serves `routes` to those whom `admission` lets in.
    pub(super) fn new(routes: Routes, admission: &Admission, limits: &Limits) -> Self {
        let mut http2 = http2::Builder::new(OnWorker);
        http2
            .timer(TokioTimer::new())
            // hyper panics over a date that HTTP cannot write, as of a clock that is set wrong.
            .auto_date_header(false)
            .max_concurrent_streams(limits.streams_per_connection_max)
            .max_local_error_reset_streams(settings::LOCAL_ERROR_RESETS_MAX)
            .max_pending_accept_reset_streams(settings::PENDING_ACCEPT_RESETS_MAX)
            .max_header_list_size(limits.header_list_bytes_max)
            .initial_stream_window_size(settings::STREAM_WINDOW_BYTES)
            .initial_connection_window_size(settings::CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(settings::SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(settings::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(settings::KEEPALIVE_TIMEOUT);
        Self {
            calls: admission.layer(routes.prepare()),
            http2,
            preface_time_max: limits.preface_time_max,
            age_max: limits.connection_age_max,
            retiring_time_max: limits.drain_time_max,
        }
    }
}

/// Serves the connection until it is closed. To be spawned on its worker.
pub(super) async fn serve(tcp: std::net::TcpStream, place: Place, services: Arc<Services>) {
    let closer = &place.closer;
    let begun = Box::pin(begin(tcp, closer, services.preface_time_max));
    let Some(socket) = begun.await else { return };
    let calls = Calls { services: Arc::clone(&services), closer: closer.clone() };
    let mut connection =
        std::pin::pin!(services.http2.serve_connection(TokioIo::new(socket), calls));
    let age = services.age_max.mul_f64(AGE_SPREAD.0 + AGE_SPREAD.1 * fastrand::f64());
    tokio::select! {
        biased;
        ended = &mut connection => return told(ended),
        () = closer.retirement().cancelled() => {}
        () = sleep(age) => closer.retire(),
    }
    if closer.closing().is_cancelled() {
        return;
    }
    connection.as_mut().graceful_shutdown();
    // Boxed as the beginning is: the many connections in between keep no room for either.
    let retired = Box::pin(async {
        tokio::select! {
            biased;
            ended = &mut connection => told(ended),
            () = closer.closing().cancelled() => {}
            () = sleep(services.retiring_time_max) => {
                tracing::debug!("a retired connection was still open at its deadline");
            }
        }
    });
    retired.await;
}

/// Waits until the client begins; `None` if it does not, in time or at all.
async fn begin(tcp: std::net::TcpStream, closer: &Closer, time_max: Duration) -> Option<Socket> {
    let begun = async { timeout(time_max, Socket::begin(TcpStream::from_std(tcp)?)).await? };
    tokio::select! {
        begun = begun => begun
            .inspect_err(|error| tracing::debug!(%error, "a connection did not begin"))
            .ok(),
        // Nothing was asked on it yet.
        () = closer.retirement().cancelled() => None,
    }
}

fn told(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// The calls of one connection.
struct Calls {
    services: Arc<Services>,
    closer: Closer,
}

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Admitted<Routes> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.closer.clone());
        // The routes are always ready.
        self.services.calls.clone().call(request)
    }
}

/// Spawns a connection's streams on the worker of the connection.
#[derive(Clone, Copy, Debug)]
struct OnWorker;

impl<F: Future<Output = ()> + 'static> Executor<F> for OnWorker {
    fn execute(&self, stream: F) {
        runtime::spawn_local(stream);
    }
}
