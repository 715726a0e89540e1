//! TLS: what handshakes are accepted, who is asked for a certificate, and what happens when files
//! change.

mod backpressure;
mod client_certificates;
mod files;
mod handshakes;
mod program;
mod records;
mod reload;
mod validity;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use whimbrel::client::{Client, Error, TlsProblem};

use crate::api::bad_input::publish;
use crate::harness::tls::TestAuthority;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{Setup, TestServer, within};

/// A server with a certificate of `authority`.
async fn server_of(authority: &TestAuthority) -> TestServer {
    Setup::new().transport(authority.signs_server().transport()).start().await
}

/// Calls go through TLS 1.2 and 1.3, and HTTP/2 is agreed on.
#[tokio::test]
async fn both_versions_of_tls_serve() {
    let authority = TestAuthority::new();
    let server = server_of(&authority).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = authority.shakes_hands(server.address(), &[version], &["h2"]).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        let wire = Wire::over(stream, server.address()).await.unwrap();
        wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
    }
}

/// A client that offers no version of HTTP is refused; one that offers none at all begins with either.
#[tokio::test]
async fn a_version_of_http_is_agreed_on() {
    let authority = TestAuthority::new();
    let server = server_of(&authority).await;
    let shakes_hands = async |alpn: &[&str]| {
        authority.shakes_hands(server.address(), rustls::ALL_VERSIONS, alpn).await
    };
    for (offered, agreed) in [(&["http/1.1", "h2"][..], &b"h2"[..]), (&["http/1.1"], b"http/1.1")] {
        let stream = shakes_hands(offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(agreed));
    }
    let error = shakes_hands(&["h3", "spdy/1"]).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");

    let wire = Wire::over(shakes_hands(&[]).await.unwrap(), server.address()).await.unwrap();
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
    for alpn in [&["http/1.1"][..], &[]] {
        let mut other = shakes_hands(alpn).await.unwrap();
        let request = b"GET /no/call HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        other.write_all(request).await.unwrap();
        let mut answer = String::new();
        within("the server to close", other.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    }
}

/// A client that does not trust the server says why, and what to do, and is not called transient.
#[tokio::test]
async fn a_client_says_what_is_wrong_with_a_certificate() {
    let authority = TestAuthority::new();
    let server = server_of(&authority).await;
    let problem = |connected: Result<Client, Error>| match connected.expect_err("no trust") {
        error @ Error::Tls { .. } if error.is_transient() => panic!("{error} is transient"),
        Error::Tls { problem, .. } => problem,
        error => panic!("{error}"),
    };
    let of_same_name = TestAuthority::new();
    for other in [of_same_name, TestAuthority::with_name("another authority")] {
        let unknown = problem(other.connects(server.address()).await);
        assert_eq!(unknown, TlsProblem::UnknownAuthority);
        assert!(unknown.to_string().contains("--ca-file"), "{unknown}");
    }

    let named = authority.signs(&["feed.example.org"]).transport();
    let server = Setup::new().transport(named).start().await;
    let other_name = problem(authority.connects(server.address()).await);
    assert!(matches!(other_name, TlsProblem::OtherName { .. }), "{other_name}");
    assert!(other_name.to_string().contains("feed.example.org"), "{other_name}");

    let expired = authority.signs_with(&["localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2001, 2, 3);
    });
    let server = Setup::new().transport(expired.transport()).start().await;
    let expired = problem(authority.connects(server.address()).await);
    assert!(matches!(expired, TlsProblem::NotNow { .. }), "{expired}");
}

/// A client without TLS learns in clear text that the port speaks TLS, whatever HTTP it speaks.
#[tokio::test]
async fn a_client_without_tls_is_told() {
    let authority = TestAuthority::new();
    let server = server_of(&authority).await;
    let address = server.address();
    let expected = format!("This port speaks TLS: call https://{address}");

    let mut http1 = TcpStream::connect(address).await.unwrap();
    http1.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within("the server to close", http1.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains(&expected), "{answer}");

    let client = Client::connect(&address.to_string()).await.expect("TCP connects");
    let error = within("an answer", client.check_health()).await.unwrap_err();
    assert!(error.to_string().contains(&expected), "{error}");

    for noise in [&b"hello, is there anybody?"[..], b"\0\0\0\0", b"\x15\x03\x01\x00\x02\x02\x46"] {
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(noise).await.unwrap();
        let mut answer = Vec::new();
        // Unread bytes may make a reset of the close.
        let _ = within("the server to close", other.read_to_end(&mut answer)).await;
        assert!(answer.is_empty(), "{answer:?}");
    }
    authority.connects(address).await.unwrap().check_health().await.expect("others are served");
}

/// A client with TLS learns from a server without it that it has to go on without.
#[tokio::test]
async fn a_client_with_tls_is_told_by_a_server_without() {
    let server = TestServer::start().await;
    let error = TestAuthority::new().connects(server.address()).await.unwrap_err();
    assert!(matches!(error, Error::Tls { problem: TlsProblem::NoTls, .. }), "{error}");
    assert!(error.to_string().contains("http://"), "{error}");
}
