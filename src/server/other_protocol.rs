//! Clients that speak something else than HTTP/2: what it is, by their first bytes, and an answer
//! that they understand.
//!
//! Reads and writes a bounded number of bytes. What a client asks for is never looked at.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a client speaks instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// An older HTTP. To a HEAD an answer has no body.
    Http1 {
        /// Whether it is a HEAD.
        is_head: bool,
    },
    /// TLS.
    Tls,
    /// Nothing that is known here.
    Unknown,
}

/// Longest method of HTTP that is looked for: longer than all that are registered (RFC 9110,
/// section 18.2).
const METHOD_BYTES_MAX: usize = 20;
/// The record of a ClientHello, and the first byte of its version (RFC 8446, section 5.1).
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];
/// A fatal alert `protocol_version`: of all that the client offers, none is spoken here (RFC 8446,
/// section 6.2).
const TLS_ALERT: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 70];
/// How much of what the client still sends is read, so that it gets the answer: with bytes unread,
/// closing would be a reset, at which many clients drop what they have received.
const LINGER_BYTES_MAX: usize = 64 << 10;

impl Other {
    /// What `first` is the beginning of, which is not HTTP/2; `None` if more has to be seen.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        if TLS_HANDSHAKE.starts_with(first) && first.len() < TLS_HANDSHAKE.len() {
            return None;
        }
        if first.starts_with(&TLS_HANDSHAKE) {
            return Some(Self::Tls);
        }
        let is_method = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
        let method = first.iter().take_while(|byte| is_method(byte)).count();
        match first.get(method) {
            None if method <= METHOD_BYTES_MAX => None,
            Some(b' ') if (1..=METHOD_BYTES_MAX).contains(&method) => {
                Some(Self::Http1 { is_head: &first[..method] == b"HEAD" })
            }
            _ => Some(Self::Unknown),
        }
    }

    /// Says to the client what is spoken here, if it can be said, and closes the connection once the
    /// client has closed its side. The caller bounds the time that this may take.
    pub(super) async fn answer(self, mut tcp: TcpStream) -> io::Result<()> {
        match self {
            Self::Http1 { is_head } => {
                tcp.write_all(http1_answer(tcp.local_addr()?, is_head).as_bytes()).await?;
            }
            Self::Tls => tcp.write_all(&TLS_ALERT).await?,
            Self::Unknown => return Ok(()),
        }
        tcp.shutdown().await?;
        linger(tcp).await
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 { .. } => "the client speaks an older HTTP than HTTP/2",
            Self::Tls => "the client speaks TLS, which is not spoken here",
            Self::Unknown => "the client does not speak HTTP/2",
        })
    }
}

/// 505 says which version of the protocol would do (RFC 9110, section 15.6.6). Not 426: the upgrade
/// from HTTP/1.1 that it would offer was taken out of HTTP/2 (RFC 9113, section 3.1).
fn http1_answer(here: SocketAddr, is_head: bool) -> String {
    let sentence = format!(
        "This port speaks gRPC over HTTP/2 without TLS, and not HTTP/1.1: call it with a gRPC \
         client, such as: grpcurl -plaintext {here} list\n"
    );
    let length = sentence.len();
    let body = if is_head { "" } else { &sentence };
    format!(
        "HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Reads until the client has closed its side, or has sent too much.
async fn linger(mut tcp: TcpStream) -> io::Result<()> {
    let (mut buffer, mut left) = ([0; 512], LINGER_BYTES_MAX);
    while left > 0 {
        match tcp.read(&mut buffer).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}
