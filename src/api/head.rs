//! The head of a request: path and headers. Never reads the body.

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use tonic::Status;

use super::framing::{Compression, MessageCount};
use super::status;

const ENCODING_HEADER: &str = "grpc-encoding";
/// The media type of a call, before an optional subtype (gRPC over HTTP/2, "Requests").
const GRPC: &str = "application/grpc";
/// Path prefix of the only service with several messages in a request, in all its versions.
const REFLECTION: &str = "/grpc.reflection.";

/// The compression of a call's messages. Removes its header, because the services receive
/// decompressed messages.
///
/// # Errors
/// The messages are not Protobuf, or their compression is not supported.
pub(super) fn take_compression(headers: &mut HeaderMap) -> Result<Compression, Status> {
    match media_type(headers).and_then(grpc_subtype) {
        None | Some("" | "proto") => {}
        Some(other) => return Err(status::unsupported_format(other)),
    }
    let compression = match single_value(headers, ENCODING_HEADER)?.map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Compression::Identity,
        Some(b"gzip") => Compression::Gzip,
        Some(other) => {
            return Err(status::unsupported_compression(&String::from_utf8_lossy(other)));
        }
    };
    headers.remove(ENCODING_HEADER);
    Ok(compression)
}

/// How many request messages a call to `path` has.
pub(super) fn message_count(path: &str) -> MessageCount {
    if path.starts_with(REFLECTION) { MessageCount::Many } else { MessageCount::One }
}

/// Whether the answer to a call to `path` is a stream of messages. Then its RPC is called `Watch…`,
/// or is reflection.
pub(super) fn is_stream(path: &str) -> bool {
    let rpc = path.rsplit('/').next().unwrap_or_default();
    rpc.starts_with("Watch")
        || ["CheckIndex", "ReadSegment"].contains(&rpc)
        || message_count(path) == MessageCount::Many
}

/// The value of a header that a call has at most once.
///
/// # Errors
/// The header is there more than once.
pub(super) fn single_value<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a HeaderValue>, Status> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(status::invalid_metadata(name, "is there more than once: send it once"));
    }
    Ok(first)
}

/// The media type of a request, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (media_type, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    Some(media_type.trim_end())
}

/// The subtype in a media type of gRPC: "" if there is none, `None` if it is another's.
pub(super) fn grpc_subtype(media_type: &str) -> Option<&str> {
    let (grpc, rest) = media_type.split_at_checked(GRPC.len())?;
    if !grpc.eq_ignore_ascii_case(GRPC) {
        return None;
    }
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('+') }
}

/// Whether a header or a trailer is gRPC's own.
pub(super) fn is_grpc(name: &HeaderName) -> bool {
    name.as_str().starts_with("grpc-")
}
