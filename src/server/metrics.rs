//! The metrics of the server: those of all areas in one scrape, and its own. Counts nothing that an area
//! below counts.

use std::sync::{Arc, OnceLock};

use super::connection_metrics::ConnectionMetrics;
use crate::api::{Accounts, ApiMetrics, Scraper, Tracer};
use crate::auth::Auth;
use crate::cluster::Cluster;
use crate::config::Limits;
use crate::engine::Engine;
use crate::runtime::WorkerPulse;
use crate::runtime::metrics::{Metric, MetricValue, Process, Scrape};

const BUILD: Metric = Metric::gauge(
    "whimbrel_build_info",
    &["version", "revision"],
    "Always 1, with the version of the program and the revision of its source, if that is known",
);

const MEMORY: Metric = Metric::gauge(
    "whimbrel_memory_estimated_bytes",
    &["kind"],
    "Memory by what it is for: how many there are, times what each takes by the table in the operations manual",
);

/// What a connection takes without TLS, without what the kernel takes for it.
const CONNECTION_BYTES: u64 = 19_500;

/// The version of the program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The revision of its source, as its builder sets it; empty if they did not.
pub(super) const REVISION: &str = match option_env!("WHIMBREL_REVISION") {
    Some(revision) => revision,
    None => "",
};

/// All metrics of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ServerMetrics(Arc<ServerCells>);

#[derive(Debug)]
struct ServerCells {
    api: ApiMetrics,
    pulse: WorkerPulse,
    connections: ConnectionMetrics,
    started: OnceLock<Started>,
}

/// The parts that exist once the data are open.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) engine: Engine,
    pub(super) auth: Option<Auth>,
    pub(super) accounts: Accounts,
    pub(super) tracer: Option<Tracer>,
    pub(super) cluster: Option<Cluster>,
}

impl ServerMetrics {
    /// Of a server that starts.
    pub(super) fn new(limits: &Limits) -> Self {
        let (api, pulse) = (ApiMetrics::new(limits.worker_threads), WorkerPulse::new());
        let connections = ConnectionMetrics::new(limits.worker_threads);
        Self(Arc::new(ServerCells { api, pulse, connections, started: OnceLock::new() }))
    }

    pub(super) fn api(&self) -> &ApiMetrics {
        &self.0.api
    }

    pub(super) fn pulse(&self) -> &WorkerPulse {
        &self.0.pulse
    }

    pub(super) fn connections(&self) -> &ConnectionMetrics {
        &self.0.connections
    }

    /// The data are open.
    ///
    /// # Panics
    /// They were open before.
    pub(super) fn started(&self, parts: Started) {
        assert!(self.0.started.set(parts).is_ok(), "a server starts once");
    }

    /// Reads them for who calls the server.
    pub(super) fn scraper(&self) -> Scraper {
        let metrics = self.clone();
        Scraper::new(move || metrics.scrape())
    }

    /// All metrics as they are now.
    pub(super) fn scrape(&self) -> Scrape {
        let mut scrape = Scrape::default();
        let build = [VERSION.to_owned(), REVISION.to_owned()];
        scrape.add(&BUILD, [(build, MetricValue::Number(1.0))]);
        Process.collect(&mut scrape);
        self.0.pulse.collect(&mut scrape);
        self.0.connections.collect(&mut scrape);
        self.0.api.collect(&mut scrape);
        if let Some(started) = self.0.started.get() {
            started.accounts.collect(&mut scrape);
            Tracer::collect(started.tracer.as_ref(), &mut scrape);
            Auth::collect(started.auth.as_ref(), &mut scrape);
            started.engine.collect(&mut scrape);
            Cluster::collect(started.cluster.as_ref(), &mut scrape);
            let mut memory = started.engine.memory();
            memory.push(("connections", self.0.connections.open() * CONNECTION_BYTES));
            let sample =
                |(kind, bytes): (&str, u64)| ([kind.to_owned()], MetricValue::count(bytes));
            scrape.add(&MEMORY, memory.into_iter().map(sample));
        }
        scrape
    }
}
