//! The metrics of connections: how many, what becomes of them, their bytes, handshakes, and until when the
//! certificates are valid.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::runtime::metrics::{
    Buckets, Counter, Counters, Histogram, Label, Metric, MetricValue, PerWorker, Scrape, label,
};

const OPEN: Metric = Metric::gauge("whimbrel_connections_open", &[], "Open connections");
const ACCEPTED: Metric =
    Metric::counter("whimbrel_connections_accepted_total", &[], "Connections that were accepted");
const REFUSED: Metric = Metric::counter(
    "whimbrel_connections_refused_total",
    &["reason"],
    "Connections that were refused, or closed before anything was read from them",
);
const CLOSED: Metric = Metric::counter(
    "whimbrel_connections_closed_total",
    &["reason"],
    "Accepted connections that were closed, by why",
);
const RECEIVED: Metric = Metric::counter(
    "whimbrel_received_bytes_total",
    &[],
    "Bytes of HTTP/2 that clients have sent, inside of TLS",
);
const SENT: Metric = Metric::counter(
    "whimbrel_sent_bytes_total",
    &[],
    "Bytes of HTTP/2 that were sent to clients, inside of TLS",
);
const HANDSHAKES: Metric = Metric::counter(
    "whimbrel_handshakes_total",
    &["outcome"],
    "Handshakes (TLS, PROXY header) that have ended",
);
const HANDSHAKE: Metric = Metric::histogram(
    "whimbrel_handshake_duration_seconds",
    &[],
    "Time of handshakes that succeeded, most of which is that of the network",
);
const UNDER_WAY: Metric =
    Metric::gauge("whimbrel_handshakes_under_way", &[], "Handshakes that have begun and not ended");
const VALID_UNTIL: Metric = Metric::gauge(
    "whimbrel_certificate_end_timestamp_seconds",
    &["kind"],
    "When the first of the server's certificates or of the revocation lists ends, in seconds since 1970",
);

label! {
    /// Why a connection is refused.
    pub(super) enum RefusedConnection {
        Full = "connections_max",
        FullForAddress = "connections_per_address_max",
        Elsewhere = "not_from_a_proxy",
        NoFiles = "open_files",
        HandshakesBehind = "handshakes_behind",
        WorkerBehind = "worker_behind",
    }
}

label! {
    /// Why a connection is closed.
    pub(super) enum ClosedConnection {
        NotBegun = "not_begun",
        Ended = "ended",
        Broken = "broken",
        Flood = "too_many_empty_frames",
        Limit = "limit",
        Deadline = "drain_time_max",
    }
}

label! {
    /// How a handshake ends.
    pub(super) enum HandshakeEnd {
        Done = "done",
        Failed = "failed",
        TooLate = "handshake_time_max",
        TooMany = "handshakes_max",
    }
}

/// The metrics of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ConnectionMetrics(Arc<ConnectionCells>);

#[derive(Debug)]
struct ConnectionCells {
    accepted: Counter,
    refused: Counters<RefusedConnection>,
    closed: Counters<ClosedConnection>,
    traffic: PerWorker<Traffic>,
    handshakes: Counters<HandshakeEnd>,
    handshake: Histogram,
    under_way: AtomicUsize,
    /// Each kind of what ends, and when the first of it does.
    ends: Mutex<Vec<(&'static str, Duration)>>,
}

#[derive(Debug, Default)]
struct Traffic {
    received: Counter,
    sent: Counter,
}

impl ConnectionMetrics {
    pub(super) fn new(workers: usize) -> Self {
        Self(Arc::new(ConnectionCells {
            accepted: Counter::default(),
            refused: Counters::default(),
            closed: Counters::default(),
            traffic: PerWorker::new(workers, Traffic::default),
            handshakes: Counters::default(),
            handshake: Histogram::new(&Buckets::TIME),
            under_way: AtomicUsize::new(0),
            ends: Mutex::default(),
        }))
    }

    pub(super) fn accepted(&self) {
        self.0.accepted.increment();
    }

    pub(super) fn refused(&self, reason: RefusedConnection) {
        self.0.refused.of(reason).increment();
    }

    /// An accepted connection is closed.
    pub(super) fn closed(&self, reason: ClosedConnection) {
        self.0.closed.of(reason).increment();
    }

    /// A connection of this worker has moved so many bytes.
    pub(super) fn moved(&self, received: usize, sent: usize) {
        let traffic = self.0.traffic.here();
        traffic.received.add(received as u64);
        traffic.sent.add(sent as u64);
    }

    /// A handshake succeeded.
    pub(super) fn handshake_done(&self, time: Duration) {
        self.0.handshake.observe_time(time);
        self.handshake_ended(HandshakeEnd::Done);
    }

    pub(super) fn handshake_ended(&self, end: HandshakeEnd) {
        self.0.handshakes.of(end).increment();
    }

    /// So many handshakes have begun and not ended.
    pub(super) fn set_handshakes(&self, under_way: usize) {
        self.0.under_way.store(under_way, Ordering::Relaxed);
    }

    /// When the first of each kind of certificate ends, since 1970.
    pub(super) fn set_ends(&self, ends: Vec<(&'static str, Duration)>) {
        *self.0.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }

    /// Open connections, as they were accepted and closed.
    pub(super) fn open(&self) -> u64 {
        // The ends before the begins, so that the difference is not negative.
        let closed: u64 =
            ClosedConnection::ALL.iter().map(|&reason| self.0.closed.of(reason).get()).sum();
        self.0.accepted.get() - closed
    }

    pub(super) fn collect(&self, scrape: &mut Scrape) {
        let cells = &*self.0;
        scrape.count(&OPEN, self.open());
        scrape.count(&ACCEPTED, cells.accepted.get());
        scrape.add(&REFUSED, cells.refused.samples());
        scrape.add(&CLOSED, cells.closed.samples());
        scrape.count(&RECEIVED, cells.traffic.sum(|worker| &worker.received));
        scrape.count(&SENT, cells.traffic.sum(|worker| &worker.sent));
        scrape.add(&HANDSHAKES, cells.handshakes.samples());
        scrape.add(&HANDSHAKE, [([], cells.handshake.value())]);
        scrape.count(&UNDER_WAY, cells.under_way.load(Ordering::Relaxed) as u64);
        let ends = cells.ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sample = |(kind, end): (&str, Duration)| {
            ([kind.to_owned()], MetricValue::Number(end.as_secs_f64()))
        };
        scrape.add(&VALID_UNTIL, ends.into_iter().map(sample));
    }
}
