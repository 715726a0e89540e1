//! A collector of traces, which takes OTLP over gRPC as OpenTelemetry's does. It keeps the spans.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use tower::Service;
use whimbrel::config::Tracing;

use super::patience::eventually;
use super::tls::CertificateFiles;

/// A running collector.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    taken: Taken,
    _running: JoinSet<()>,
}

#[derive(Clone, Debug)]
struct Taken {
    all: Arc<Mutex<Vec<ResourceSpans>>>,
    /// Of the last request.
    headers: Arc<Mutex<MetadataMap>>,
    /// Each request takes one permit.
    answers: Arc<Semaphore>,
}

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.answers.acquire().await.expect("it is never closed").forget();
        *self.headers.lock().unwrap() = request.metadata().clone();
        self.all.lock().unwrap().extend(request.into_inner().resource_spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::with_answers(Semaphore::MAX_PERMITS, None).await
    }

    /// One that speaks TLS, with this certificate.
    pub(crate) async fn start_with_tls(certificate: &CertificateFiles) -> Self {
        let chain = vec![certificate.der()];
        let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut tls = tls.with_single_cert(chain, key).unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Self::with_answers(Semaphore::MAX_PERMITS, Some(Arc::new(tls).into())).await
    }

    /// One that answers nobody.
    pub(crate) async fn stuck() -> Self {
        Self::with_answers(0, None).await
    }

    async fn with_answers(answers: usize, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Semaphore::new(answers));
        let taken = Taken { all: Arc::default(), headers: Arc::default(), answers };
        let service = TraceServiceServer::new(taken.clone());
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = service.clone();
                let calls = service_fn(move |request: http::Request<Incoming>| {
                    service.clone().call(request)
                });
                let serving = Builder::new(TokioExecutor::new());
                let tls = tls.clone();
                // They end with the server that sends traces.
                connections.spawn(async move {
                    match tls {
                        None => serving.serve_connection(TokioIo::new(socket), calls).await,
                        Some(tls) => {
                            // A client may not trust it.
                            let Ok(socket) = tls.accept(socket).await else { return Ok(()) };
                            serving.serve_connection(TokioIo::new(socket), calls).await
                        }
                    }
                });
            }
        });
        Self { address, taken, _running: running }
    }

    /// How a server sends it the traces of all calls.
    pub(crate) fn tracing(&self) -> Tracing {
        tracing_to(self.address)
    }

    /// The headers of the last request.
    pub(crate) fn headers(&self) -> MetadataMap {
        self.taken.headers.lock().unwrap().clone()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let scopes = self.resources().into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// All that it has taken.
    pub(crate) fn resources(&self) -> Vec<ResourceSpans> {
        self.taken.all.lock().unwrap().clone()
    }

    /// Waits for the span of a call with this id.
    pub(crate) async fn span_of(&self, call_id: &str) -> Span {
        let found = async || {
            let is_its = |span: &Span| text(&span.attributes, "whimbrel.call_id") == call_id;
            self.spans().into_iter().find(is_its)
        };
        eventually(&format!("the span of {call_id}"), found).await
    }

    /// The spans within `span`, as they are now.
    pub(crate) fn within(&self, span: &Span) -> Vec<Span> {
        self.spans().into_iter().filter(|it| it.parent_span_id == span.span_id).collect()
    }
}

/// How a server sends the traces of all calls to `address`.
pub(crate) fn tracing_to(address: SocketAddr) -> Tracing {
    Tracing {
        endpoint: format!("http://{address}"),
        authorities: None,
        headers: None,
        service_name: "feeds".to_owned(),
        sampling: 1.0,
        trusts_callers: false,
    }
}

/// The text of an attribute; empty without it.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> String {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    match attribute.and_then(|it| it.value.clone()).and_then(|it| it.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}
