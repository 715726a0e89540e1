//! HTTP for requests to a bucket, by the client that the program has anyway, on threads that may block.
//! Never follows a redirect, and never speaks without TLS unless the operator allows it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Response};
use http_body::Body;
use object_store::client::{
    ClientConfigKey, ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind,
    HttpRequest, HttpRequestBody, HttpResponse, HttpService,
};

use crate::runtime::http_client;

/// Longest time until a connection is made: the storage is reachable, or another try is better.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest time from a whole request to the first byte of its answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest time for the bytes of a segment, either way: 64 MiB at a megabit a second.
const BODY_TIME_MAX: Duration = Duration::from_secs(10 * 60);
/// Most bytes of an answer: no segment has more, since its offsets have 32 bits.
const BODY_BYTES_MAX: u64 = 4 << 30;

/// Makes clients of HTTP.
#[derive(Debug)]
pub(super) struct Connector;

#[derive(Debug)]
struct Client(ureq::Agent);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let roots = http_client::system_roots().map_err(|error| object_store::Error::Generic {
            store: "S3",
            source: format!("this machine's certificate authorities cannot be read: {error}")
                .into(),
        })?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .https_only(allows_http.as_deref() != Some("true"))
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .timeout_send_body(Some(BODY_TIME_MAX))
            .timeout_recv_response(Some(ANSWER_TIME_MAX))
            .timeout_recv_body(Some(BODY_TIME_MAX))
            .tls_config(http_client::tls(roots));
        Ok(HttpClient::new(Client(config.build().into())))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = whole(body).await?;
        let agent = self.0.clone();
        let call = move || -> Result<Response<Vec<u8>>, ureq::Error> {
            let has_body = !matches!(head.method, Method::GET | Method::HEAD | Method::DELETE);
            let response = match has_body {
                true => agent.run(http::Request::from_parts(head, body)),
                false => agent.run(http::Request::from_parts(head, ())),
            };
            let (head, mut body) = response?.into_parts();
            let body = body.with_config().limit(BODY_BYTES_MAX).read_to_vec()?;
            Ok(Response::from_parts(head, body))
        };
        match tokio::task::spawn_blocking(call).await {
            Ok(Ok(response)) => Ok(response.map(Into::into)),
            Ok(Err(error)) => Err(HttpError::new(kind(&error), error)),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

/// All bytes of a request.
async fn whole(mut body: HttpRequestBody) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::with_capacity(body.content_length());
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// What decides whether a request is made again.
fn kind(error: &ureq::Error) -> HttpErrorKind {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => HttpErrorKind::Connect,
        ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            HttpErrorKind::Connect
        }
        ureq::Error::Io(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    }
}
