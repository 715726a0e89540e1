//! The collector of traces: where it is, TLS to it, and the headers that it wants. Never connects before there
//! is something to send.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::metadata::{Ascii, AsciiMetadataValue, MetadataKey};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::config::Tracing;
use crate::runtime::files::{self, FileError};

/// Longest time of a request to the collector: OpenTelemetry's default.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(10);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Most headers that a collector can want: a key, and who the sender is for it.
const HEADERS_MAX: usize = 16;

/// Why traces cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The address of the collector is not one.
    #[error(
        "cannot send traces: {0} (the address of the collector); give a URL such as \
         http://127.0.0.1:4317, where a collector takes OTLP over gRPC"
    )]
    Endpoint(&'static str),
    /// A file about the collector cannot be read.
    #[error("cannot send traces: {0}")]
    File(#[from] FileError),
    /// A line of the file with headers is none.
    #[error(
        "cannot send traces: line {line} of {} is no header; write one on each line, such as \
         `authorization: Bearer …`, and {HEADERS_MAX} at most", path.display()
    )]
    Header {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Everybody on the way to the collector could read its headers.
    #[error(
        "cannot send traces: the headers of the collector would be in clear text on the way there; \
         give an address with https"
    )]
    ClearText,
    /// TLS to the collector cannot be used.
    #[error("cannot send traces by TLS: {0}")]
    Tls(tonic::transport::Error),
    /// The operating system started no thread.
    #[error("cannot start the thread that sends traces: {0}")]
    Thread(std::io::Error),
}

/// The client of a collector.
pub(super) type CollectorClient = TraceServiceClient<InterceptedService<Channel, Headers>>;

/// A collector.
#[derive(Debug)]
pub(super) struct Collector {
    endpoint: Endpoint,
    headers: Headers,
}

impl Collector {
    /// The collector of `settings`, whose files are read.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub(super) fn find(settings: &Tracing) -> Result<Self, TraceError> {
        Tracing::check_endpoint(&settings.endpoint).map_err(TraceError::Endpoint)?;
        let endpoint = Endpoint::from_shared(settings.endpoint.clone());
        let endpoint = endpoint.map_err(|_| TraceError::Endpoint("it is no URL"))?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIME_MAX).timeout(EXPORT_TIME_MAX);
        let headers = settings.headers.as_deref().map(Headers::read).transpose()?;
        let is_tls = endpoint.uri().scheme_str() == Some("https");
        if headers.is_some() && !is_tls && !endpoint.uri().host().is_some_and(is_here) {
            return Err(TraceError::ClearText);
        }
        let headers = headers.unwrap_or_default();
        if !is_tls {
            return Ok(Self { endpoint, headers });
        }
        let tls = match &settings.authorities {
            Some(file) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(files::read(file)?))
            }
            None => ClientTlsConfig::new().with_native_roots(),
        };
        Ok(Self { endpoint: endpoint.tls_config(tls).map_err(TraceError::Tls)?, headers })
    }

    /// Connects when there is something to send, and again after each failure.
    pub(super) fn connect_lazy(self) -> CollectorClient {
        TraceServiceClient::with_interceptor(self.endpoint.connect_lazy(), self.headers)
    }
}

/// Whether `host` is this machine.
fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The headers of each request to the collector. Nothing shows their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers(Vec<(MetadataKey<Ascii>, AsciiMetadataValue)>);

impl Headers {
    /// The headers in a file that only its owner can read, one on each line.
    fn read(path: &Path) -> Result<Self, TraceError> {
        let refused = |line| TraceError::Header { path: path.to_owned(), line };
        let bytes = files::read_secret(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| refused(1))?;
        let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty());
        let mut headers = Vec::new();
        for (at, line) in lines {
            let header = parse(line).filter(|_| headers.len() < HEADERS_MAX);
            headers.push(header.ok_or_else(|| refused(at))?);
        }
        Ok(Self(headers))
    }
}

fn parse(line: &str) -> Option<(MetadataKey<Ascii>, AsciiMetadataValue)> {
    let (name, value) = line.split_once(':')?;
    let name = MetadataKey::from_str(&name.trim().to_ascii_lowercase()).ok()?;
    let mut value: AsciiMetadataValue = value.trim().parse().ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        Ok(request)
    }
}
