//! The thread on which connections begin if they begin with a PROXY header or with TLS. A handshake
//! costs as much as hundreds of calls, and waits for its client: no worker does either.
//!
//! ```text
//!   accepted ──▶ PROXY header ──▶ TLS handshake ──▶ begun, for a worker
//!                 │ only of        │ too late, wrong, the oldest of the address with most
//!                 │ proxies        │ of too many, or the server stops
//!                 └────────────────┴──▶ closed
//! ```
//!
//! The thread has a low priority: whoever makes it work takes no time from the calls of others.
//!
//! Never reads what a client sends after its handshake.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;

use super::connection_metrics::{ConnectionMetrics, HandshakeEnd};
use super::connections::ConnectionSlot;
use super::listener::Accepted;
use super::other_protocol::{TLS_HANDSHAKE, answer_without_tls, linger};
use super::proxy_protocol;
use super::tls::{Tls, client_certificate};
use super::transport::{DetachedTransport, MovableTcp, Transport};
use crate::api::{Peer, network};
use crate::config::Limits;
use crate::runtime::{Clock, CriticalThreads, lower_priority};

/// The name of the thread.
const THREAD: &str = "whimbrel-tls";
/// Connections between the threads, in each direction. When the thread is so far behind, a new
/// connection is closed.
const QUEUE_CONNECTIONS_MAX: usize = 1_024;
/// How often the files of TLS are looked at.
const FILES_INTERVAL: Duration = Duration::from_secs(1);

/// The thread, as the accept loop uses it. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Handshakes {
    accepted: mpsc::Sender<Accepted>,
    begun: mpsc::Receiver<Begun>,
}

/// A connection that is ready for HTTP/2.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) transport: DetachedTransport,
    pub(super) slot: ConnectionSlot,
    pub(super) peer: Peer,
}

impl From<Accepted> for Begun {
    /// A connection without a handshake.
    fn from(Accepted { socket, slot, address }: Accepted) -> Self {
        Self { transport: socket.into(), slot, peer: Peer { address, certificate: None } }
    }
}

impl Handshakes {
    /// Starts the thread. Without `tls`, only PROXY headers are read.
    ///
    /// # Errors
    /// The operating system cannot start a thread.
    pub(super) fn start(
        tls: Option<Tls>,
        limits: &Limits,
        clock: Clock,
        metrics: ConnectionMetrics,
        critical: &CriticalThreads,
    ) -> io::Result<Self> {
        let (accepted, queue) = mpsc::channel(QUEUE_CONNECTIONS_MAX);
        let (done, begun) = mpsc::channel(QUEUE_CONNECTIONS_MAX);
        let (time_max, count_max) = (limits.handshake_time_max, limits.handshakes_max);
        let thread = HandshakeThread { tls, time_max, count_max, done, clock, metrics };
        critical.spawn(THREAD, move || {
            lower_priority();
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(thread.run(queue));
            io::Result::Ok(())
        })?;
        Ok(Self { accepted, begun })
    }

    /// A handle that begins connections on the thread.
    pub(super) fn beginner(&self) -> mpsc::Sender<Accepted> {
        self.accepted.clone()
    }

    /// The next connection that is ready. Never ends: the end of the thread is a failure that
    /// [`CriticalThreads`] reports.
    pub(super) async fn next(&mut self) -> Begun {
        match self.begun.recv().await {
            Some(begun) => begun,
            None => std::future::pending().await,
        }
    }
}

struct HandshakeThread {
    tls: Option<Tls>,
    time_max: Duration,
    count_max: usize,
    done: mpsc::Sender<Begun>,
    clock: Clock,
    metrics: ConnectionMetrics,
}

/// The handshakes that have not ended. Ends them when it is dropped.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<u64>,
    /// By age, with the address of each: a network of IPv6, and of a proxy its own.
    handles: BTreeMap<u64, (IpAddr, AbortHandle)>,
    by_address: HashMap<IpAddr, usize>,
    next: u64,
}

impl HandshakeThread {
    /// Runs until `queue` is closed.
    async fn run(mut self, mut queue: mpsc::Receiver<Accepted>) {
        let mut under_way = UnderWay::default();
        let mut looks = interval(FILES_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = queue.recv() => match accepted {
                    Some(accepted) => self.begin(accepted, &mut under_way),
                    None => return,
                },
                () = under_way.collect() => {}
                _ = looks.tick() => if let Some(tls) = &mut self.tls {
                    tls.reload_if_changed();
                    tls.log_validity(&self.clock);
                    self.metrics.set_ends(tls.ends());
                },
            }
            self.metrics.set_handshakes(under_way.handles.len());
        }
    }

    fn begin(&self, accepted: Accepted, under_way: &mut UnderWay) {
        let tls = self.tls.as_ref().map(Tls::acceptor);
        let (time_max, done) = (self.time_max, self.done.clone());
        let retirement = accepted.slot.closer.retirement().clone();
        let address = network(accepted.address);
        let metrics = self.metrics.clone();
        let handshake = async move {
            let began_at = Instant::now();
            let begun = async { timeout(time_max, begin(accepted, tls)).await? };
            let begun = tokio::select! {
                begun = begun => begun,
                () = retirement.cancelled() => return,
            };
            match begun {
                // An error: the accept loop has ended.
                Ok(begun) => {
                    metrics.handshake_done(began_at.elapsed());
                    drop(done.send(begun).await);
                }
                Err(error) => {
                    let is_late = error.kind() == io::ErrorKind::TimedOut;
                    let end = if is_late { HandshakeEnd::TooLate } else { HandshakeEnd::Failed };
                    metrics.handshake_ended(end);
                    tracing::debug!(%error, "a connection did not begin");
                }
            }
        };
        if under_way.add(address, handshake, self.count_max) {
            self.metrics.handshake_ended(HandshakeEnd::TooMany);
        }
    }
}

impl UnderWay {
    /// Starts a handshake of `address`. If there are `count_max` already, one is ended. Returns whether one
    /// was.
    fn add(
        &mut self,
        address: IpAddr,
        handshake: impl Future<Output = ()> + Send + 'static,
        count_max: usize,
    ) -> bool {
        let is_full = self.handles.len() >= count_max;
        if is_full {
            self.end_one();
        }
        let number = self.next;
        self.next += 1;
        let handle = self.tasks.spawn(async move {
            giving_way(handshake).await;
            number
        });
        self.handles.insert(number, (address, handle));
        *self.by_address.entry(address).or_default() += 1;
        debug_assert!(self.handles.len() <= count_max, "one was ended");
        is_full
    }

    /// Ends the oldest of the address with most: so an attacker ends their own, and nobody else's.
    fn end_one(&mut self) {
        let Some(most) = self.by_address.values().copied().max() else { return };
        let oldest = self
            .handles
            .iter()
            .find(|(_, (address, _))| self.by_address.get(address) == Some(&most));
        if let Some((&number, _)) = oldest
            && let Some(handle) = self.forget(number)
        {
            handle.abort();
        }
    }

    fn forget(&mut self, number: u64) -> Option<AbortHandle> {
        let (address, handle) = self.handles.remove(&number)?;
        match self.by_address.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            counted => {
                debug_assert!(counted.is_some(), "each handshake is counted");
                self.by_address.remove(&address);
            }
        }
        Some(handle)
    }

    /// Forgets the next handshake that ends. Waits for ever if there is none.
    ///
    /// # Panics
    /// A handshake panicked.
    async fn collect(&mut self) {
        let Some(ended) = self.tasks.join_next().await else { return std::future::pending().await };
        match ended.map_err(JoinError::try_into_panic) {
            Ok(number) => drop(self.forget(number)),
            Err(Ok(panic)) => resume_unwind(panic),
            // It was ended, and forgotten before.
            Err(Err(_)) => {}
        }
    }
}

/// `handshake`, after each step of which the threads of the workers may have the processor: a step is a
/// signature, and the scheduler lets a thread run for ten times as long.
async fn giving_way(handshake: impl Future<Output = ()>) {
    let mut handshake = pin!(handshake);
    poll_fn(|cx| {
        let polled = handshake.as_mut().poll(cx);
        std::thread::yield_now();
        polled
    })
    .await;
}

/// Reads the PROXY header, if the connection has one, and makes the TLS handshake.
async fn begin(accepted: Accepted, tls: Option<TlsAcceptor>) -> io::Result<Begun> {
    let Accepted { socket, mut slot, mut address } = accepted;
    let mut tcp = TcpStream::from_std(socket)?;
    if slot.is_of_proxy() {
        address = read_client(&mut tcp).await?.unwrap_or(address);
        slot.count_for(address).map_err(io::Error::other)?;
    }
    let Some(tls) = tls else {
        let peer = Peer { address, certificate: None };
        return Ok(Begun { transport: tcp.into_std()?.into(), slot, peer });
    };
    let mut first = [0];
    // Nothing is taken from the socket.
    if tcp.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if first != TLS_HANDSHAKE[..1] {
        let spoken = Box::pin(answer_without_tls(tcp)).await?;
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the client speaks {spoken}"),
        ));
    }
    let stream = match tls.accept(tcp.into()).into_fallible().await {
        Ok(stream) => stream,
        Err((error, tcp)) => return Err(after_refusal(error, tcp).await),
    };
    let certificate = client_certificate(stream.get_ref().1).map(Arc::new);
    Ok(Begun { transport: Transport::detach(stream)?, slot, peer: Peer { address, certificate } })
}

/// The error of a handshake, once its client has closed. The client was sent an alert that says why.
/// In TLS 1.3 it may have sent a call already, and closing with unread bytes would send a reset, at
/// which it would discard the alert.
async fn after_refusal(error: io::Error, mut tcp: MovableTcp) -> io::Error {
    if tcp.shutdown().await.is_ok() {
        // How it closes does not matter.
        let _ = Box::pin(linger(tcp)).await;
    }
    error
}

/// The address that a proxy says its connection is of; `None` if it is of the proxy itself.
async fn read_client(tcp: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    Box::pin(proxy_protocol::read(tcp)).await.map_err(io::Error::other)
}
