//! The head of a request: whether it is a gRPC call at all, and what it says of the call. Nothing of
//! the body is read here.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::Status;
use tonic::body::Body;

use super::framing::{Encoding, Messages};
use super::status;

const ENCODING_HEADER: &str = "grpc-encoding";
/// The media type of a call, and what may follow it (gRPC over HTTP/2, "Requests").
const GRPC: &str = "application/grpc";
/// The only service with calls of more than one request message, in all its versions.
const REFLECTION: &str = "/grpc.reflection.";

/// Refuses what is no gRPC call, in plain HTTP, as a gRPC status would only be understood by a gRPC
/// client. A page in a browser can send a GET and a form to any address without asking.
pub(super) fn check_is_call<B>(request: &Request<B>) -> Result<(), Response<Body>> {
    if request.method() != Method::POST {
        let mut refused = plain(
            request.method(),
            StatusCode::METHOD_NOT_ALLOWED,
            "This port speaks gRPC: a call is a POST to /package.Service/Method by a gRPC client.\n",
        );
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(refused);
    }
    if subtype(request.headers()).is_none() {
        return Err(plain(
            request.method(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "This port speaks gRPC: the content-type of a call is application/grpc, and its body \
             Protobuf messages in gRPC frames. JSON and gRPC-Web are not spoken.\n",
        ));
    }
    Ok(())
}

/// How the messages of a call are compressed. Forgets what the header said: behind it, nothing is
/// compressed any more.
///
/// # Errors
/// They are not Protobuf, or compressed in a way that is not known here.
pub(super) fn take_encoding(headers: &mut HeaderMap) -> Result<Encoding, Status> {
    match subtype(headers) {
        None | Some("" | "proto") => {}
        Some(other) => return Err(status::unsupported_format(other)),
    }
    let encoding = match single(headers, ENCODING_HEADER)?.map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Encoding::Identity,
        Some(b"gzip") => Encoding::Gzip,
        Some(other) => return Err(status::unsupported_encoding(&String::from_utf8_lossy(other))),
    };
    headers.remove(ENCODING_HEADER);
    Ok(encoding)
}

/// How many request messages a call to `path` has.
pub(super) fn messages_of(path: &str) -> Messages {
    if path.starts_with(REFLECTION) { Messages::Many } else { Messages::One }
}

/// The value of a header that a call has once at most.
pub(super) fn single<'a>(
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

/// What the content-type says of the messages: "" for nothing, `None` if it is not gRPC's.
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
