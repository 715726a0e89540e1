//! TLS of the client: which servers it trusts, who it says it is, and what goes wrong in words that say what
//! to do. Never opens a socket.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use rustls_native_certs::load_native_certs;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::error::root;
use super::{CONNECT_TIME_MAX, Error, TokenSource};

/// What a client shows, and what it trusts if it connects with TLS: to an `https://` address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// PEM file with the authorities that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate.
    pub identity: Option<ClientIdentity>,
    /// The token that is sent with each call.
    pub token: Option<TokenSource>,
    /// Whether the token may be sent in clear text to another machine.
    pub is_network_trusted: bool,
    /// The `traceparent` of each call, if they are part of a trace. The server ignores one that is not valid.
    pub traceparent: Option<String>,
}

/// The certificate of a client, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM file with the certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Why TLS does not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// The server's certificate is of an authority that is not trusted.
    #[error(
        "its certificate is of an authority that is not trusted here: if the authority is yours, \
         give its certificate with --ca-file FILE"
    )]
    UnknownAuthority,
    /// The server's certificate is for other names.
    #[error("its certificate is for another server ({details}): call it by a name in that")]
    OtherName {
        /// The names.
        details: String,
    },
    /// The server's certificate is not valid now.
    #[error(
        "its certificate is not valid at this time ({details}): it needs a new one, or the clock of \
         this machine is wrong"
    )]
    NotNow {
        /// The times.
        details: String,
    },
    /// The server speaks no TLS.
    #[error(
        "it speaks no TLS there, or none that is still safe: if the network up to it is trusted, \
         give http://host:port"
    )]
    NoTls,
    /// The server wants a certificate of the client.
    #[error("it asks who calls: give a certificate with --client-cert FILE and --client-key FILE")]
    CertificateNeeded,
    /// The server refuses something, most likely the certificate of the client.
    #[error("it refuses the certificate of this client, or its TLS ({details})")]
    Refused {
        /// What the server says.
        details: String,
    },
    /// Another problem.
    #[error("{details}")]
    Other {
        /// The error of the library.
        details: String,
    },
}

/// TLS over a socket.
pub(super) type TlsSocket = Box<TlsStream<TcpStream>>;

/// The protocol inside of TLS (RFC 9113, section 3.2).
const ALPN: &[u8] = b"h2";

/// What a server may say about the client's certificate.
const LATE_ALERTS: [AlertDescription; 8] = [
    AlertDescription::CertificateRequired,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::DecryptError,
];

impl ConnectOptions {
    /// The settings for the transport.
    ///
    /// # Errors
    /// A file cannot be read, or has no certificate.
    pub(super) fn tls(&self) -> Result<ClientTlsConfig, Error> {
        let mut tls = ClientTlsConfig::new().timeout(CONNECT_TIME_MAX);
        tls = match &self.ca_file {
            None => tls.with_native_roots(),
            Some(file) => {
                let pem = read(file)?;
                check(file, &pem)?;
                tls.ca_certificate(Certificate::from_pem(pem))
            }
        };
        if let Some(ClientIdentity { certificate, key }) = &self.identity {
            let pem = read(certificate)?;
            check(certificate, &pem)?;
            tls = tls.identity(Identity::from_pem(pem, read(key)?));
        }
        Ok(tls)
    }

    /// The same settings for a connection that is not made by the transport.
    ///
    /// # Errors
    /// As [`ConnectOptions::tls`]; or a certificate or the key cannot be used.
    pub(super) fn connector(&self) -> Result<TlsConnector, Error> {
        let unusable = |error: rustls::Error| Error::Certificates(error.to_string());
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            None => drop(roots.add_parsable_certificates(load_native_certs().certs)),
            Some(file) => {
                for authority in certificates(file)? {
                    roots.add(authority).map_err(unusable)?;
                }
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(ClientIdentity { certificate, key }) => {
                let key = PrivateKeyDer::from_pem_slice(&read(key)?)
                    .map_err(|error| Error::Certificates(error.to_string()))?;
                builder.with_client_auth_cert(certificates(certificate)?, key).map_err(unusable)?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config).into())
    }
}

/// TLS over `tcp`, with the server that is called by the name `host`.
pub(super) async fn shake_hands(
    connector: &TlsConnector,
    host: &str,
    tcp: TcpStream,
) -> io::Result<TlsSocket> {
    let name = host.to_owned().try_into().map_err(io::Error::other)?;
    Ok(Box::new(connector.connect(name, tcp).await?))
}

/// What is wrong with TLS, where `error` is about TLS.
pub(super) fn problem(error: &(dyn StdError + 'static)) -> Option<TlsProblem> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(explain(error));
        }
        // The inner error of an I/O error is not its source: the source is that of the inner one.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(explain(error));
        }
        cause = error.source();
    }
    // HTTP/2 passes on no more than the text of an error. In TLS 1.3, the server looks at the
    // client's certificate when HTTP/2 has begun.
    let text = root(error);
    let mut late = LATE_ALERTS.map(rustls::Error::AlertReceived).into_iter();
    late.find(|alert| alert.to_string() == text).map(|alert| explain(&alert))
}

fn explain(error: &rustls::Error) -> TlsProblem {
    let details = error.to_string();
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            // The latter is of another authority with a name that is trusted.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsProblem::UnknownAuthority
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::OtherName { details }
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsProblem::NotNow { details },
            _ => TlsProblem::Other { details },
        },
        rustls::Error::InvalidMessage(_)
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => TlsProblem::NoTls,
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            TlsProblem::CertificateNeeded
        }
        rustls::Error::AlertReceived(_) => TlsProblem::Refused { details },
        _ => TlsProblem::Other { details },
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|source| Error::File { file: file.to_owned(), source })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(file)?;
    check(file, &pem)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    all.map_err(|_| Error::NoCertificate { file: file.to_owned() })
}

/// Refuses a file without a certificate, which would trust nobody and say nothing.
fn check(file: &Path, pem: &[u8]) -> Result<(), Error> {
    match CertificateDer::from_pem_slice(pem) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::NoCertificate { file: file.to_owned() }),
    }
}
