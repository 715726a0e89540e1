//! The listening sockets. They survive what a full machine does to them, and refuse visibly but
//! without flooding the log.

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
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
/// Connections that wait to be accepted: as many as come in one moment when a server is back.
const BACKLOG_CONNECTIONS_MAX: u32 = 1_024;
/// How often another free port is tried, when one that was free for the first address is not free
/// for the others. That it happens at all is rare.
const FREE_PORT_TRIES: usize = 16;

#[derive(Debug)]
pub(super) struct Listener {
    sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    /// The socket that is looked at first, each in turn, so that none keeps the others waiting.
    first: usize,
    warnings: Warnings,
}

impl Listener {
    /// Listens on all of `addresses`. Those with port 0 get the same one. An address that this
    /// machine does not have is left out with a warning, if another one is there: `localhost` often
    /// has one of IPv6 where there is no IPv6.
    ///
    /// # Errors
    /// The address that cannot be listened on, and what the machine said.
    pub(super) fn bind(addresses: &[SocketAddr]) -> Result<Self, (SocketAddr, io::Error)> {
        assert!(!addresses.is_empty(), "the configuration was checked");
        let is_free = addresses.iter().any(|address| address.port() == 0);
        let mut tries_left = if is_free { FREE_PORT_TRIES } else { 0 };
        loop {
            match Self::bind_once(addresses) {
                Err((_, error)) if tries_left > 0 && error.kind() == io::ErrorKind::AddrInUse => {
                    tries_left -= 1;
                }
                done => return done,
            }
        }
    }

    fn bind_once(addresses: &[SocketAddr]) -> Result<Self, (SocketAddr, io::Error)> {
        let mut it =
            Self { sockets: vec![], addresses: vec![], first: 0, warnings: Warnings::default() };
        let mut free_port = None;
        let mut missing = Vec::new();
        // A socket for all addresses of IPv6 would else take those of IPv4 too.
        let only_v6 = addresses.iter().any(SocketAddr::is_ipv4);
        for &wanted in addresses {
            let mut address = wanted;
            if let (0, Some(port)) = (address.port(), free_port) {
                address.set_port(port);
            }
            match listen(address, only_v6) {
                Ok((socket, address)) => {
                    if wanted.port() == 0 {
                        free_port = Some(address.port());
                    }
                    it.sockets.push(socket);
                    it.addresses.push(address);
                }
                Err(error) if is_missing(&error) => missing.push((address, error)),
                Err(error) => return Err((address, error)),
            }
        }
        if it.sockets.is_empty() && !missing.is_empty() {
            return Err(missing.swap_remove(0));
        }
        for (address, error) in missing {
            tracing::warn!(%address, %error, "this machine does not have the address: left out");
        }
        Ok(it)
    }

    /// Where it listens.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The next connection that has a place among `connections`, with its socket free of this
    /// thread.
    pub(super) async fn accept(
        &mut self,
        connections: &Connections,
    ) -> (std::net::TcpStream, Place) {
        loop {
            let accepted = tokio::select! {
                accepted = next(&self.sockets, &mut self.first) => accepted,
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

/// A socket that listens on `address`, and the address with the port that it got.
fn listen(address: SocketAddr, only_v6: bool) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Else the port of a server that has just ended is not free for a while.
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() && only_v6 {
        SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG_CONNECTIONS_MAX)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Whether the machine does not have the address, or none of its kind.
fn is_missing(error: &io::Error) -> bool {
    let missing = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT];
    missing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The next connection on any of `sockets`, of which `first` is looked at first.
async fn next(sockets: &[TcpListener], first: &mut usize) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|cx| {
        for offset in 0..sockets.len() {
            let at = (*first + offset) % sockets.len();
            if let Poll::Ready(accepted) = sockets[at].poll_accept(cx) {
                *first = at + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
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
