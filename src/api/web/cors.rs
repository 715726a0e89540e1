//! Pages in browsers: whose may call (<https://fetch.spec.whatwg.org/#http-cors-protocol>). A browser says by a
//! header whose page makes a request; other clients do not, and are not asked. Never decides who a caller is.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;

use super::NotACall;
use crate::config::{Origins, Transport};

/// The headers that pages may send: those of the protocols, a token, an id and a trace.
const REQUEST_HEADERS: &str = "authorization, connect-content-encoding, connect-protocol-version, \
     connect-timeout-ms, content-encoding, content-type, grpc-timeout, last-event-id, traceparent, \
     tracestate, x-grpc-web, x-request-id, x-user-agent";
/// The headers of an answer that pages may read, besides those that all may.
const ANSWER_HEADERS: &str = "grpc-message, grpc-status, grpc-status-details-bin, x-request-id";
/// How long a browser may remember the answer: two hours, which is the most that some do.
const MAX_AGE_SECONDS: &str = "7200";

/// Which pages may call.
#[derive(Clone, Debug)]
pub(super) struct Cors {
    origins: Origins,
    /// Whether the server's own pages are known by its name. Without TLS, whoever has a name can have it lead
    /// here, and its pages would be taken for the server's own.
    trusts_names: bool,
}

/// Whose page makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) enum Page {
    /// No page, or the server's own.
    None,
    /// One of this origin, which may call.
    Of {
        origin: HeaderValue,
        /// Whether the operator named it. Only then may it send the cookies of its user.
        is_named: bool,
    },
}

impl Cors {
    /// As `transport` says.
    pub(super) fn new(transport: &Transport) -> Self {
        let trusts_names = transport.tls.is_some() || !transport.behind_tls_proxy.is_empty();
        Self { origins: transport.origins.clone(), trusts_names }
    }

    /// Whose page makes `request`.
    ///
    /// # Errors
    /// One that may not call.
    pub(super) fn page<B>(&self, request: &Request<B>) -> Result<Page, NotACall> {
        let Some(origin) = request.headers().get(ORIGIN) else { return Ok(Page::None) };
        let text = origin.to_str().unwrap_or_default();
        if self.origins.contains(text) {
            let is_named = self.origins.names(text);
            return Ok(Page::Of { origin: origin.clone(), is_named });
        }
        if self.is_own(text, request) { Ok(Page::None) } else { Err(NotACall::ForeignPage) }
    }

    /// Whether a page of `origin` came from this server.
    fn is_own<B>(&self, origin: &str, request: &Request<B>) -> bool {
        let of_header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let here = request.uri().authority().map(Authority::as_str).or(of_header);
        let page = origin.split_once("://").map(|(_, authority)| authority);
        page.is_some() && page == here && (self.trusts_names || page.is_some_and(is_no_name))
    }
}

/// Whether nobody can have chosen where the host of `authority` leads.
fn is_no_name(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { authority }
    });
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok()
}

impl Page {
    /// The answer to a browser that asks whether a page may make a call; `None` if `request` does not ask.
    pub(in crate::api) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let Self::Of { .. } = self else { return None };
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        asks.then(|| {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            let headers = answer.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
            answer
        })
    }

    /// Lets the page read an answer with these `headers`.
    pub(in crate::api) fn allow(self, headers: &mut HeaderMap) {
        let Self::Of { origin, is_named } = self else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if is_named {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
}
