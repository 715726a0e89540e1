//! The few HTTP/2 frames (RFC 9113, section 4) that a reader of live feeds needs. Never reads header
//! fields: what a stream was refused for, another client has to ask.

use bytes::{BufMut, BytesMut};

/// What a client sends first (section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before the payload of a frame: length (3), type (1), flags (1), stream (4).
const HEADER_BYTES: usize = 9;
/// The largest window, and the one that a connection begins with (section 6.9).
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;
const FIRST_WINDOW_BYTES: u32 = (1 << 16) - 1;
/// The setting of a stream's window (section 6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Types (section 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
}

/// Flags (section 6).
mod flag {
    pub(super) const ACK: u8 = 1;
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
}

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Data {
        stream: u32,
        payload: &'a [u8],
    },
    /// The stream has ended.
    End {
        stream: u32,
    },
    /// Settings, which the client has to acknowledge.
    Settings,
    /// The client has to answer with the same bytes.
    Ping {
        payload: &'a [u8],
    },
    /// The server closes the connection.
    GoAway,
    /// Nothing that matters here.
    Other,
}

/// The first frame in `bytes` and its length; `None` if it is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [l0, l1, l2, kind, flags, stream @ ..] = *header;
    let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
    let payload = rest.get(..length)?;
    // The first bit of the stream is reserved.
    let stream = u32::from_be_bytes(stream) & WINDOW_BYTES_MAX;
    let is_end = flags & flag::END_STREAM != 0;
    let frame = match kind {
        // A server that ends a gRPC stream ends it with headers (trailers).
        kind::DATA => Frame::Data { stream, payload },
        kind::HEADERS if is_end => Frame::End { stream },
        kind::RST_STREAM => Frame::End { stream },
        kind::SETTINGS if flags & flag::ACK == 0 => Frame::Settings,
        kind::PING if flags & flag::ACK == 0 => Frame::Ping { payload },
        kind::GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    };
    Some((frame, HEADER_BYTES + length))
}

/// Begins a connection whose windows are as large as they can be.
pub(super) fn put_preface(out: &mut BytesMut) {
    out.put_slice(PREFACE);
    put_header(out, 6, kind::SETTINGS, 0, 0);
    out.put_u16(INITIAL_WINDOW_SIZE);
    out.put_u32(WINDOW_BYTES_MAX);
    put_window_update(out, 0, WINDOW_BYTES_MAX - FIRST_WINDOW_BYTES);
}

/// What the header fields of a call say.
#[derive(Clone, Copy)]
pub(super) struct CallHead<'a> {
    pub(super) is_tls: bool,
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    /// The value of the field `authorization`, if the call has one.
    pub(super) authorization: Option<&'a str>,
}

/// Begins a gRPC call, whose only message is `message`.
pub(super) fn put_call(out: &mut BytesMut, stream: u32, head: CallHead<'_>, message: &[u8]) {
    let mut block = BytesMut::new();
    let fields = [
        (":method", "POST"),
        (":scheme", if head.is_tls { "https" } else { "http" }),
        (":path", head.path),
        (":authority", head.authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in fields {
        // A literal field without indexing, with a literal name (RFC 7541, section 6.2.2).
        block.put_u8(0);
        put_string(&mut block, name);
        put_string(&mut block, value);
    }
    if let Some(token) = head.authorization {
        // One that no proxy on the way may index either (section 6.2.3).
        block.put_u8(0x10);
        put_string(&mut block, "authorization");
        put_string(&mut block, token);
    }
    put_header(out, block.len(), kind::HEADERS, flag::END_HEADERS, stream);
    out.put_slice(&block);
    put_header(out, 5 + message.len(), kind::DATA, flag::END_STREAM, stream);
    // Not compressed, and the length (gRPC over HTTP/2, "Length-Prefixed-Message").
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(message);
}

/// Allows the server to send `bytes` more on `stream`, or on the connection, which is stream 0.
pub(super) fn put_window_update(out: &mut BytesMut, stream: u32, bytes: u32) {
    put_header(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.put_u32(bytes);
}

pub(super) fn put_settings_ack(out: &mut BytesMut) {
    put_header(out, 0, kind::SETTINGS, flag::ACK, 0);
}

pub(super) fn put_ping_ack(out: &mut BytesMut, payload: &[u8]) {
    put_header(out, payload.len(), kind::PING, flag::ACK, 0);
    out.put_slice(payload);
}

fn put_header(out: &mut BytesMut, length: usize, kind: u8, flags: u8, stream: u32) {
    // Three bytes of length.
    out.put_slice(&(length as u32).to_be_bytes()[1..]);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
}

/// A string of header compression, not Huffman-coded (RFC 7541, section 5.2).
fn put_string(out: &mut BytesMut, text: &str) {
    /// What fits into the seven bits of the first byte.
    const SHORT: usize = 127;
    if text.len() < SHORT {
        out.put_u8(text.len() as u8);
    } else {
        out.put_u8(SHORT as u8);
        let mut rest = text.len() - SHORT;
        while rest >= 128 {
            out.put_u8((rest % 128 + 128) as u8);
            rest /= 128;
        }
        out.put_u8(rest as u8);
    }
    out.put_slice(text.as_bytes());
}
