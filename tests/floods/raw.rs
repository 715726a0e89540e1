//! An HTTP/2 client that sends any frames, and reads only what a flood lets it read.

use std::io;
use std::net::SocketAddr;

use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The error code of a client that makes too much work.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

/// Bytes of one system call.
const WRITTEN_AT_ONCE: usize = 16 << 10;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The windows that a client grants for the answers.
#[derive(Clone, Copy)]
pub(crate) enum Windows {
    /// None at all.
    Closed,
    /// Those that a client begins with.
    Small,
    /// As large as there are.
    Open,
}

/// A connection on which any bytes are sent.
pub(crate) struct Raw {
    socket: TcpStream,
    next_stream: u32,
    /// Frames that were not sent yet.
    pending: Vec<u8>,
}

/// A frame of any type.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is below 16 MiB").to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// A header that no table keeps, for HPACK.
pub(crate) fn header(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    put_length(&mut bytes, name.len());
    bytes.extend_from_slice(name.as_bytes());
    put_length(&mut bytes, value.len());
    bytes.extend_from_slice(value);
    bytes
}

/// An integer with a prefix of 7 bits (RFC 7541, section 5.1).
pub(crate) fn put_length(bytes: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return bytes.push(length as u8);
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
}

/// The headers of a gRPC call.
pub(crate) fn call_headers(path: &str) -> Vec<u8> {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "flood"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    .map(|(name, value)| header(name, value.as_bytes()))
    .concat()
}

/// `message` as gRPC sends it.
pub(crate) fn grpc_frame(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).expect("a small message").to_be_bytes();
    [&[0], &length[..], &bytes].concat()
}

impl Raw {
    pub(crate) async fn connect(to: SocketAddr, windows: Windows) -> io::Result<Self> {
        Self::begin(TcpStream::connect(to).await?, windows).await
    }

    /// A connection whose client has as little room for what it does not read as there may be.
    pub(crate) async fn connect_taking_little(to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(1_024)?;
        Self::begin(socket.connect(to).await?, Windows::Open).await
    }

    async fn begin(socket: TcpStream, windows: Windows) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let window = match windows {
            Windows::Closed => 0_u32,
            Windows::Small => 65_535,
            Windows::Open => (1 << 31) - 1,
        };
        let setting = [&[0, 4], &window.to_be_bytes()[..]].concat();
        let mut raw = Self { socket, next_stream: 1, pending: PREFACE.to_vec() };
        raw.add(&frame(SETTINGS, 0, 0, &setting));
        if window > 65_535 {
            raw.add(&frame(WINDOW_UPDATE, 0, 0, &(window - 65_535).to_be_bytes()));
        }
        raw.send().await?;
        Ok(raw)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Adds the headers of a call, and gives its stream.
    pub(crate) fn add_call(&mut self, path: &str, more: &[u8], flags: u8) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let block = [&call_headers(path), more].concat();
        self.add(&frame(HEADERS, flags | END_HEADERS, stream, &block));
        stream
    }

    /// Adds a whole call.
    pub(crate) fn add_whole_call(&mut self, path: &str, message: &impl Message) -> u32 {
        let stream = self.add_call(path, &[], 0);
        self.add(&frame(DATA, END_STREAM, stream, &grpc_frame(message)));
        stream
    }

    /// Sends what was added.
    pub(crate) async fn send(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.pending);
        write(&mut self.socket, &bytes).await
    }

    /// What was added and not sent.
    pub(crate) fn take_pending(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// Sends `bytes`, and stays until the server closes the connection. Reads meanwhile. Gives the code
    /// of its GOAWAY.
    pub(crate) async fn send_and_stay(mut self, bytes: &[u8]) -> Option<u32> {
        let (reader, mut writer) = self.socket.split();
        tokio::join!(read_goaway(reader), async { drop(write(&mut writer, bytes).await) }).0
    }

    /// Sends `bytes` until the server closes the connection. Reads meanwhile, so that the server can
    /// send.
    pub(crate) async fn send_for_ever(mut self, bytes: &[u8]) {
        let (mut reader, mut writer) = self.socket.split();
        let read = async {
            let mut buffer = vec![0; 64 << 10];
            while reader.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        };
        let write = async { while write(&mut writer, bytes).await.is_ok() {} };
        tokio::join!(read, write);
    }

    /// Waits until the server has closed the connection. Gives the code of its GOAWAY.
    pub(crate) async fn closed(mut self) -> Option<u32> {
        read_goaway(self.socket.split().0).await
    }

    /// Reads frames until `wanted` gives a value; `None` if the connection ends first.
    pub(crate) async fn read_until<T>(
        &mut self,
        mut wanted: impl FnMut(u8, u8, u32, &[u8]) -> Option<T>,
    ) -> Option<T> {
        loop {
            let (kind, flags, stream, payload) = read_frame(&mut self.socket).await.ok()?;
            if let Some(found) = wanted(kind, flags, stream, &payload) {
                return Some(found);
            }
        }
    }
}

/// Writes all of `bytes`, in pieces: a kernel may let nobody else run on a processor during a system call,
/// and the attackers' must not be what the callers wait for.
async fn write(socket: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(WRITTEN_AT_ONCE) {
        socket.write_all(piece).await?;
    }
    Ok(())
}

async fn read_goaway(mut socket: impl tokio::io::AsyncRead + Unpin) -> Option<u32> {
    let mut code = None;
    while let Ok((kind, _, _, payload)) = read_frame(&mut socket).await {
        if kind == GOAWAY {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")));
        }
    }
    code
}

async fn read_frame(
    socket: &mut (impl tokio::io::AsyncRead + Unpin),
) -> io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    socket.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    socket.read_exact(&mut payload).await?;
    Ok((kind, flags, u32::from_be_bytes(stream), payload))
}
