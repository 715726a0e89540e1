//! A proxy before a server. A test can hold back the server's responses, or cut the connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::patience::{eventually, within};

/// Forwards everything to a server, and back unless the test holds it.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    server: watch::Sender<SocketAddr>,
    holding: watch::Sender<bool>,
    cuts: watch::Sender<()>,
    asked_bytes: Arc<AtomicU64>,
    passing: JoinSet<()>,
}

impl Gate {
    /// A gate before the server at `server`.
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let gate = Self {
            address,
            server: watch::Sender::new(server),
            holding: watch::Sender::new(false),
            cuts: watch::Sender::new(()),
            asked_bytes: Arc::default(),
            passing: JoinSet::new(),
        };
        gate.accepting(listener)
    }

    /// The address that clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends new connections to another server. Open connections stay.
    pub(crate) fn leads_to(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }

    /// Breaks all connections.
    pub(crate) fn cut(&self) {
        self.cuts.send_replace(());
    }

    /// A channel through the gate.
    pub(crate) fn channel(&self) -> Channel {
        let address = format!("http://{}", self.address);
        Endpoint::from_shared(address).expect("an address").connect_lazy()
    }

    /// Holds back the responses of the server from now on. Requests still pass.
    pub(crate) fn hold(&self) {
        self.holding.send_replace(true);
    }

    /// Lets the responses of the server pass again.
    pub(crate) fn release(&self) {
        self.holding.send_replace(false);
    }

    /// Makes `call`, and releases the responses once its request has passed the gate.
    pub(crate) async fn release_once_asked<T>(&self, call: impl Future<Output = T>) -> T {
        let before = self.asked_bytes.load(Ordering::SeqCst);
        let asked = async {
            let more = async || (self.asked_bytes.load(Ordering::SeqCst) > before).then_some(());
            eventually("the call to pass the gate", more).await;
            self.release();
        };
        within("an answer through the gate", async { tokio::join!(call, asked).0 }).await
    }

    fn accepting(mut self, listener: TcpListener) -> Self {
        let (server, holding) = (self.server.subscribe(), self.holding.subscribe());
        let (cuts, asked_bytes) = (self.cuts.clone(), Arc::clone(&self.asked_bytes));
        self.passing.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = *server.borrow();
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (holding, asked_bytes) = (holding.clone(), Arc::clone(&asked_bytes));
                let mut cut = cuts.subscribe();
                connections.spawn(async move {
                    tokio::select! {
                        () = pass(from_client, to_server, None, asked_bytes) => {}
                        () = pass(from_server, to_client, Some(holding), Arc::default()) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        self
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut holding: Option<watch::Receiver<bool>>,
    passed_bytes: Arc<AtomicU64>,
) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if let Some(holding) = &mut holding
            && holding.wait_for(|is_held| !is_held).await.is_err()
        {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        passed_bytes.fetch_add(read as u64, Ordering::SeqCst);
    }
}
