//! The server of a history: in this process and restarted in order, or a process that is killed.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::harness::{Setup, TestServer};
use crate::server::process::{ServerProcess, kill_while_starting};

pub(crate) enum ServerUnderTest {
    InProcess(Box<TestServer>),
    Process(Option<ServerProcess>, Arc<TempDir>),
}

impl ServerUnderTest {
    /// A server in this process.
    pub(crate) async fn in_process(setup: Setup) -> Self {
        Self::InProcess(Box::new(setup.start().await))
    }

    /// The built program.
    pub(crate) fn process() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::Process(Some(ServerProcess::start(folder.path())), folder)
    }

    /// A channel to it, good until the next restart.
    pub(crate) fn channel(&self) -> Channel {
        match self {
            Self::InProcess(server) => server.channel(),
            Self::Process(server, _) => {
                let address = server.as_ref().unwrap().address();
                Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
            }
        }
    }

    /// Stops or kills it, and starts it again. A process is sometimes killed while it recovers,
    /// too.
    pub(crate) async fn restart(&mut self, random: &mut fastrand::Rng) {
        match self {
            Self::InProcess(server) => server.restart().await,
            Self::Process(server, folder) => {
                server.take().unwrap().kill();
                for _ in 0..random.usize(..3) {
                    kill_while_starting(folder.path(), Duration::from_millis(random.u64(..40)));
                }
                *server = Some(ServerProcess::start(folder.path()));
            }
        }
    }

    /// Stops it in order, and returns its data folder.
    pub(crate) async fn stop(self) -> Arc<TempDir> {
        match self {
            Self::InProcess(server) => {
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
