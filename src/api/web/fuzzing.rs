//! The entry point of the fuzzer `web_request` in `fuzz/`: it takes any request and panics where a promise of this
//! module is broken. Never part of a server: behind the feature `fuzzing`.

use http::header::CONTENT_TYPE;
use http::{Method, Request, Version};
use tonic::Code;

use super::{ConnectCall, Format, Protocol, lengthen};
use crate::api::framing::{CheckedBody, MessageCount, PREFIX_BYTES};
use crate::api::fuzzing::{ChunkedBody, MESSAGE_BYTES_MAX, count_messages, read_all};
use crate::api::head;
use crate::api::proto_json::{MessageType, Schema};

/// A request in any protocol is refused with an error, or becomes one in gRPC, whatever it is: of whole, plain messages
/// within the limit, whose number is right, and which do not depend on how the network cuts the body. A message in
/// JSON is the same one if it is written as JSON again.
///
/// The first byte chooses the version of HTTP, the second one how the body is cut. What follows is a head as in
/// HTTP/1.1, with lines that end with LF and without a version, an empty line, and the body.
pub fn request(bytes: &[u8]) {
    let [setup, cut, text @ ..] = bytes else { return };
    let version = if setup & 1 == 0 { Version::HTTP_11 } else { Version::HTTP_2 };
    let Some(at) = text.windows(2).position(|two| two == b"\n\n") else { return };
    let (head, body) = (&text[..at], &text[at + 2..]);
    // What the transport would refuse.
    let Some(whole) = parse(head, version, body, body.len().max(1)) else { return };
    // Mostly smaller than a message.
    let piece_bytes = usize::from(*cut % 32) + 1;
    let Some(pieces) = parse(head, version, body, piece_bytes) else { return };
    let (Some(whole), Some(pieces)) = (Read::of(whole), Read::of(pieces)) else { return };
    // Of two errors in Base64 and in what it stands for, the one that is met first is reported.
    let is_text = matches!(whole.protocol, Protocol::GrpcWeb { is_text: true });
    if is_text {
        assert_eq!(whole.verdict.is_ok(), pieces.verdict.is_ok(), "it depends on the cuts");
    } else {
        assert_eq!(whole.verdict, pieces.verdict, "the verdict depends on the cuts");
    }
    if whole.verdict.is_err() {
        return;
    }
    assert_eq!(whole.passed, pieces.passed, "the messages depend on the cuts");
    let count = count_messages(&whole.passed);
    assert!(whole.messages == MessageCount::Many || count == 1, "{count} messages");
    if let Protocol::Connect(call) | Protocol::Events(call) = whole.protocol
        && let ConnectCall { format: Format::Json, rpc: Some(rpc), .. } = call
    {
        same_in_json(&rpc.input, &whole.passed[PREFIX_BYTES..]);
    }
}

/// The request of a head; `None` if it is none.
fn parse<'a>(
    head: &[u8],
    version: Version,
    body: &'a [u8],
    chunk_bytes: usize,
) -> Option<Request<ChunkedBody<'a>>> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target).version(version);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        request = request.header(name, value);
    }
    request.body(ChunkedBody::new(body, chunk_bytes)).ok()
}

/// What was read of a request.
struct Read {
    protocol: Protocol,
    messages: MessageCount,
    passed: Vec<u8>,
    verdict: Result<(), String>,
}

impl Read {
    /// Reads `request` as admission does; `None` if it is refused by its head.
    fn of(mut request: Request<ChunkedBody<'_>>) -> Option<Self> {
        lengthen(&mut request);
        let method = request.method().clone();
        let protocol = match Protocol::of(&request, Schema::own()) {
            Ok(protocol) => protocol,
            Err(refusal) => {
                let status = refusal.response(&method).status();
                assert!(status.is_client_error(), "{refusal:?} is {status}");
                return None;
            }
        };
        let request = match protocol.to_grpc(request, MESSAGE_BYTES_MAX) {
            Ok(request) => request,
            Err(refusal) => {
                assert!(refusal.code() != Code::Ok, "a refusal without an error");
                return None;
            }
        };
        let (mut head, body) = request.into_parts();
        assert_eq!(head.method, Method::POST, "{protocol:?}");
        let media_type =
            head.headers.get(CONTENT_TYPE).map(|it| it.as_bytes().to_ascii_lowercase());
        let is_grpc = media_type.is_some_and(|it| it.starts_with(b"application/grpc"));
        assert!(is_grpc, "{protocol:?} becomes {:?}", head.headers);
        let compression = head::take_compression(&mut head.headers).ok()?;
        let messages = head::message_count(head.uri.path());
        let (passed, verdict) =
            read_all(CheckedBody::new(body, compression, messages, MESSAGE_BYTES_MAX));
        Some(Self { protocol, messages, passed, verdict })
    }
}

/// `message`, which was JSON, is what its own JSON says.
fn same_in_json(of_type: &MessageType, message: &[u8]) {
    let json = |bytes: &[u8]| match of_type.decode(bytes) {
        Ok(decoded) => serde_json::to_value(&decoded),
        Err(error) => panic!("what was JSON is no message: {error}"),
    };
    let once = match json(message) {
        Ok(json) => json,
        Err(error) => panic!("what was JSON cannot be JSON again: {error}"),
    };
    match of_type.read(once.to_string().as_bytes()).map(|bytes| json(&bytes)) {
        Ok(Ok(twice)) => assert_eq!(once, twice, "another message"),
        other => panic!("{once} is refused: {other:?}"),
    }
}
