//! A server in this process, on a port and in a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use whimbrel::auth;
use whimbrel::config::{CallLogSettings, Config, ConsoleMode, Limits, Store, Tracing, Transport};
use whimbrel::runtime::Clock;
use whimbrel::server::{Error, Reloader, Server};
use whimbrel::storage::{self, Index, IndexOptions, LocalLog, Log, LogOptions};

use super::held_log::Valve;
use super::patience::{eventually, within};
use super::user::User;
use crate::harness::postgres::Postgres;
use crate::harness::{INDEX_OPTIONS, LOG_OPTIONS};

/// The configuration of a test's server.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    limits: Limits,
    store: Option<Store>,
    authentication: Option<auth::Options>,
    transport: Transport,
    call_log: CallLogSettings,
    tracing: Option<Tracing>,
    admin: bool,
    console: ConsoleMode,
    clock: Clock,
    appends: Valve,
    batches: Valve,
    reads: Valve,
}

/// A running server. It ends with the test, unless it is stopped before.
#[derive(Debug)]
pub(crate) struct TestServer {
    folder: Arc<TempDir>,
    setup: Setup,
    running: Running,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    admin: Option<SocketAddr>,
    reloader: Reloader,
    channel: Channel,
    shutdown: CancellationToken,
    served: JoinSet<Result<(), Error>>,
}

impl Setup {
    /// The default limits, with less memory: tests run many servers.
    pub(crate) fn new() -> Self {
        let limits = Limits {
            post_cache_bytes_max: 1 << 20,
            log_segment_bytes_max: 256 << 10,
            disk_free_bytes_min: 0,
            // Two prove as much as many, and many tests run at once.
            worker_threads: 2,
            ..Limits::default()
        };
        Self {
            limits,
            store: None,
            authentication: None,
            transport: Transport::default(),
            call_log: CallLogSettings::default(),
            tracing: None,
            admin: false,
            console: ConsoleMode::Auto,
            clock: Clock::system(),
            appends: Valve::default(),
            batches: Valve::default(),
            reads: Valve::default(),
        }
    }

    /// Sends traces.
    pub(crate) fn tracing(self, tracing: Tracing) -> Self {
        Self { tracing: Some(tracing), ..self }
    }

    /// What the log has about calls.
    pub(crate) fn call_log(self, call_log: CallLogSettings) -> Self {
        Self { call_log, ..self }
    }

    /// Changes the limits.
    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Asks who calls.
    pub(crate) fn authentication(self, options: auth::Options) -> Self {
        Self { authentication: Some(options), ..self }
    }

    /// Uses TLS, or proxies. Users call a server with TLS through clients of the test.
    pub(crate) fn transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// Serves the console, or does not.
    pub(crate) fn console(self, console: ConsoleMode) -> Self {
        Self { console, ..self }
    }

    /// Has an admin listener.
    pub(crate) fn admin(self) -> Self {
        Self { admin: true, ..self }
    }

    /// Uses a clock that the test moves.
    pub(crate) fn clock(self, clock: &Clock) -> Self {
        Self { clock: clock.clone(), ..self }
    }

    /// Uses a log whose appends the test can hold.
    pub(crate) fn appends_through(self, valve: &Valve) -> Self {
        Self { appends: valve.clone(), ..self }
    }

    /// Uses a log whose durable batches the test can hold before they are applied.
    pub(crate) fn applies_through(self, valve: &Valve) -> Self {
        Self { batches: valve.clone(), ..self }
    }

    /// Uses a log whose reads in order the test can hold: those of a replay and of a rebuild of the
    /// index.
    pub(crate) fn reads_through(self, valve: &Valve) -> Self {
        Self { reads: valve.clone(), ..self }
    }

    /// Starts the server on an empty folder.
    pub(crate) async fn start(self) -> TestServer {
        let folder = Arc::new(tempfile::tempdir().expect("a folder for the data"));
        self.start_on(folder).await
    }

    /// Starts the server on `folder`, once no other server uses it.
    pub(crate) async fn start_on(self, folder: Arc<TempDir>) -> TestServer {
        let running = Box::pin(Running::start(&self, folder.path())).await;
        TestServer { folder, setup: self, running }
    }

    /// With its log in PostgreSQL, where other servers use it, too. It uses no clock and no valve of the test.
    pub(crate) fn store(self, address: &str) -> Self {
        Self { store: Some(Postgres::store(address)), ..self }
    }

    /// Tells other servers of the same log that it is there.
    pub(crate) fn node_address(self, address: &str) -> Self {
        let node_address = Some(address.to_owned());
        Self { store: self.store.map(|store| Store { node_address, ..store }), ..self }
    }

    /// Tells other servers of the same log that clients find it there.
    pub(crate) fn public_address(self, address: &str) -> Self {
        let node_public_address = Some(address.to_owned());
        Self { store: self.store.map(|store| Store { node_public_address, ..store }), ..self }
    }

    /// The configuration of a server with its data in `data_dir`.
    pub(crate) fn config(&self, data_dir: &Path) -> Config {
        Config {
            data_dir: data_dir.to_owned(),
            store: self.store.clone(),
            authentication: self.authentication.clone(),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            transport: self.transport.clone(),
            insecure: false,
            admin_listen: self
                .admin
                .then(|| SocketAddr::from(([127, 0, 0, 1], 0)))
                .into_iter()
                .collect(),
            insecure_admin: false,
            console: self.console,
            reflection: true,
            call_log: self.call_log,
            tracing: self.tracing.clone(),
            limits: self.limits.clone(),
        }
    }

    async fn open(&self, data_dir: &Path) -> Result<Server, Error> {
        if self.store.is_some() {
            return Server::open(self.config(data_dir)).await;
        }
        let disk_free_bytes_min = self.limits.disk_free_bytes_min;
        let options = LogOptions { disk_free_bytes_min, ..LOG_OPTIONS };
        let log: Arc<dyn Log> = Arc::new(LocalLog::open(data_dir, options)?);
        let options = IndexOptions { disk_free_bytes_min, ..INDEX_OPTIONS };
        let index = Index::open(data_dir, &*log, options, self.limits.request_id_retention)?;
        let log = self.batches.behind(self.appends.before(self.reads.before_reads(log)));
        let config = self.config(data_dir);
        Server::with_indexed_log(config, log, index, self.clock.clone()).await
    }
}

impl TestServer {
    /// Starts a server with the default configuration.
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// Starts a server with changed limits.
    pub(crate) async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Setup::new().limits(change).start().await
    }

    /// A user who calls the server.
    pub(crate) fn user(&self, name: &str) -> User {
        User::new(name, self.channel())
    }

    /// A user who calls the server over a connection of their own.
    pub(crate) fn user_on_own_connection(&self, name: &str) -> User {
        User::new(name, connect(self.address()))
    }

    /// Sets limits again while it runs.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut Limits)) {
        let mut limits = self.setup.limits.clone();
        change(&mut limits);
        self.running.reloader.replace(&limits).expect("valid limits");
    }

    /// The channel that all its users share.
    pub(crate) fn channel(&self) -> Channel {
        self.running.channel.clone()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Where its admin listener is.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.running.admin.expect("it was set up with one")
    }

    /// Its data folder.
    pub(crate) fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// The path of the folder of the log.
    pub(crate) fn log_folder(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The newest position. It moves with every change, and with nothing else.
    pub(crate) async fn position(&self) -> String {
        self.user("observer").page(1, "").await.cursor
    }

    /// Checks that `act` writes nothing.
    pub(crate) async fn unchanged_by<T>(&self, act: impl Future<Output = T>) -> T {
        let before = self.position().await;
        let outcome = act.await;
        assert_eq!(self.position().await, before, "something was changed");
        outcome
    }

    /// Asks the server to stop, and does not wait.
    pub(crate) fn begin_to_stop(&self) {
        self.running.shutdown.cancel();
    }

    /// Stops it in order.
    pub(crate) async fn stop(mut self) {
        self.running.stop().await;
    }

    /// Another server, on a copy of the present data, as if restored from a backup.
    pub(crate) async fn restored_copy(&mut self) -> Self {
        let backup = tempfile::tempdir().expect("a folder for the copy");
        self.running.stop().await;
        copy_folder(&self.log_folder(), &backup.path().join("log"));
        self.restart().await;
        self.setup.clone().start_on(backup.into()).await
    }

    /// Stops the server in order, if it still runs, and starts it again on the same data. Its users
    /// are then disconnected.
    pub(crate) async fn restart(&mut self) {
        self.running.stop().await;
        self.running = Running::start(&self.setup, self.folder.path()).await;
    }
}

/// Copies the files of a folder to a new one.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a new folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let name = entry.expect("a file").file_name();
        std::fs::copy(from.join(&name), to.join(&name)).expect("a copy");
    }
}

impl Running {
    async fn start(setup: &Setup, data_dir: &Path) -> Self {
        let server =
            eventually("the data folder to be free", async || match setup.open(data_dir).await {
                Err(Error::Log(storage::Error::InUse { .. })) => None,
                opened => Some(opened.expect("the server opens")),
            })
            .await;
        let (address, reloader) = (server.address(), server.reloader());
        let admin = server.admin_address();
        let shutdown = CancellationToken::new();
        let mut served = JoinSet::new();
        served.spawn(server.run(shutdown.clone().cancelled_owned()));
        Self { address, admin, reloader, channel: connect(address), shutdown, served }
    }

    async fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(ended) = within("the server to stop", self.served.join_next()).await {
            ended.expect("it did not panic").expect("it ended in order");
        }
    }
}

/// A new channel to the server at `address`, connected by the first call.
pub(crate) fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
}
