//! Calls by GET, for RPCs that change nothing: the message is in the query
//! (<https://connectrpc.com/docs/protocol#unary-get-request>); and those that are answered with a stream of events.
//! Never of an RPC that changes something.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Request;
use percent_encoding::percent_decode_str;
use tonic::Status;

use super::request::{GivenMessage, MessageForm};
use super::{ConnectCall, Format, NotACall, Protocol};
use crate::api::proto_json::Schema;
use crate::api::status;

/// The protocol of a GET, for the RPCs of `schema`.
///
/// # Errors
/// It is no call.
pub(super) fn protocol<B>(
    request: &Request<B>,
    schema: &'static Schema,
) -> Result<Protocol, NotACall> {
    let rpc = schema.rpc(request.uri().path());
    let query = request.uri().query().unwrap_or_default();
    let format = value(query, "encoding").and_then(|name| Format::named(&name));
    match (rpc, format) {
        (Some(rpc), Some(format)) if rpc.is_safe => {
            let call = ConnectCall { format, is_framed: false, rpc: Some(rpc) };
            Ok(if rpc.is_stream { Protocol::Events(call) } else { Protocol::Connect(call) })
        }
        (Some(rpc), None) if rpc.is_safe => Err(NotACall::NoMessage),
        _ => Err(NotACall::Method),
    }
}

/// The message in `query`, which is not read yet.
///
/// # Errors
/// The query is not valid.
pub(super) fn message(query: &str, form: MessageForm) -> Result<GivenMessage, Status> {
    let refused = |rule: &str| status::malformed_request(&format!("the query {rule}"));
    if value(query, "connect").is_some_and(|version| version != "v1") {
        return Err(refused("has a version that is not known here: connect=v1"));
    }
    let is_gzip = match value(query, "compression").as_deref() {
        None | Some("" | "identity") => false,
        Some("gzip") => true,
        Some(other) => return Err(status::unsupported_compression(other)),
    };
    let bytes = value_bytes(query, "message").ok_or_else(|| refused("has no message"))?;
    let bytes = if value(query, "base64").as_deref() == Some("1") {
        let unpadded: Vec<_> = bytes.into_iter().filter(|byte| *byte != b'=').collect();
        let decoded = URL_SAFE_NO_PAD.decode(&unpadded);
        // The alphabet of the other form is accepted as well.
        let decoded = decoded.or_else(|_| STANDARD.decode(padded(unpadded)));
        decoded.map_err(|_| refused("has a message that is not Base64"))?
    } else {
        bytes
    };
    Ok(GivenMessage { form: MessageForm { is_gzip, ..form }, bytes, further: Vec::new() })
}

fn padded(mut digits: Vec<u8>) -> Vec<u8> {
    while !digits.len().is_multiple_of(4) {
        digits.push(b'=');
    }
    digits
}

/// The first value of `name` in a query, as text.
fn value(query: &str, name: &str) -> Option<String> {
    value_bytes(query, name).and_then(|bytes| String::from_utf8(bytes).ok())
}

fn value_bytes(query: &str, name: &str) -> Option<Vec<u8>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    // A form writes a space as a plus sign.
    Some(percent_decode_str(&value.replace('+', " ")).collect())
}
