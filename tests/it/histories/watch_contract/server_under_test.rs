//! The server of a history: in this process and restarted in order, or a process that is killed, or several nodes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use whimbrel::storage::{Error, LogEntry, check_events};

use crate::cluster::know_each_other;
use crate::harness::postgres::Postgres;
use crate::harness::{Setup, TestServer};
use crate::server::process::{ServerProcess, kill_while_starting};

const NODES: usize = 3;

/// What serves in a history.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    InProcess,
    /// The built program, which is killed instead of stopped.
    Program,
    /// Three in this process, with the log in PostgreSQL.
    Nodes,
}

pub(crate) enum ServerUnderTest {
    InProcess(Vec<TestServer>),
    Program(Option<ServerProcess>, Arc<TempDir>),
}

impl ServerUnderTest {
    pub(crate) async fn start(kind: Kind, setup: Setup) -> Self {
        match kind {
            Kind::InProcess => Self::InProcess(vec![setup.start().await]),
            Kind::Program => {
                let folder = Arc::new(tempfile::tempdir().unwrap());
                Self::Program(Some(ServerProcess::start(folder.path())), folder)
            }
            Kind::Nodes => {
                let address = Postgres::shared().expect("there is one").new_log();
                let mut nodes = Vec::new();
                for _ in 0..NODES {
                    nodes.push(setup.clone().store(&address).start().await);
                }
                know_each_other(&nodes, NODES).await;
                Self::InProcess(nodes)
            }
        }
    }

    /// A channel to each server, good until the next restart.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        match self {
            Self::InProcess(servers) => servers.iter().map(TestServer::channel).collect(),
            Self::Program(server, _) => {
                let address = server.as_ref().unwrap().address();
                vec![Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()]
            }
        }
    }

    /// Stops or kills one, and starts it again. A process is sometimes killed while it recovers, too.
    pub(crate) async fn restart(&mut self, random: &mut fastrand::Rng) {
        match self {
            Self::InProcess(servers) => {
                let one = random.usize(..servers.len());
                servers[one].restart().await;
            }
            Self::Program(server, folder) => {
                server.take().unwrap().kill();
                for _ in 0..random.usize(..3) {
                    kill_while_starting(folder.path(), Duration::from_millis(random.u64(..40)));
                }
                *server = Some(ServerProcess::start(folder.path()));
            }
        }
    }

    /// Stops all in order, and returns the log, of which each has all or the beginning.
    pub(crate) async fn stop(self) -> Vec<LogEntry> {
        match self {
            Self::InProcess(servers) => {
                let mut longest = Vec::new();
                for server in servers {
                    let folder = server.folder();
                    server.stop().await;
                    let log = entries(folder.path());
                    let both = longest.len().min(log.len());
                    assert_eq!(longest[..both], log[..both], "all have the same log");
                    longest = if log.len() > longest.len() { log } else { longest };
                }
                longest
            }
            Self::Program(server, folder) => {
                assert_eq!(server.unwrap().terminate(), Some(0), "it stops in order");
                entries(folder.path())
            }
        }
    }
}

/// All events of the log in a data folder, or of the copy there.
fn entries(folder: &Path) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    let mut each = |revision, event| -> Result<(), Error> {
        entries.push(LogEntry { revision, event });
        Ok(())
    };
    check_events(folder, &mut |_| {}, &mut each).unwrap();
    entries
}
