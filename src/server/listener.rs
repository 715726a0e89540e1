//! The listening sockets. Errors of a machine without free sockets do not end them. Each refused
//! connection is counted in the log, but a flood of refusals never floods the log.

use std::future::{pending, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::task::Poll;
use std::time::Duration;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, getrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, sleep_until};

use super::connection_metrics::RefusedConnection;
use super::connections::{ConnectionSlot, Connections};
use crate::runtime::WarningThrottle;

/// Idle time before the first TCP keepalive probe.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// A connection ends when sent bytes are not acknowledged for this long.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait after a failed accept, as when the machine has no more sockets.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted: about as many as come at once after a restart. The
/// kernel's own limit, 4,096 by default on Linux, holds besides.
const BACKLOG_CONNECTIONS_MAX: u32 = 4_096;
/// Files that stay for the server itself when there are too many connections: for a segment of the log and
/// for what it looks at each second. Without them it could not go on.
const SPARE_FILES: u64 = 16;
/// How often another free port is tried when a port that is free on the first address is not free
/// on the others. This is rare.
const FREE_PORT_TRIES: usize = 16;

#[derive(Debug)]
pub(super) struct Listener {
    sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    /// Index of the socket to poll first. It rotates, so that no socket starves the others.
    first: usize,
    warnings: WarningThrottle,
}

/// A connection of which no byte was read.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Not bound to a runtime.
    pub(super) socket: std::net::TcpStream,
    pub(super) slot: ConnectionSlot,
    /// The address of the other end of the socket.
    pub(super) address: IpAddr,
}

impl Listener {
    /// Listens on all of `addresses`. Those with port 0 share one free port. An address that this
    /// machine does not have is left out with a warning if another one works: `localhost` often
    /// has an IPv6 address where there is no IPv6.
    ///
    /// # Errors
    /// The address that cannot be listened on, and the error of the operating system.
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
        let mut it = Self {
            sockets: vec![],
            addresses: vec![],
            first: 0,
            warnings: WarningThrottle::default(),
        };
        let mut free_port = None;
        let mut missing = Vec::new();
        // Without this option, a socket for all IPv6 addresses takes the IPv4 addresses too.
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
            tracing::warn!(%address, %error, "not listening on an address this machine lacks");
        }
        Ok(it)
    }

    /// The sockets, bound to no runtime.
    ///
    /// # Errors
    /// The operating system refuses it.
    pub(super) fn into_sockets(self) -> io::Result<Vec<std::net::TcpListener>> {
        self.sockets.into_iter().map(TcpListener::into_std).collect()
    }

    /// The addresses it listens on.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether the process may open another file, and [`SPARE_FILES`] more.
    fn check_spare_files(&self) -> io::Result<()> {
        let Some(files_max) = getrlimit(Resource::Nofile).current else { return Ok(()) };
        let Some(any) = self.sockets.first() else { return Ok(()) };
        // The number of a new file is the least that is free.
        let lowest = fcntl_dupfd_cloexec(any, 0)?.as_raw_fd();
        if u64::try_from(lowest).is_ok_and(|lowest| lowest + SPARE_FILES < files_max) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "of {files_max} open files, the last {SPARE_FILES} are spared"
        )))
    }

    /// The next connection that `connections` admits.
    pub(super) async fn accept(&mut self, connections: &Connections) -> Accepted {
        loop {
            if let Err(error) = self.check_spare_files() {
                connections.metrics().refused(RefusedConnection::NoFiles);
                self.warnings.add(format!("cannot accept a connection: {error}"));
                sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
            let accepted = tokio::select! {
                accepted = next(&self.sockets, &mut self.first) => accepted,
                () = due(&self.warnings) => {
                    self.warnings.log_due();
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
            let slot = match connections.admit(peer.ip()) {
                Ok(slot) => slot,
                Err(refusal) => {
                    self.warnings.add(format!("refused a connection from {peer}: {refusal}"));
                    continue;
                }
            };
            match prepare(socket) {
                Ok(socket) => return Accepted { socket, slot, address: peer.ip().to_canonical() },
                // Most likely the client has disconnected already.
                Err(error) => tracing::debug!(%error, "a connection could not be set up"),
            }
        }
    }
}

/// A socket that listens on `address`, and the address with the actual port.
fn listen(address: SocketAddr, only_v6: bool) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Without this option, the port of a server that has just ended stays in use for a while.
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() && only_v6 {
        SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG_CONNECTIONS_MAX)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Whether the machine does not have the address, or no address of its family.
fn is_missing(error: &io::Error) -> bool {
    let missing = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT];
    missing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The next connection on any of `sockets`, which are polled from index `first` on.
pub(super) async fn next(
    sockets: &[TcpListener],
    first: &mut usize,
) -> io::Result<(TcpStream, SocketAddr)> {
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

/// Waits until counted warnings may be logged; for ever if there are none.
async fn due(warnings: &WarningThrottle) {
    match warnings.due() {
        Some(at) => sleep_until(at).await,
        None => pending().await,
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
