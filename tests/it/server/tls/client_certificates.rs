//! Certificates of clients: required or not, of whom, and revoked.

use std::time::Duration;

use whimbrel::api::v1::{NewsFeedRequest, PublishRequest};
use whimbrel::auth;
use whimbrel::client::{Client, ConnectOptions, Error};

use crate::harness::tls::{CertificateFiles, TestAuthority};
use crate::harness::wire::frame;
use crate::harness::{Setup, TestServer, eventually, within};
use crate::server::process::ServerProcess;

const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// A server's authority, the clients' authority, and what the first one's clients trust.
struct Parties {
    servers: TestAuthority,
    clients: TestAuthority,
}

impl Parties {
    fn new() -> Self {
        Self { servers: TestAuthority::new(), clients: TestAuthority::new() }
    }

    async fn server(&self, is_optional: bool) -> TestServer {
        let transport = self.servers.signs_server().transport_for(&self.clients, is_optional, None);
        Setup::new().transport(transport).start().await
    }

    /// Connects and calls. A server of TLS 1.3 refuses a client after the client has ended its
    /// handshake.
    async fn calls(&self, server: &TestServer, options: &ConnectOptions) -> Result<Client, Error> {
        let client = self.servers.connects_as(server.address(), options).await?;
        within("an answer", client.check_health()).await?;
        Ok(client)
    }

    fn with(&self, client: &CertificateFiles) -> ConnectOptions {
        self.servers.trusted_by(client)
    }
}

/// Where certificates are required, only those of the right authority get in, and the others are
/// shown what to do.
#[tokio::test]
async fn a_required_certificate_is_required() {
    let parties = Parties::new();
    let server = parties.server(false).await;
    let known = parties.clients.signs(&["backend.example.org"]);
    parties.calls(&server, &parties.with(&known)).await.expect("it is known");

    let none = parties.calls(&server, &parties.servers.trusted()).await.unwrap_err();
    assert!(none.to_string().contains("--client-cert"), "{none}");
    let stranger = parties.servers.signs(&["backend.example.org"]);
    let error = parties.calls(&server, &parties.with(&stranger)).await.unwrap_err();
    assert!(error.to_string().contains("refuses the certificate"), "{error}");
    let expired = parties.clients.signs_with(&["backend.example.org"], |params| {
        params.not_after = rcgen::date_time_ymd(2001, 2, 3);
    });
    let error = parties.calls(&server, &parties.with(&expired)).await.unwrap_err();
    assert!(error.to_string().contains("refuses the certificate"), "{error}");
}

/// Where they are optional, a client may have none; but not one of a stranger.
#[tokio::test]
async fn an_optional_certificate_may_be_missing_and_not_wrong() {
    let parties = Parties::new();
    let server = parties.server(true).await;
    let known = parties.clients.signs(&["backend.example.org"]);
    parties.calls(&server, &parties.with(&known)).await.expect("it is known");
    parties.calls(&server, &parties.servers.trusted()).await.expect("it may have none");
    let stranger = parties.servers.signs(&["backend.example.org"]);
    parties.calls(&server, &parties.with(&stranger)).await.unwrap_err();
}

/// A revoked certificate is refused, as soon as the list has it.
#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let parties = Parties::new();
    let revoked = parties.clients.revokes(&[]);
    let transport =
        parties.servers.signs_server().transport_for(&parties.clients, false, Some(revoked));
    let server = Setup::new().transport(transport).start().await;
    let [kept, stolen] = [(); 2].map(|()| parties.clients.signs(&["backend.example.org"]));
    for known in [&kept, &stolen] {
        parties.calls(&server, &parties.with(known)).await.expect("it is known");
    }
    parties.clients.revokes(&[&stolen]);
    eventually("the list to be read", async || {
        parties.calls(&server, &parties.with(&stolen)).await.err()
    })
    .await;
    parties.calls(&server, &parties.with(&kept)).await.expect("it is not revoked");
}

/// A connection that is open when its certificate is revoked goes on until it is as old as
/// connections get. The certificate opens no other.
#[tokio::test]
async fn a_revoked_certificate_lasts_as_long_as_its_connection() {
    let parties = Parties::new();
    let revoked = parties.clients.revokes(&[]);
    let transport =
        parties.servers.signs_server().transport_for(&parties.clients, false, Some(revoked));
    let stolen = parties.clients.signs(&["backend.example.org"]);
    let open = Setup::new().transport(transport.clone()).start().await;
    let aging = Setup::new().transport(transport).limits(|limits| {
        limits.connection_age_max = Duration::from_millis(300);
        // Only a connection that is closed for its age is closed before this.
        limits.drain_time_max = Duration::from_secs(3_600);
    });
    let aging = aging.start().await;
    let speaks = async |server: &TestServer| {
        parties.servers.speaks(server.address(), Some(&stolen)).await.expect("it is known")
    };
    let (goes_on, ages) = (speaks(&open).await, speaks(&aging).await);
    goes_on.call(HEALTH, &[], frame(b"")).await.expect("its certificate is good");
    parties.clients.revokes(&[&stolen]);
    for server in [&open, &aging] {
        eventually("the certificate to be refused", async || {
            let error = parties.calls(server, &parties.with(&stolen)).await.err()?;
            error.to_string().contains("refuses the certificate").then_some(())
        })
        .await;
    }
    goes_on.call(HEALTH, &[], frame(b"")).await.expect("an open connection goes on");
    ages.closed().await;
}

/// The names of a certificate are those of its DNS names and URIs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_names_of_a_certificate_are_known() {
    let parties = Parties::new();
    let files = parties.servers.signs_server();
    let folder = tempfile::tempdir().unwrap();
    let authorities = parties.clients.file();
    let log = folder.path().join("log.txt");
    let server = ServerProcess::start_tracing(
        &folder.path().join("data"),
        &[
            ("WHIMBREL_TLS_CERT", files.certificate.to_str().unwrap()),
            ("WHIMBREL_TLS_KEY", files.key.to_str().unwrap()),
            ("WHIMBREL_TLS_CLIENT_CA", authorities.to_str().unwrap()),
            ("WHIMBREL_TLS_CLIENT_OPTIONAL", "1"),
        ],
        &log,
    );
    let known = parties.clients.signs(&["b.example.org", "spiffe://example.org/b", "10.0.0.1"]);
    for options in [parties.with(&known), parties.servers.trusted()] {
        let client = parties.servers.connects_as(server.address(), &options).await.unwrap();
        client.check_health().await.unwrap();
    }
    assert_eq!(server.terminate(), Some(0));
    let output = std::fs::read_to_string(log).unwrap();
    let begun: Vec<_> =
        output.lines().filter(|line| line.contains("a connection begins")).collect();
    let names = r#"certificate=Some(["b.example.org", "spiffe://example.org/b"])"#;
    assert!(begun[0].contains(names) && begun[1].contains("certificate=None"), "{begun:#?}");
}

/// A certificate whose name the settings have is a caller, without a token; any other is nobody.
#[tokio::test]
async fn a_certificate_with_a_known_name_is_a_caller() {
    let parties = Parties::new();
    let text = "[[certificate]]\nname = \"spiffe://example.org/ranker\"\nrole = \"service-reader\"";
    let settings = auth::Settings::parse(text, "/".as_ref()).unwrap();
    let transport = parties.servers.signs_server().transport_for(&parties.clients, true, None);
    let options = auth::Options { settings, development: false };
    let server = Setup::new().transport(transport).authentication(options).start().await;
    let read = NewsFeedRequest { user_id: "alice".to_owned(), ..Default::default() };
    let reason = |error: Error| match error {
        Error::Call(error) => error.reason,
        error => panic!("{error}"),
    };

    let ranker = parties.clients.signs(&["ranker.example.org", "spiffe://example.org/ranker"]);
    let client = parties.calls(&server, &parties.with(&ranker)).await.unwrap();
    client.news_feed(read.clone()).await.expect("it reads for everybody");
    let post = PublishRequest { user_id: "bob".into(), text: "hi".into(), ..Default::default() };
    assert_eq!(reason(client.publish(post).await.unwrap_err()), "ROLE_NOT_ALLOWED");

    let other = parties.clients.signs(&["spiffe://example.org/ranker2", "ranker"]);
    for options in [parties.with(&other), parties.servers.trusted()] {
        let client = parties.calls(&server, &options).await.unwrap();
        assert_eq!(reason(client.news_feed(read.clone()).await.unwrap_err()), "NO_TOKEN");
    }
}
