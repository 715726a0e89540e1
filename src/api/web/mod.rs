//! Calls in other protocols than gRPC, for browsers and for `curl`: gRPC-Web and Connect. A request becomes one
//! in gRPC before it is admitted, and its answer is written in the caller's protocol on the way out. So each
//! call has the same callers, limits, errors and lines of the log, whatever it is written in. Never decides
//! whether a call is made.
//!
//! ```text
//!   request ──▶ Protocol::of ──▶ to_grpc: head and body ──▶ admission ──▶ service
//!   sent ◀── AnswerBody ◀── answer: a message whole; a stream by an AnswerEncoder ◀──┘
//! ```
//!
//! Sources: <https://connectrpc.com/docs/protocol> and
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>.

mod answer;
mod connect_error;
mod console;
mod cors;
mod events;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod get;
mod not_a_call;
mod request;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use tonic::Status;
use tonic::body::Body;

pub(super) use answer::AnswerEncoder;
use console::Console;
use cors::Cors;
pub(super) use cors::Page;
pub(super) use events::lengthen;
pub(super) use not_a_call::NotACall;
pub(super) use request::RequestBody;

use super::calls::OpenCall;
use super::proto_json::{MessageType, Rpc, Schema};
use super::{head, status};
use crate::config::Config;
use request::{GivenMessage, MessageForm};

const CONNECT_VERSION: &str = "connect-protocol-version";
const CONNECT_TIMEOUT: &str = "connect-timeout-ms";
const CONNECT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
/// The limit of the specification: 115 days.
const TIMEOUT_DIGITS_MAX: usize = 10;

/// What says what a request is: whose page makes it, for which RPC it is, or for which file.
#[derive(Clone, Debug)]
pub struct Web {
    cors: Cors,
    console: Console,
    schema: &'static Schema,
}

impl Web {
    /// As `config` says, for the RPCs of `schema`.
    #[must_use]
    pub fn new(config: &Config, schema: &'static Schema) -> Self {
        let cors = Cors::new(&config.transport);
        Self { cors, console: Console::new(config.serves_console()), schema }
    }

    /// Whose page makes `request`. Cookies of a page that is not named count for nothing, and are removed.
    ///
    /// # Errors
    /// One that may not call.
    pub(super) fn page<B>(&self, request: &mut Request<B>) -> Result<Page, NotACall> {
        let page = self.cors.page(request)?;
        if let Page::Of { is_named: false, .. } = page {
            request.headers_mut().remove(COOKIE);
        }
        Ok(page)
    }

    /// The protocol of `request`.
    ///
    /// # Errors
    /// The request is no call.
    pub(super) fn protocol<B>(&self, request: &Request<B>) -> Result<Protocol, NotACall> {
        Protocol::of(request, self.schema)
    }

    /// The file that `request`, which is no call, is for; `None` if there is none.
    pub(super) fn file<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        self.console.file(request)
    }
}

/// What a call is written in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    Grpc,
    /// As gRPC, with the trailers in the body; with all of it in Base64 if it is text.
    GrpcWeb {
        is_text: bool,
    },
    Connect(ConnectCall),
    /// A GET whose answer is a stream of server-sent events.
    Events(ConnectCall),
}

/// What is known of a call in Connect before its message.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectCall {
    format: Format,
    /// Whether its messages are in frames, as those of streams are.
    is_framed: bool,
    /// `None` if there is no such RPC.
    rpc: Option<&'static Rpc>,
}

/// The format of the messages of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Proto,
    Json,
}

impl Format {
    /// The format of a part of a media type, or of a query.
    fn named(name: &str) -> Option<Self> {
        match name {
            "proto" => Some(Self::Proto),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Proto => "proto",
            Self::Json => "json",
        }
    }
}

impl Protocol {
    /// The protocol of `request`, for the RPCs of `schema`.
    ///
    /// # Errors
    /// The request is no call.
    pub(super) fn of<B>(request: &Request<B>, schema: &'static Schema) -> Result<Self, NotACall> {
        let (path, headers) = (request.uri().path(), request.headers());
        if request.method() == Method::GET {
            return get::protocol(request, schema);
        }
        if request.method() != Method::POST {
            return Err(NotACall::Method);
        }
        let media_type = head::media_type(headers).unwrap_or_default();
        if head::grpc_subtype(media_type).is_some() {
            return if request.version() < Version::HTTP_2 {
                Err(NotACall::TooOldHttp)
            } else {
                Ok(Self::Grpc)
            };
        }
        let media_type = media_type.to_ascii_lowercase();
        let Some(kind) = media_type.strip_prefix("application/") else {
            return Err(NotACall::MediaType);
        };
        let rpc = schema.rpc(path);
        let (is_framed, name) = match kind {
            "grpc-web" | "grpc-web+proto" => return Ok(Self::GrpcWeb { is_text: false }),
            "grpc-web-text" | "grpc-web-text+proto" => return Ok(Self::GrpcWeb { is_text: true }),
            _ => match kind.strip_prefix("connect+") {
                Some(name) => (true, name),
                None => (false, kind),
            },
        };
        match Format::named(name) {
            // Which of the two forms a call has is a matter of its RPC.
            Some(format) if rpc.is_none_or(|rpc| rpc.is_stream == is_framed) => {
                Ok(Self::Connect(ConnectCall { format, is_framed, rpc }))
            }
            _ => Err(NotACall::MediaType),
        }
    }

    /// `request` as one in gRPC, whose message has `bytes_max` bytes at most.
    ///
    /// # Errors
    /// Its headers are not valid.
    pub(super) fn to_grpc<B>(
        self,
        request: Request<B>,
        bytes_max: usize,
    ) -> Result<Request<RequestBody<B>>, Status> {
        let (mut head, body) = request.into_parts();
        let body = match self {
            Self::Grpc => RequestBody::frames(body),
            Self::GrpcWeb { is_text } => {
                head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                if is_text { RequestBody::text(body) } else { RequestBody::frames(body) }
            }
            Self::Events(call) => {
                let form = call.message_form(&mut head.headers)?;
                head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                events::take_cookie(&mut head.headers);
                let given = get::message(head.uri.query().unwrap_or_default(), form)?;
                let further = events::begin_after(&head.headers)?;
                head.method = Method::POST;
                RequestBody::given(body, GivenMessage { further, ..given }, bytes_max)
            }
            Self::Connect(call) if call.is_of_reflection(head.version) => {
                let form = call.message_form(&mut head.headers)?;
                head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                if form.is_gzip {
                    head.headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
                }
                RequestBody::frames(body)
            }
            Self::Connect(ConnectCall { rpc: None, .. }) => {
                // Its message may be one that does not end before it is answered.
                return Err(status::not_in_connect(head.uri.path()));
            }
            Self::Connect(call) => {
                let form = call.message_form(&mut head.headers)?;
                head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                if head.method == Method::GET {
                    let given = get::message(head.uri.query().unwrap_or_default(), form)?;
                    head.method = Method::POST;
                    RequestBody::given(body, given, bytes_max)
                } else {
                    RequestBody::whole(body, form, bytes_max)
                }
            }
        };
        Ok(Request::from_parts(head, body))
    }

    /// `answer` in this protocol, and what encodes its body while it is sent. Ends `call` if the answer is
    /// there as a whole.
    pub(super) async fn answer(
        self,
        answer: Response<Body>,
        call: &mut OpenCall,
    ) -> (Response<Body>, Option<AnswerEncoder>) {
        match self {
            Self::Grpc => (answer, None),
            Self::GrpcWeb { is_text } => answer::grpc_web(answer, is_text),
            Self::Events(ConnectCall { rpc, .. }) => answer::events(answer, rpc),
            Self::Connect(ConnectCall { is_framed: true, format, rpc }) => {
                answer::connect_stream(answer, format, rpc)
            }
            Self::Connect(ConnectCall { is_framed: false, format, rpc }) => {
                (answer::connect_message(answer, format, rpc, call).await, None)
            }
        }
    }
}

impl ConnectCall {
    /// Whether it may be one of reflection, which takes and gives a stream of messages, so that it needs HTTP/2. Its
    /// frames are those of gRPC. No message of reflection is known in JSON here.
    fn is_of_reflection(self, version: Version) -> bool {
        let is_binary = self.format == Format::Proto;
        self.rpc.is_none() && self.is_framed && is_binary && version >= Version::HTTP_2
    }

    /// The form of its message, by its headers, which become those of gRPC.
    fn message_form(self, headers: &mut HeaderMap) -> Result<MessageForm, Status> {
        if let Some(version) = head::single_value(headers, CONNECT_VERSION)?
            && version != "1"
        {
            return Err(status::invalid_metadata(CONNECT_VERSION, "must be 1"));
        }
        if let Some(timeout) = head::single_value(headers, CONNECT_TIMEOUT)? {
            let timeout = grpc_timeout(timeout)?;
            headers.insert("grpc-timeout", timeout);
        }
        let encoding = if self.is_framed { CONNECT_ENCODING } else { CONTENT_ENCODING };
        let is_gzip = match headers.remove(encoding).as_ref().map(HeaderValue::as_bytes) {
            None | Some(b"identity") => false,
            Some(b"gzip") => true,
            Some(other) => {
                return Err(status::unsupported_compression(&String::from_utf8_lossy(other)));
            }
        };
        let json = self.json_of(|rpc| &rpc.input);
        Ok(MessageForm { is_framed: self.is_framed, is_gzip, json })
    }

    /// The type of its messages in JSON; `None` if they are not, or if there is no such RPC.
    fn json_of(self, message: fn(&Rpc) -> &MessageType) -> Option<MessageType> {
        let rpc = self.rpc.filter(|_| self.format == Format::Json)?;
        Some(message(rpc).clone())
    }
}

/// The value of `grpc-timeout` for one of `connect-timeout-ms`.
fn grpc_timeout(value: &HeaderValue) -> Result<HeaderValue, Status> {
    let text = value.to_str().unwrap_or_default();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok();
    let Some(ms) = number.filter(|_| is_number && text.len() <= TIMEOUT_DIGITS_MAX) else {
        let rule = "must be 1 to 10 digits: 2500 are 2.5 seconds";
        return Err(status::invalid_metadata(CONNECT_TIMEOUT, rule));
    };
    // gRPC has 8 digits.
    let text = if ms < 100_000_000 { format!("{ms}m") } else { format!("{}S", ms / 1_000) };
    HeaderValue::try_from(text).map_err(|_| unreachable!("digits and a letter"))
}

/// A response with a body of a known type.
fn response(code: StatusCode, media_type: &str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(body)));
    *response.status_mut() = code;
    let Ok(media_type) = HeaderValue::try_from(media_type) else {
        unreachable!("a media type is plain text: {media_type}")
    };
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}
