//! Protocols other than HTTP/2, by the first bytes of a connection, and the answers to those that are not served.
//!
//! Reads and writes a bounded number of bytes. Never parses the request.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::first_bytes::FirstBytes;
use super::transport::Transport;

/// The protocol that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherProtocol {
    /// HTTP/1.1 or older. The answer to a HEAD request has no body.
    Http1 {
        is_head: bool,
    },
    Tls,
    Unknown,
}

/// Longest HTTP method that is recognised: longer than all registered ones (RFC 9110, section
/// 18.2).
const METHOD_BYTES_MAX: usize = 20;
/// The record type of a ClientHello, and the first byte of its version (RFC 8446, section 5.1).
pub(super) const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];
/// The fatal alert `protocol_version`: no offered version is supported (RFC 8446, section 6.2).
const TLS_ALERT: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 70];
/// How many bytes are read after the answer. Closing with unread bytes would send a reset, at which
/// many clients discard the answer.
const LINGER_BYTES_MAX: usize = 64 << 10;

impl OtherProtocol {
    /// The protocol of a client that began with `first`, which is not HTTP/2; `None` if more bytes
    /// are needed.
    pub(super) fn detect(first: &[u8]) -> Option<Self> {
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

    /// Answers a client that is not served in its protocol, if it is known, and closes the connection once the
    /// client has closed its side. The caller limits the time.
    pub(super) async fn answer(self, transport: Transport) -> io::Result<()> {
        match self {
            Self::Tls => close_after(transport, &TLS_ALERT).await,
            Self::Http1 { .. } | Self::Unknown => Ok(()),
        }
    }
}

impl fmt::Display for OtherProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 { .. } => "the client speaks an older HTTP than HTTP/2",
            Self::Tls => "the client speaks TLS, and this server was started without",
            Self::Unknown => "the client does not speak HTTP/2",
        })
    }
}

/// Answers a client of a server with TLS that does not begin with it, in clear text. Gives what the
/// client speaks. The caller limits the time.
pub(super) async fn answer_without_tls(mut tcp: TcpStream) -> io::Result<&'static str> {
    let here = tcp.local_addr()?;
    let sentence = format!("This port speaks TLS: call https://{here}");
    match FirstBytes::read(&mut tcp).await?.other {
        None => {
            close_after(tcp, &http2_refusal(&sentence)).await?;
            Ok("HTTP/2 without TLS")
        }
        Some(OtherProtocol::Http1 { is_head }) => {
            let answer = http1_answer("400 Bad Request", &(sentence + "\n"), is_head);
            close_after(tcp, answer.as_bytes()).await?;
            Ok("HTTP/1.1 without TLS")
        }
        Some(OtherProtocol::Tls | OtherProtocol::Unknown) => Ok("no known protocol"),
    }
}

fn http1_answer(status: &str, sentence: &str, is_head: bool) -> String {
    let length = sentence.len();
    let body = if is_head { "" } else { sentence };
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The frames SETTINGS and GOAWAY of HTTP/2 (RFC 9113, sections 6.5 and 6.8), with `why` as debug
/// data, which clients show.
fn http2_refusal(why: &str) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 0x4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 6] = [0x7, 0, 0, 0, 0, 0];
    const LAST_STREAM: [u8; 4] = [0; 4];
    const INADEQUATE_SECURITY: [u8; 4] = [0, 0, 0, 0xc];
    let length = LAST_STREAM.len() + INADEQUATE_SECURITY.len() + why.len();
    // The sentence is far below the 16 KiB that a frame may have.
    let [_, length @ ..] = (length as u32).to_be_bytes();
    let goaway = [&GOAWAY[..], &LAST_STREAM, &INADEQUATE_SECURITY, why.as_bytes()];
    [&SETTINGS[..], &length, &goaway.concat()].concat()
}

/// Sends the last bytes of a connection, and closes it once the client has closed its side.
async fn close_after(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &[u8],
) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    linger(stream).await
}

/// Reads until the client closes its side, or [`LINGER_BYTES_MAX`] are read.
pub(super) async fn linger(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    let (mut buffer, mut left) = ([0; 512], LINGER_BYTES_MAX);
    while left > 0 {
        match stream.read(&mut buffer).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}
