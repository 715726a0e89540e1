//! Answers as frames of gRPC, which is what the layers under test get from a service. Never compresses, and knows no
//! other protocol.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use prost_types::Any;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::request::any;
use crate::v1::conformance_payload::RequestInfo;
use crate::v1::{Error, Header};

/// `google.rpc.Status`, which has the details of an error.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// The error that the suite asks for. With `info` if no message of the answer has that.
///
/// # Errors
/// `info` cannot be encoded.
pub fn error(error: Error, info: Option<&RequestInfo>) -> Result<Status, Status> {
    let (code, message) = (Code::from(error.code), error.message.unwrap_or_default());
    let mut details = error.details;
    if let Some(info) = info {
        details.push(any(info)?);
    }
    if details.is_empty() {
        return Ok(Status::new(code, message));
    }
    let status = RpcStatus { code: error.code, message: message.clone(), details };
    Ok(Status::with_details(code, message, status.encode_to_vec().into()))
}

/// A message in a frame.
pub fn message(message: &impl Message) -> Frame<Bytes> {
    let bytes = message.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(bytes.len() as u32);
    frame.put_slice(&bytes);
    Frame::data(frame.freeze())
}

/// The end of an answer.
///
/// # Errors
/// A header has a name that HTTP does not allow.
pub fn trailers(trailers: &[Header], status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut map = headers(trailers)?;
    status.add_header(&mut map)?;
    Ok(Frame::trailers(map))
}

/// An answer with these headers.
///
/// # Errors
/// A header has a name that HTTP does not allow.
pub fn answer<S>(extra: &[Header], frames: S) -> Result<Response<Body>, Status>
where
    S: tonic::codegen::tokio_stream::Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static,
{
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    *response.headers_mut() = headers(extra)?;
    let media_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, media_type);
    Ok(response)
}

fn headers(headers: &[Header]) -> Result<HeaderMap, Status> {
    let refused = |error: http::Error| Status::internal(error.to_string());
    let mut map = HeaderMap::new();
    for header in headers {
        let name = HeaderName::try_from(&header.name).map_err(|error| refused(error.into()))?;
        for value in &header.value {
            let value = HeaderValue::try_from(value).map_err(|error| refused(error.into()))?;
            map.append(name.clone(), value);
        }
    }
    Ok(map)
}
