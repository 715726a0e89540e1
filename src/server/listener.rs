//! The listening socket. It survives what a full machine does to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;

/// A silent peer is asked for a sign of life after this, and given up after as long again.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Sent bytes that are not acknowledged for so long end a connection.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait when the machine has no more sockets to give.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    permits: Arc<Semaphore>,
}

impl Listener {
    pub(super) async fn bind(address: SocketAddr, connections_max: usize) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let permits = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
        Ok(Self { listener, address, permits })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections as they come, each to be closed by `closer` or a child of its own.
    pub(super) fn connections(
        self,
        closer: CancellationToken,
    ) -> impl Stream<Item = io::Result<Connection>> {
        async_stream::stream! {
            loop {
                let socket = match self.listener.accept().await {
                    Ok((socket, _)) => socket,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                        continue;
                    }
                };
                let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
                    tracing::warn!("too many connections: one was refused");
                    continue;
                };
                if let Err(error) = prepare(&socket) {
                    // The peer has gone already, as far as is known.
                    tracing::debug!(%error, "a connection could not be set up");
                    continue;
                }
                yield Ok(Connection::new(socket, closer.child_token(), permit));
            }
        }
    }
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    Ok(())
}
