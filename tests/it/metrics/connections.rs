//! Connections, handshakes and providers of keys, and what a scrape shows of them.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use whimbrel::auth::{Options, Settings};
use whimbrel::config::Limits;
use whimbrel::runtime::Clock;

use super::moved::reaches;
use crate::api::bad_input::publish;
use crate::auth::issuer::{SigningKey, key_set};
use crate::auth::providers::{Answer, Provider};
use crate::harness::Setup;
use crate::harness::admin::{Scraped, scrape};
use crate::harness::tls::TestAuthority;
use crate::harness::wire::{PUBLISH, Wire, frame};

/// One too many, one that says nothing, and one that ends.
pub(super) async fn refused_and_closed() -> Scraped {
    let limits = |limits: &mut Limits| {
        limits.connections_max = 1;
        limits.preface_time_max = Duration::from_millis(50);
    };
    let server = Setup::new().limits(limits).admin().start().await;
    let silent = TcpStream::connect(server.address()).await.unwrap();
    let closed = "whimbrel_connections_closed_total";
    reaches(&server, closed, &[("reason", "not_begun")], 1.0).await;
    drop(silent);
    let wire = Wire::connect(server.address()).await;
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
    let _second = TcpStream::connect(server.address()).await.unwrap();
    let full = [("reason", "connections_max")];
    let it = reaches(&server, "whimbrel_connections_refused_total", &full, 1.0).await;
    assert_eq!(it.sum("whimbrel_connections_open", &[]), 1.0);
    assert_eq!(it.sum("whimbrel_connections_accepted_total", &[]), 2.0);
    assert!(it.sum("whimbrel_received_bytes_total", &[]) > 24.0);
    assert!(it.sum("whimbrel_sent_bytes_total", &[]) > 24.0);
    drop(wire);
    reaches(&server, closed, &[("reason", "ended")], 1.0).await;
    let later = scrape(server.admin_address()).await;
    assert_eq!(later.sum("whimbrel_connections_open", &[]), 0.0);
    it
}

/// One that succeeds, one that fails, and those that do not end.
pub(super) async fn handshakes() -> Scraped {
    let authority = TestAuthority::new();
    let limits = |limits: &mut Limits| {
        limits.handshakes_max = 1;
        limits.handshake_time_max = Duration::from_secs(3_600);
    };
    let transport = authority.signs_server().transport();
    let server = Setup::new().limits(limits).transport(transport).admin().start().await;
    let shakes = async |alpn: &[&str]| {
        authority.shakes_hands(server.address(), rustls::ALL_VERSIONS, alpn).await
    };
    shakes(&["h2"]).await.expect("the handshake succeeds");
    let ended = "whimbrel_handshakes_total";
    // The client is done before the server is, and a second handshake would end the first.
    reaches(&server, ended, &[("outcome", "done")], 1.0).await;
    shakes(&["h3"]).await.expect_err("no such protocol");
    reaches(&server, ended, &[("outcome", "failed")], 1.0).await;
    let mut first = TcpStream::connect(server.address()).await.unwrap();
    first.write_all(b"\x16").await.unwrap();
    let it = reaches(&server, "whimbrel_handshakes_under_way", &[], 1.0).await;
    let _second = TcpStream::connect(server.address()).await.unwrap();
    reaches(&server, ended, &[("outcome", "handshakes_max")], 1.0).await;
    let mut last = reaches(&server, "whimbrel_certificate_end_timestamp_seconds", &[], 1.0).await;
    let now = Clock::system().since_epoch().unwrap();
    let end = last.sum("whimbrel_certificate_end_timestamp_seconds", &[("kind", "certificate")]);
    assert!(end > now.as_secs_f64(), "the certificate is valid until {end}");
    last.0.extend(it.0.into_iter().filter(|(_, value)| *value > 0.0));
    last
}

/// A provider whose keys are fetched.
pub(super) async fn a_provider() -> Scraped {
    let key = SigningKey::new(Algorithm::EdDSA, "a");
    let provider = Provider::start(Answer::Keys(key_set(&[&key])));
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::parse(&provider.settings(), folder.path()).unwrap();
    let options = Options { settings, development: false };
    let server = Setup::new().authentication(options).admin().start().await;
    reaches(&server, "whimbrel_key_fetches_total", &[("outcome", "done")], 1.0).await
}
