//! The head of a request: method, path and headers; and the refusals of those that are no call, in plain HTTP.
//! Never reads the body.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use tonic::Status;
use tonic::body::Body;

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

/// The refusal of another method than `allowed`.
pub(super) fn method_not_allowed(method: &Method, allowed: &'static str) -> Response<Body> {
    let sentence = "A call is a POST to /package.Service/Method. A call that only reads may be a GET with its \
                    message in the query.\n";
    let mut refusal = plain(method, StatusCode::METHOD_NOT_ALLOWED, sentence);
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    refusal
}

/// The refusal of a GET of an RPC that may be called so, without a message.
pub(super) fn query_needed() -> Response<Body> {
    let sentence = "A call by GET has its message in the query, as in ?encoding=json&message={}\n";
    plain(&Method::GET, StatusCode::BAD_REQUEST, sentence)
}

/// The refusal of gRPC over HTTP/1.1, which has no trailers that clients read.
pub(super) fn upgrade_required() -> Response<Body> {
    let sentence = "gRPC needs HTTP/2. Over HTTP/1.1 a call is one in Connect or gRPC-Web, with the \
                    content-type application/json for example.\n";
    let mut refusal = plain(&Method::POST, StatusCode::UPGRADE_REQUIRED, sentence);
    refusal.headers_mut().insert(UPGRADE, HeaderValue::from_static("h2c"));
    refusal
}

/// The refusal of another format than a call may have.
pub(super) fn unsupported_media_type() -> Response<Body> {
    let sentence = "The content-type of a call is application/json or application/proto, of one that is \
                    answered with a stream application/connect+json or application/connect+proto; or \
                    application/grpc, or application/grpc-web.\n";
    plain(&Method::POST, StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence)
}

/// The body of an answer that is there as a whole.
pub(super) fn body(bytes: impl Into<Bytes>) -> Body {
    Body::new(Full::new(bytes.into()))
}

fn plain(method: &Method, code: StatusCode, sentence: &'static str) -> Response<Body> {
    // The answer to a HEAD has no body.
    let sentence = if method == Method::HEAD { "" } else { sentence };
    let mut response = Response::new(body(sentence));
    *response.status_mut() = code;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
