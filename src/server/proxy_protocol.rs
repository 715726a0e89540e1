//! The PROXY header of version 2, with which a proxy begins a connection and says whose it is
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>). Never reads a byte after it.

use std::io;
use std::net::IpAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The part of each header that has the length of the rest.
const START_BYTES: usize = 16;
/// Where the length is, in the last two bytes of the start.
const LENGTH_AT: usize = 14;
/// The signature that a header begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest rest of a header: the addresses, and more than the names and the numbers that proxies
/// are known to add.
const REST_BYTES_MAX: usize = 2_048;

/// Only version 2. What a proxy adds to the addresses is not read.
const CONFIG: ParseConfig = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };

/// Why a connection of a proxy does not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("the connection ended in its PROXY header, or could not be read: {0}")]
    Io(#[from] io::Error),
    #[error(
        "the connection does not begin with a PROXY header of version 2: let the proxy send one, or \
         leave its network out of --proxy-protocol-from"
    )]
    Missing,
    #[error("the PROXY header is malformed")]
    Malformed,
    #[error("the PROXY header has {bytes} bytes after its start, and {REST_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
}

/// Reads the header. Gives the address of the client; `None` if the proxy itself is the client, as
/// when it checks whether the server is there.
///
/// # Errors
/// There is no such header.
pub(super) async fn read(
    socket: &mut (impl AsyncRead + Unpin),
) -> Result<Option<IpAddr>, HeaderError> {
    let mut header = [0; START_BYTES + REST_BYTES_MAX];
    socket.read_exact(&mut header[..SIGNATURE.len()]).await?;
    if !header.starts_with(SIGNATURE) {
        return Err(HeaderError::Missing);
    }
    socket.read_exact(&mut header[SIGNATURE.len()..START_BYTES]).await?;
    let end = START_BYTES + rest_bytes(&header)?;
    socket.read_exact(&mut header[START_BYTES..end]).await?;
    parse(&header[..end])
}

/// The address in a whole header.
pub(super) fn parse(header: &[u8]) -> Result<Option<IpAddr>, HeaderError> {
    let (parsed, bytes) = ProxyHeader::parse(header, CONFIG).map_err(|_| HeaderError::Malformed)?;
    debug_assert_eq!(bytes, header.len(), "the length in the header is that of the header");
    match parsed.proxied_address() {
        None => Ok(None),
        Some(proxied) if proxied.protocol == Protocol::Stream => {
            Ok(Some(proxied.source.ip().to_canonical()))
        }
        Some(_) => Err(HeaderError::Malformed),
    }
}

/// How many bytes follow the start of a header.
fn rest_bytes(header: &[u8]) -> Result<usize, HeaderError> {
    let bytes = usize::from(u16::from_be_bytes([header[LENGTH_AT], header[LENGTH_AT + 1]]));
    if bytes > REST_BYTES_MAX { Err(HeaderError::TooLong { bytes }) } else { Ok(bytes) }
}
