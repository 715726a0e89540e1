//! Authorities that sign certificates for tests, and TLS clients that show what they were given.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use whimbrel::client::{Client, ClientIdentity, ConnectOptions, Error};
use whimbrel::config::{ClientCertificates, ServerCertificate, Tls, Transport};

use super::wire::Wire;
use super::within;

/// The names of a server of a test.
pub(crate) const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// An authority, with a folder for its files.
#[derive(Debug)]
pub(crate) struct TestAuthority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) serial: SerialNumber,
}

impl TestAuthority {
    pub(crate) fn new() -> Self {
        Self::with_name("an authority of a test")
    }

    pub(crate) fn with_name(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let authority: Certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// The file with its certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for `names`, which are DNS names, addresses, or URIs.
    pub(crate) fn signs(&self, names: &[&str]) -> CertificateFiles {
        self.signs_with(names, |_| {})
    }

    /// As [`TestAuthority::signs`], and changed before it is signed.
    pub(crate) fn signs_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateFiles {
        let is_uri = |name: &&&str| name.contains("://");
        let others: Vec<String> =
            names.iter().filter(|name| !is_uri(name)).map(ToString::to_string).collect();
        let mut params = CertificateParams::new(others).unwrap();
        for uri in names.iter().filter(is_uri) {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
        }
        let serial = SerialNumber::from(fastrand::u64(..) >> 1);
        params.serial_number = Some(serial.clone());
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let file = |kind| self.folder.path().join(format!("{kind}-{serial}.pem"));
        let files = CertificateFiles { certificate: file("cert"), key: file("key"), serial };
        fs::write(&files.certificate, signed.pem()).unwrap();
        write_key(&files.key, &key.serialize_pem(), 0o600);
        files
    }

    /// A certificate of a server that calls itself by [`NAMES`].
    pub(crate) fn signs_server(&self) -> CertificateFiles {
        self.signs(&NAMES)
    }

    /// A file with a list of revoked certificates.
    pub(crate) fn revokes(&self, revoked: &[&CertificateFiles]) -> PathBuf {
        self.revokes_until(revoked, (2100, 1, 1))
    }

    /// The same, with the time at which the next list is due.
    pub(crate) fn revokes_until(
        &self,
        revoked: &[&CertificateFiles],
        (year, month, day): (i32, u8, u8),
    ) -> PathBuf {
        let revoked = revoked.iter().map(|files| RevokedCertParams {
            serial_number: files.serial.clone(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(year, month, day),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let file = self.folder.path().join("revoked.pem");
        fs::write(&file, params.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        file
    }

    /// What a client trusts that trusts this authority.
    pub(crate) fn trusted(&self) -> ConnectOptions {
        ConnectOptions { ca_file: Some(self.file()), ..ConnectOptions::default() }
    }

    /// The same, of a client with a certificate.
    pub(crate) fn trusted_by(&self, client: &CertificateFiles) -> ConnectOptions {
        let (certificate, key) = (client.certificate.clone(), client.key.clone());
        ConnectOptions { identity: Some(ClientIdentity { certificate, key }), ..self.trusted() }
    }

    /// A client that connects to `address` by the name `localhost`.
    pub(crate) async fn connects(&self, address: SocketAddr) -> Result<Client, Error> {
        self.connects_as(address, &self.trusted()).await
    }

    /// The same, with other options.
    pub(crate) async fn connects_as(
        &self,
        address: SocketAddr,
        options: &ConnectOptions,
    ) -> Result<Client, Error> {
        let address = format!("https://localhost:{}", address.port());
        within("a connection", Client::connect_with(&address, options)).await
    }

    /// TLS of `versions` with a server at `address`, whose client offers the protocols `alpn`.
    pub(crate) async fn shakes_hands(
        &self,
        address: SocketAddr,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.secures(TcpStream::connect(address).await?, versions, alpn, None).await
    }

    /// TLS over a connected socket.
    pub(crate) async fn shakes_hands_over(
        &self,
        socket: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.secures(socket, rustls::ALL_VERSIONS, &["h2"], None).await
    }

    /// HTTP/2 over TLS with a server at `address`, by a client with this certificate or without one.
    pub(crate) async fn speaks(
        &self,
        address: SocketAddr,
        client: Option<&CertificateFiles>,
    ) -> Option<Wire> {
        let identity = client.map(|files| {
            let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
            (vec![files.der()], key)
        });
        let socket = TcpStream::connect(address).await.ok()?;
        let stream = self.secures(socket, rustls::ALL_VERSIONS, &["h2"], identity).await.ok()?;
        Wire::over(stream, address).await
    }

    async fn secures(
        &self,
        socket: TcpStream,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some((certificates, key)) => config.with_client_auth_cert(certificates, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        let connecting = connector.connect("localhost".try_into().unwrap(), socket);
        within("a TLS handshake", connecting).await
    }
}

impl CertificateFiles {
    /// A server's transport with this certificate.
    pub(crate) fn transport(&self) -> Transport {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        let certificate = ServerCertificate::Files { certificate, key };
        Transport { tls: Some(Tls { certificate, clients: None }), ..Transport::default() }
    }

    /// The same, of a server that accepts clients of `authority`.
    pub(crate) fn transport_for(
        &self,
        authority: &TestAuthority,
        is_optional: bool,
        revoked: Option<PathBuf>,
    ) -> Transport {
        let mut transport = self.transport();
        let clients = ClientCertificates { authorities: authority.file(), revoked, is_optional };
        transport.tls.as_mut().unwrap().clients = Some(clients);
        transport
    }

    /// The certificate.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.certificate).unwrap()
    }

    /// Puts the content of `other` in the place of both files, as a renewal does.
    pub(crate) fn replace_by(&self, other: &Self) {
        for (file, content) in [(&self.certificate, &other.certificate), (&self.key, &other.key)] {
            let new = file.with_extension("new");
            fs::copy(content, &new).unwrap();
            fs::rename(new, file).unwrap();
        }
    }
}

/// Writes a key with the permissions `mode`.
pub(crate) fn write_key(file: &Path, pem: &str, mode: u32) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(file).unwrap();
    file.write_all(pem.as_bytes()).unwrap();
}
