//! Answers of gRPC, written in the protocols of others. Never makes an answer, and changes no message but its
//! format.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Body as _;
use serde::Serialize;
use tonic::body::Body;
use tonic::{Code, Status};

use super::Format;
use super::connect_error::{self, ConnectError};
use super::events::{self, EventEncoder};
use crate::api::calls::OpenCall;
use crate::api::framing::PREFIX_BYTES;
use crate::api::proto_json::{MessageType, Rpc};
use crate::api::{head, status};

/// The flag of the frame of gRPC-Web that has the trailers.
const TRAILERS: u8 = 0x80;
/// The flag of the last frame of a stream of Connect.
const END_STREAM: u8 = 0x02;
/// What a header of a trailer begins with, in an answer of Connect that is no stream.
const TRAILER_PREFIX: &str = "trailer-";

/// Writes the body of an answer of gRPC while it is sent.
#[derive(Debug)]
pub(in crate::api) struct AnswerEncoder(Form);

#[derive(Debug)]
enum Form {
    GrpcWeb {
        is_text: bool,
    },
    /// Server-sent events.
    Events(EventEncoder),
    /// The frames of a stream of Connect; in JSON, of messages of this type, those that are not whole wait.
    Connect {
        json: Option<(MessageType, BytesMut)>,
    },
}

impl AnswerEncoder {
    /// The next bytes of the body; none if a frame is not whole.
    pub(in crate::api) fn data(&mut self, bytes: Bytes) -> Result<Bytes, Status> {
        match &mut self.0 {
            Form::GrpcWeb { is_text: true } => Ok(STANDARD.encode(&bytes).into()),
            Form::GrpcWeb { is_text: false } | Form::Connect { json: None } => Ok(bytes),
            Form::Events(encoder) => encoder.data(&bytes).map(Bytes::from),
            Form::Connect { json: Some((message, frames)) } => {
                frames.extend_from_slice(&bytes);
                let mut written = Vec::new();
                while let Some(next) = take_message(frames) {
                    push_frame(&mut written, 0, &json(message, &next)?);
                }
                Ok(written.into())
            }
        }
    }

    /// The last bytes of the body, after a stream with these `trailers`.
    pub(in crate::api) fn end(&self, trailers: &HeaderMap) -> Bytes {
        let mut frame = Vec::new();
        match &self.0 {
            Form::GrpcWeb { is_text } => {
                push_frame(&mut frame, TRAILERS, &trailer_lines(trailers));
                if *is_text {
                    frame = STANDARD.encode(&frame).into_bytes();
                }
            }
            Form::Events(_) => {
                let error = Status::from_header_map(trailers);
                let error = error.filter(|error| error.code() != Code::Ok);
                frame = error.as_ref().map_or(Vec::new(), events::failure);
            }
            Form::Connect { .. } => {
                push_frame(&mut frame, END_STREAM, &json_of(&EndOfStream::new(trailers)))
            }
        }
        frame.into()
    }
}

/// An answer in gRPC-Web. One that has its status in the headers stays as it is.
pub(super) fn grpc_web(
    mut answer: Response<Body>,
    is_text: bool,
) -> (Response<Body>, Option<AnswerEncoder>) {
    let media_type =
        if is_text { "application/grpc-web-text+proto" } else { "application/grpc-web+proto" };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    let is_whole = answer.headers().contains_key(Status::GRPC_STATUS);
    (answer, (!is_whole).then_some(AnswerEncoder(Form::GrpcWeb { is_text })))
}

/// A stream of server-sent events.
pub(super) fn events(
    answer: Response<Body>,
    rpc: Option<&'static Rpc>,
) -> (Response<Body>, Option<AnswerEncoder>) {
    let (answer, is_stream) = events::answer(answer);
    let encoder = rpc.filter(|_| is_stream).map(|rpc| EventEncoder::new(rpc.output.clone()));
    (answer, encoder.map(|encoder| AnswerEncoder(Form::Events(encoder))))
}

/// A stream in Connect. Its error is at its end, also if there is nothing else.
pub(super) fn connect_stream(
    answer: Response<Body>,
    format: Format,
    rpc: Option<&'static Rpc>,
) -> (Response<Body>, Option<AnswerEncoder>) {
    let (mut head, body) = answer.into_parts();
    let trailers = head.headers.clone();
    let media_type = format!("application/connect+{}", format.name());
    remove_grpc(&mut head.headers);
    if trailers.contains_key(Status::GRPC_STATUS) {
        let mut last = Vec::new();
        push_frame(&mut last, END_STREAM, &json_of(&EndOfStream::new(&trailers)));
        let mut whole = super::response(StatusCode::OK, &media_type, last);
        whole.headers_mut().extend(head.headers);
        return (whole, None);
    }
    let json = rpc.filter(|_| format == Format::Json);
    let json = json.map(|rpc| (rpc.output.clone(), BytesMut::new()));
    let mut answer = super::response(StatusCode::OK, &media_type, Vec::new()).map(|_| body);
    answer.headers_mut().extend(head.headers);
    (answer, Some(AnswerEncoder(Form::Connect { json })))
}

/// An answer of one message in Connect, or an error. Ends `call`.
pub(super) async fn connect_message(
    answer: Response<Body>,
    format: Format,
    rpc: Option<&'static Rpc>,
    call: &mut OpenCall,
) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let (frames, trailers) = if head.headers.contains_key(Status::GRPC_STATUS) {
        (Ok(BytesMut::new()), head.headers.clone())
    } else {
        collect(body).await
    };
    let json_type = rpc.filter(|_| format == Format::Json).map(|rpc| &rpc.output);
    let message = frames.and_then(|mut frames| written(&mut frames, &trailers, json_type));
    let mut answer = match message {
        Ok(message) => {
            call.sent(message.len());
            let media_type = format!("application/{}", format.name());
            super::response(StatusCode::OK, &media_type, message)
        }
        Err(error) => {
            let (mut code, _) = connect_error::of_code(error.code());
            // A path that stands for nothing, which clients of any kind understand.
            if rpc.is_none() && error.code() == Code::Unimplemented {
                code = StatusCode::NOT_FOUND;
            }
            let text = json_of(&ConnectError::from(&error));
            call.sent(text.len());
            super::response(code, "application/json", text)
        }
    };
    call.end(&trailers);
    remove_grpc(&mut head.headers);
    answer.headers_mut().extend(head.headers);
    for (name, value) in metadata(&trailers) {
        // Errors in the headers have no trailers of their own.
        if let Ok(name) = HeaderName::try_from(format!("{TRAILER_PREFIX}{name}"))
            && !answer.headers().contains_key(name.as_str().trim_start_matches(TRAILER_PREFIX))
        {
            answer.headers_mut().append(name, value.clone());
        }
    }
    answer
}

/// The message of an answer, in JSON if it is to be.
fn written(
    frames: &mut BytesMut,
    trailers: &HeaderMap,
    json_type: Option<&MessageType>,
) -> Result<Vec<u8>, Status> {
    if let Some(status) = Status::from_header_map(trailers)
        && status.code() != Code::Ok
    {
        return Err(status);
    }
    let Some(message) = take_message(frames) else {
        return Err(status::unencodable(&"it has no message"));
    };
    match json_type {
        Some(json_type) => json(json_type, &message),
        None => Ok(message.into()),
    }
}

/// All frames of the answer of a call, and its trailers.
async fn collect(mut body: Body) -> (Result<BytesMut, Status>, HeaderMap) {
    let mut frames = BytesMut::new();
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return (Ok(frames), HeaderMap::new()),
            Some(Err(error)) => return (Err(error), HeaderMap::new()),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => frames.extend_from_slice(&bytes),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return (Ok(frames), trailers);
                    }
                }
            },
        }
    }
}

/// Takes the next whole message out of frames of gRPC, none of which is compressed.
pub(super) fn take_message(frames: &mut BytesMut) -> Option<BytesMut> {
    let ([flag, length @ ..], rest) = frames.split_first_chunk::<PREFIX_BYTES>()?;
    debug_assert_eq!(*flag, 0, "answers are not compressed");
    let bytes = u32::from_be_bytes(*length) as usize;
    if rest.len() < bytes {
        return None;
    }
    frames.advance(PREFIX_BYTES);
    let message = frames.split_to(bytes);
    if frames.is_empty() {
        // A stream that waits keeps no memory for its next message.
        *frames = BytesMut::new();
    }
    Some(message)
}

fn push_frame(frames: &mut Vec<u8>, flag: u8, message: &[u8]) {
    frames.push(flag);
    // No message of this server is as large as four GiB.
    frames.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frames.extend_from_slice(message);
}

/// The last message of a stream in Connect.
#[derive(Debug, Serialize)]
struct EndOfStream<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ConnectError>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, Vec<Cow<'a, str>>>,
}

impl<'a> EndOfStream<'a> {
    /// Of a stream with these trailers.
    fn new(trailers: &'a HeaderMap) -> Self {
        let status = Status::from_header_map(trailers).filter(|it| it.code() != Code::Ok);
        let mut fields = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in metadata(trailers) {
            fields
                .entry(name.as_str())
                .or_default()
                .push(String::from_utf8_lossy(value.as_bytes()));
        }
        Self { error: status.as_ref().map(ConnectError::from), metadata: fields }
    }
}

/// A message in JSON.
///
/// # Errors
/// It is none of its type, which cannot happen.
fn json(message: &MessageType, bytes: &[u8]) -> Result<Vec<u8>, Status> {
    let decoded = message.decode(bytes).map_err(|error| status::unencodable(&error))?;
    serde_json::to_vec(&decoded).map_err(|error| status::unencodable(&error))
}

/// `value` in JSON.
pub(super) fn json_of(value: &impl Serialize) -> Vec<u8> {
    match serde_json::to_vec(value) {
        Ok(json) => json,
        Err(error) => unreachable!("all keys are texts: {error}"),
    }
}

/// The trailers as gRPC-Web writes them: as lines of HTTP/1.1.
fn trailer_lines(trailers: &HeaderMap) -> Vec<u8> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        [name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"].concat()
    };
    trailers.iter().flat_map(line).collect()
}

/// What is neither gRPC's nor of HTTP.
fn metadata(trailers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    trailers.iter().filter(|(name, _)| !head::is_grpc(name) && *name != CONTENT_TYPE)
}

/// Removes what is gRPC's, and the media type.
pub(super) fn remove_grpc(headers: &mut HeaderMap) {
    let names: Vec<_> = headers.keys().filter(|name| head::is_grpc(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    headers.remove(CONTENT_TYPE);
}
