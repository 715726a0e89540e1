//! The server under a history: in this process and restarted in order, or a process of its own
//! and killed.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::harness::{Setup, TestServer};
use crate::server::process::{ServerProcess, kill_while_starting};

pub(crate) enum Machine {
    Here(Box<TestServer>),
    Process(Option<ServerProcess>, Arc<TempDir>),
}

impl Machine {
    /// A server in this process.
    pub(crate) async fn here(setup: Setup) -> Self {
        Self::Here(Box::new(setup.start().await))
    }

    /// The built program.
    pub(crate) fn process() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::Process(Some(ServerProcess::start(folder.path())), folder)
    }

    /// The way to it, as long as it is not disturbed.
    pub(crate) fn channel(&self) -> Channel {
        match self {
            Self::Here(server) => server.channel(),
            Self::Process(server, _) => {
                let address = server.as_ref().unwrap().address();
                Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
            }
        }
    }

    /// Restarts the one, kills the other: sometimes again while it recovers.
    pub(crate) async fn disturb(&mut self, random: &mut fastrand::Rng) {
        match self {
            Self::Here(server) => server.restart().await,
            Self::Process(server, folder) => {
                server.take().unwrap().kill();
                for _ in 0..random.usize(..3) {
                    kill_while_starting(folder.path(), Duration::from_millis(random.u64(..40)));
                }
                *server = Some(ServerProcess::start(folder.path()));
            }
        }
    }

    /// Stops it and gives the folder that its data are in.
    pub(crate) async fn stop(self) -> Arc<TempDir> {
        match self {
            Self::Here(server) => {
                let folder = server.folder();
                server.stop().await;
                folder
            }
            Self::Process(server, folder) => {
                assert_eq!(server.unwrap().terminate(), Some(0), "it stops in order");
                folder
            }
        }
    }
}
