//! TLS of the server: its certificate, its key and the clients' authorities, from PEM files. They
//! are loaded again when the files change; a connection keeps those that it began with.
//!
//! Never reads from or writes to a connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;

use super::validity::Validity;
use crate::api::ClientCertificate;
use crate::config;
use crate::runtime::files::{self, FileError};
use crate::runtime::{Clock, WatchedFile};

/// The only protocol inside of TLS (RFC 9113, section 3.2). A client that offers others and not
/// this one is refused; one that offers none must begin with the preface of HTTP/2.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Session tickets for each client. A client makes few connections.
const TICKETS: usize = 1;

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is no PEM file.
    #[error("{} is no PEM file: {source}", path.display())]
    Pem {
        /// The path.
        path: PathBuf,
        /// The error of the parser.
        source: PemError,
    },
    /// A file has nothing of the kind that is needed.
    #[error("{} has no {kind} in PEM", path.display())]
    Empty {
        /// The path.
        path: PathBuf,
        /// The kind.
        kind: &'static str,
    },
    /// The certificate and the key do not belong together, or one of them is not supported.
    #[error(
        "cannot use the certificate {} with the key {}: {source}; the first certificate of the \
         file must be the server's, and the key its own",
        certificate.display(), key.display()
    )]
    Pair {
        /// The path of the certificate.
        certificate: PathBuf,
        /// The path of the key.
        key: PathBuf,
        /// The error of the library.
        source: rustls::Error,
    },
    /// The authorities or the revocation lists of clients cannot be used.
    #[error("cannot check certificates of clients by {}: {source}", path.display())]
    Clients {
        /// The path.
        path: PathBuf,
        /// The error of the library.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The library does not work on this machine.
    #[error("TLS does not work on this machine: {0}")]
    Library(rustls::Error),
    /// The self-signed certificate cannot be made.
    #[error("cannot make a certificate in {}: {source}; remove that folder, or give --tls-cert", path.display())]
    SelfSigned {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// TLS with the files as they were when they were last loaded.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    loaded: Loaded,
}

/// What the files have.
#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    validities: Vec<Validity>,
}

#[derive(Debug)]
struct TlsFiles {
    certificate: WatchedFile,
    key: WatchedFile,
    clients: Option<ClientFiles>,
    /// How to renew the certificate.
    remedy: &'static str,
}

#[derive(Debug)]
struct ClientFiles {
    authorities: WatchedFile,
    revoked: Option<WatchedFile>,
    is_optional: bool,
}

impl Tls {
    /// Loads the files. `remedy` says how to renew the certificate.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub(super) fn load(
        certificate: &Path,
        key: &Path,
        remedy: &'static str,
        clients: Option<&config::ClientCertificates>,
    ) -> Result<Self, TlsError> {
        let clients = clients.map(|clients| ClientFiles {
            authorities: WatchedFile::new(&clients.authorities),
            revoked: clients.revoked.as_ref().map(WatchedFile::new),
            is_optional: clients.is_optional,
        });
        let certificate = WatchedFile::new(certificate);
        let files = TlsFiles { certificate, key: WatchedFile::new(key), clients, remedy };
        let loaded = files.load()?;
        Ok(Self { files, loaded })
    }

    /// Loads the files if one has changed. Files that cannot be used are logged, and the former
    /// ones stay in use.
    pub(super) fn reload_if_changed(&mut self) {
        if !self.files.have_changed() {
            return;
        }
        match self.files.load() {
            Ok(loaded) => {
                self.loaded = loaded;
                tracing::info!(
                    certificate = %self.files.certificate.path().display(),
                    "the files of TLS have changed: new connections use them"
                );
            }
            Err(error) => {
                tracing::error!(%error, "the files of TLS have changed, and the former stay in use");
            }
        }
    }

    /// Logs which certificates and lists are not valid, or not for much longer, when it is due. To
    /// be called now and then.
    pub(super) fn log_validity(&mut self, clock: &Clock) {
        self.loaded.validities.iter_mut().for_each(|validity| validity.log_due(clock));
    }

    /// When the first certificate and the first revocation list end, since 1970.
    pub(super) fn ends(&self) -> Vec<(&'static str, Duration)> {
        let mut ends: Vec<(&'static str, Duration)> = Vec::new();
        for (kind, end) in self.loaded.validities.iter().filter_map(Validity::end) {
            match ends.iter_mut().find(|(other, _)| *other == kind) {
                Some((_, first)) => *first = end.min(*first),
                None => ends.push((kind, end)),
            }
        }
        ends
    }

    /// Begins TLS with a client, by the files as they are loaded now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.loaded.config).into()
    }
}

impl TlsFiles {
    /// Whether a file has changed since the last call.
    fn have_changed(&mut self) -> bool {
        let clients = self.clients.iter_mut().flat_map(|clients| {
            std::iter::once(&mut clients.authorities).chain(&mut clients.revoked)
        });
        // Each one is looked at, also after one that has changed.
        let looks = [&mut self.certificate, &mut self.key].into_iter().chain(clients);
        looks.fold(false, |any, file| file.has_changed() | any)
    }

    fn load(&self) -> Result<Loaded, TlsError> {
        let certificates = certificates(&self.certificate)?;
        let path = self.certificate.path();
        let of_server = Validity::of_certificates(&certificates, path, self.remedy);
        let mut validities = known(path, of_server);
        let key = private_key(&self.key)?;
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?;
        let verifier = match &self.clients {
            Some(clients) => {
                let (verifier, of_lists) = clients.verifier()?;
                validities.extend(of_lists);
                verifier
            }
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut loaded = builder
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)
            .map_err(|source| TlsError::Pair {
                certificate: self.certificate.path().to_owned(),
                key: self.key.path().to_owned(),
                source,
            })?;
        loaded.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        // Sessions are in tickets that clients keep, so that nothing is kept for them here. A
        // resumed session skips the check of the client's certificate, which may be revoked by
        // then: with such checks there are no tickets.
        loaded.session_storage = Arc::new(NoServerSessionStorage {});
        loaded.send_tls13_tickets = 0;
        if self.clients.is_none() {
            loaded.ticketer = Ticketer::new().map_err(TlsError::Library)?;
            loaded.send_tls13_tickets = TICKETS;
        }
        Ok(Loaded { config: Arc::new(loaded), validities })
    }
}

impl ClientFiles {
    /// What checks certificates of clients, and the times of its revocation lists.
    fn verifier(&self) -> Result<(Arc<dyn ClientCertVerifier>, Vec<Validity>), TlsError> {
        let path = self.authorities.path();
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.authorities)? {
            roots.add(authority).map_err(|source| unusable(path, source))?;
        }
        let provider = Arc::new(default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let mut validities = Vec::new();
        if let Some(revoked) = &self.revoked {
            let kind = "revocation list";
            let lists: Vec<CertificateRevocationListDer<'_>> = all(revoked, kind)?;
            validities = known(revoked.path(), Validity::of_lists(&lists, revoked.path()));
            builder = builder.with_crls(lists).only_check_end_entity_revocation();
        }
        if self.is_optional {
            builder = builder.allow_unauthenticated();
        }
        let path = self.revoked.as_ref().map_or(path, |revoked| revoked.path());
        let verifier = builder.build().map_err(|source| unusable(path, source))?;
        Ok((verifier, validities))
    }
}

/// The times that are known. That they cannot be read is no reason to serve nobody.
fn known(file: &Path, validities: Result<Vec<Validity>, x509_cert::der::Error>) -> Vec<Validity> {
    validities.unwrap_or_else(|error| {
        let file = file.display();
        tracing::warn!(%file, %error, "cannot read until when this is valid, so no warning will come");
        Vec::new()
    })
}

/// The certificate with which the client of `connection` has proven itself, if it has one.
pub(super) fn client_certificate(connection: &ServerConnection) -> Option<ClientCertificate> {
    let certificate = connection.peer_certificates()?.first()?;
    // It was parsed before, when it was verified.
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    let names = parsed.valid_dns_names().chain(parsed.valid_uri_names());
    Some(ClientCertificate { names: names.map(str::to_owned).collect() })
}

fn certificates(file: &WatchedFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    all(file, "certificate")
}

fn private_key(file: &WatchedFile) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&files::read_secret(file.path())?).map_err(
        |source| match source {
            PemError::NoItemsFound => {
                let kind = "private key (of PKCS #8, PKCS #1 or SEC 1, and without a password)";
                TlsError::Empty { path: file.path().to_owned(), kind }
            }
            source => TlsError::Pem { path: file.path().to_owned(), source },
        },
    )
}

/// All items of one kind, at least one.
fn all<T: PemObject>(file: &WatchedFile, kind: &'static str) -> Result<Vec<T>, TlsError> {
    let path = || file.path().to_owned();
    let items: Result<Vec<T>, _> = T::pem_slice_iter(&files::read(file.path())?).collect();
    let items = items.map_err(|source| TlsError::Pem { path: path(), source })?;
    if items.is_empty() { Err(TlsError::Empty { path: path(), kind }) } else { Ok(items) }
}

fn unusable(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::Clients { path: path.to_owned(), source: Box::new(source) }
}
