//! The admin listener: HTTP/1.1 for whoever runs the server, on a thread of its own, so that it answers
//! also when workers are stuck. It has no secrets, and takes no orders.
//!
//! ```text
//!   accept ──▶ one request, within its time ──▶ answers.rs ──▶ close
//! ```
//!
//! Never serves a user.

mod answers;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::Error;
use super::listener::{self, Listener};
use super::metrics::ServerMetrics;
use crate::config::Config;
use crate::runtime::CriticalThreads;
use answers::AdminStatus;
pub(super) use answers::NotReady;

/// The name of the thread.
const THREAD: &str = "whimbrel-admin";
/// Connections at once: a few scrapers and probes, and a person. The oldest is closed for a further one,
/// so those who are silent keep nobody out.
const CONNECTIONS_MAX: usize = 16;
/// The longest time of a connection, which has one request: scrapers wait as long by default.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// Most bytes of a request. It is the least that the library takes.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// How long to wait after a failed accept, as when the process may open no more files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The admin listener, if there is one. The thread ends with the last clone. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    address: Option<SocketAddr>,
    status: Arc<AdminStatus>,
    _running: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl Admin {
    /// Listens, if `config` says where. From then on it answers, also while the server starts.
    ///
    /// # Errors
    /// The address cannot be listened on, or the operating system cannot start a thread.
    pub(super) fn open(
        config: &Config,
        metrics: &ServerMetrics,
        critical: &CriticalThreads,
    ) -> Result<Self, Error> {
        let status = Arc::new(AdminStatus {
            problem: Mutex::new(Some(NotReady::Starting)),
            metrics: metrics.clone(),
            critical: critical.clone(),
            silence_max: config.limits.worker_silence_max,
        });
        if config.admin_listen.is_empty() {
            return Ok(Self { address: None, status, _running: Arc::default() });
        }
        let bound = Listener::bind(&config.admin_listen);
        let listener = bound.map_err(|(address, source)| Error::ListenAdmin { address, source })?;
        let address = listener.addresses().first().copied();
        let sockets = listener.into_sockets().map_err(Error::Workers)?;
        let (running, stopped) = oneshot::channel();
        let of_thread = Arc::clone(&status);
        let run = move || -> io::Result<()> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let sockets = sockets.into_iter().map(TcpListener::from_std);
                let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
                tokio::select! {
                    never = accept(&sockets, &of_thread) => match never {},
                    // It is dropped.
                    _ = stopped => Ok(()),
                }
            })
        };
        critical.spawn(THREAD, run).map_err(Error::Workers)?;
        Ok(Self { address, status, _running: Arc::new(Mutex::new(Some(running))) })
    }

    /// The first address it listens on.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Why the server takes no calls, or that it does.
    pub(super) fn set_ready(&self, problem: Option<NotReady>) {
        *self.status.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Serves connections until it is dropped.
///
/// # Panics
/// An answer panicked.
async fn accept(sockets: &[TcpListener], status: &Arc<AdminStatus>) -> Infallible {
    let mut served = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    let mut first = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener::next(sockets, &mut first) => accepted,
            Some(ended) = served.join_next() => {
                if let Err(error) = ended
                    && let Ok(panic) = error.try_into_panic()
                {
                    resume_unwind(panic);
                }
                continue;
            }
        };
        match accepted {
            Ok((socket, _)) => {
                open.retain(|connection| !connection.is_finished());
                if open.len() == CONNECTIONS_MAX
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let status = Arc::clone(status);
                open.push_back(served.spawn(async move {
                    // Whatever becomes of it, the scraper or probe comes again.
                    let _ = timeout(CONNECTION_TIME_MAX, serve(socket, status)).await;
                }));
            }
            Err(error) => {
                tracing::debug!(%error, "the admin listener cannot accept a connection");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn serve(socket: TcpStream, status: Arc<AdminStatus>) -> hyper::Result<()> {
    let answer = service_fn(move |request| {
        let answer = status.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES_MAX)
        // hyper panics on a date that HTTP cannot express, such as that of a wrong clock.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(socket), answer)
        .await
}
