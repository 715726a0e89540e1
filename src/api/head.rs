//! The head of a request: method, path and headers. Refuses requests that are no gRPC call. Never
//! reads the body.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::Status;
use tonic::body::Body;

use super::framing::{Compression, MessageCount};
use super::status;

const ENCODING_HEADER: &str = "grpc-encoding";
/// The media type of a call, before an optional subtype (gRPC over HTTP/2, "Requests").
const GRPC: &str = "application/grpc";
/// Path prefix of the only service with several messages in a request, in all its versions.
const REFLECTION: &str = "/grpc.reflection.";

/// The refusal if `request` is no gRPC call. It is plain HTTP, because only a gRPC client
/// understands a gRPC status. Such requests are expected: a page in a browser can send a GET or a
/// form to any address without consent of the server.
pub(super) fn refuse_non_grpc<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.method() != Method::POST {
        let mut refusal = plain(
            request.method(),
            StatusCode::METHOD_NOT_ALLOWED,
            "This port speaks gRPC: a call is a POST to /package.Service/Method by a gRPC client.\n",
        );
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(refusal);
    }
    if subtype(request.headers()).is_none() {
        return Some(plain(
            request.method(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "This port speaks gRPC: the content-type of a call is application/grpc, and its body \
             Protobuf messages in gRPC frames. JSON and gRPC-Web are not supported.\n",
        ));
    }
    None
}

/// The compression of a call's messages. Removes its header, because the services receive
/// decompressed messages.
///
/// # Errors
/// The messages are not Protobuf, or their compression is not supported.
pub(super) fn take_compression(headers: &mut HeaderMap) -> Result<Compression, Status> {
    match subtype(headers) {
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

/// The subtype in the content-type: "" if there is none, `None` if the type is not gRPC's.
fn subtype(headers: &HeaderMap) -> Option<&str> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (media_type, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    let media_type = media_type.trim_end();
    let (grpc, rest) = media_type.split_at_checked(GRPC.len())?;
    if !grpc.eq_ignore_ascii_case(GRPC) {
        return None;
    }
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('+') }
}

fn plain(method: &Method, code: StatusCode, sentence: &'static str) -> Response<Body> {
    // The answer to a HEAD has no body.
    let sentence = if method == Method::HEAD { "" } else { sentence };
    let mut response = Response::new(Body::new(sentence.to_owned()));
    *response.status_mut() = code;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
