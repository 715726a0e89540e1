//! Refusals of requests that are no call, with a status of HTTP, which everybody understands, and in JSON as the errors
//! of calls. Such requests are expected: a page in a browser can send a GET or a form to any address without consent of
//! the server. Never refuses a call.

use http::header::{ALLOW, CONTENT_TYPE, UPGRADE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use tonic::Code;
use tonic::body::Body;

use super::answer;
use super::connect_error::ConnectError;

/// Why a request is no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum NotACall {
    /// Its method is not that of a call, or not of one of this RPC.
    Method,
    /// It is a GET of an RPC that may be called so, without a message.
    NoMessage,
    /// Its body has another format than a call may have.
    MediaType,
    /// A page in a browser makes it that may not call.
    ForeignPage,
    /// It is gRPC over HTTP/1.1, where clients read no trailers.
    TooOldHttp,
}

impl NotACall {
    /// The answer to such a request, which has this method.
    pub(in crate::api) fn response(self, method: &Method) -> Response<Body> {
        let (status, code, sentence) = match self {
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unimplemented,
                "A call is a POST to /package.Service/Method. A call that only reads may be a GET with its \
                 message in the query.",
            ),
            Self::NoMessage => (
                StatusCode::BAD_REQUEST,
                Code::InvalidArgument,
                "A call by GET has its message in the query, as in ?encoding=json&message={}",
            ),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Code::InvalidArgument,
                "The content-type of a call is application/json or application/proto; of one that is answered \
                 with a stream application/connect+json or application/connect+proto; or application/grpc, \
                 or application/grpc-web.",
            ),
            Self::ForeignPage => (
                StatusCode::FORBIDDEN,
                Code::PermissionDenied,
                "Pages of this origin may not call: the operator of the server names those that may with \
                 --cors-origin.",
            ),
            Self::TooOldHttp => (
                StatusCode::UPGRADE_REQUIRED,
                Code::Unimplemented,
                "gRPC needs HTTP/2. Over HTTP/1.1 a call is one in Connect or gRPC-Web, with the content-type \
                 application/json for example.",
            ),
        };
        // The answer to a HEAD has no body.
        let body = if method == Method::HEAD {
            Vec::new()
        } else {
            answer::json_of(&ConnectError::without_details(code, sentence))
        };
        let mut response = Response::new(Body::new(Full::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Method => headers.insert(ALLOW, HeaderValue::from_static("POST")),
            Self::TooOldHttp => headers.insert(UPGRADE, HeaderValue::from_static("h2c")),
            Self::NoMessage | Self::MediaType | Self::ForeignPage => None,
        };
        response
    }
}
