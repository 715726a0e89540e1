//! Refusals of requests that are no call, in plain HTTP, which everybody understands. Such requests are expected:
//! a page in a browser can send a GET or a form to any address without consent of the server. Never refuses a
//! call.

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
        let (code, sentence) = match self {
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "A call is a POST to /package.Service/Method. A call that only reads may be a GET with its \
                 message in the query.\n",
            ),
            Self::NoMessage => (
                StatusCode::BAD_REQUEST,
                "A call by GET has its message in the query, as in ?encoding=json&message={}\n",
            ),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The content-type of a call is application/json or application/proto; of one that is answered \
                 with a stream application/connect+json or application/connect+proto; or application/grpc, \
                 or application/grpc-web.\n",
            ),
            Self::ForeignPage => (
                StatusCode::FORBIDDEN,
                "Pages of this origin may not call: the operator of the server names those that may with \
                 --cors-origin.\n",
            ),
            Self::TooOldHttp => (
                StatusCode::UPGRADE_REQUIRED,
                "gRPC needs HTTP/2. Over HTTP/1.1 a call is one in Connect or gRPC-Web, with the content-type \
                 application/json for example.\n",
            ),
        };
        let (media_type, body) = match self {
            // Only who knows Connect asks so, and the errors of Connect are in JSON.
            Self::NoMessage => {
                let error =
                    ConnectError::without_details(Code::InvalidArgument, sentence.trim_end());
                ("application/json", answer::json_of(&error))
            }
            // The answer to a HEAD has no body.
            _ if method == Method::HEAD => ("text/plain; charset=utf-8", Vec::new()),
            _ => ("text/plain; charset=utf-8", sentence.as_bytes().to_vec()),
        };
        let mut response = Response::new(Body::new(Full::from(body)));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        match self {
            Self::Method => headers.insert(ALLOW, HeaderValue::from_static("POST")),
            Self::TooOldHttp => headers.insert(UPGRADE, HeaderValue::from_static("h2c")),
            Self::NoMessage | Self::MediaType | Self::ForeignPage => None,
        };
        response
    }
}
