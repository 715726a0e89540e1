//! The listening socket. It survives what a full machine does to it, and refuses visibly but
//! without flooding the log.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

use super::connections::{Connections, Place};

/// A silent peer is asked for a sign of life after this, and given up after as long again.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Sent bytes that are not acknowledged for so long end a connection.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait when the machine has no more sockets to give.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// Between two warnings: what is attacked should not fill its disk as well.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    warnings: Warnings,
}

impl Listener {
    pub(super) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, warnings: Warnings::default() })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection that has a place among `connections`, with its socket free of this
    /// thread.
    pub(super) async fn accept(
        &mut self,
        connections: &Connections,
    ) -> (std::net::TcpStream, Place) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = self.warnings.due() => {
                    self.warnings.tell();
                    continue;
                }
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.warnings.add(format!("cannot accept a connection: {error}"));
                    sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                }
            };
            let place = match connections.admit(peer.ip()) {
                Ok(place) => place,
                Err(refusal) => {
                    self.warnings.add(format!("refused a connection from {peer}: {refusal}"));
                    continue;
                }
            };
            match prepare(socket) {
                Ok(socket) => return (socket, place),
                // The peer has gone already, as far as is known.
                Err(error) => tracing::debug!(%error, "a connection could not be set up"),
            }
        }
    }
}

fn prepare(socket: TcpStream) -> io::Result<std::net::TcpStream> {
    socket.set_nodelay(true)?;
    let options = SockRef::from(&socket);
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    options.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    socket.into_std()
}

/// Warnings that may come in floods: the first is told at once, those after it as a number and the
/// last of them.
#[derive(Debug, Default)]
struct Warnings {
    last: String,
    untold: u64,
    told_at: Option<Instant>,
}

impl Warnings {
    fn add(&mut self, warning: String) {
        self.last = warning;
        self.untold += 1;
        if self.told_at.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            self.tell();
        }
    }

    /// Waits until there is something to tell again; for ever, if there is nothing.
    async fn due(&self) {
        match self.told_at {
            Some(at) if self.untold > 0 => sleep_until(at + WARNING_INTERVAL).await,
            _ => pending().await,
        }
    }

    fn tell(&mut self) {
        tracing::warn!(times = self.untold, "{}", self.last);
        self.untold = 0;
        self.told_at = Some(Instant::now());
    }
}
