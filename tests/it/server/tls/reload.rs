//! Files of TLS that change while the server serves.

use std::fs;

use rustls::pki_types::CertificateDer;

use crate::harness::tls::TestAuthority;
use crate::harness::{Setup, TestServer, eventually};
use crate::server::process::ServerProcess;

/// The certificate that a new connection is given.
async fn shown(
    authority: &TestAuthority,
    address: std::net::SocketAddr,
) -> CertificateDer<'static> {
    let stream = authority.shakes_hands(address, rustls::ALL_VERSIONS, &["h2"]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// New connections get the new certificate; open ones and their streams go on.
#[tokio::test]
async fn a_new_certificate_is_used_while_streams_are_open() {
    let authority = TestAuthority::new();
    let [files, renewed] = [(); 2].map(|()| authority.signs_server());
    let (before, after) = (files.der(), renewed.der());
    let server: TestServer = Setup::new().transport(files.transport()).start().await;
    let client = authority.connects(server.address()).await.unwrap();
    let request =
        whimbrel::api::v1::WatchFeedRequest { user_id: "bob".into(), ..Default::default() };
    let mut stream = client.watch_feed(request).await.unwrap();
    stream.next().await.unwrap().expect("the stream opens");
    assert!(shown(&authority, server.address()).await == before);

    files.replace_by(&renewed);
    eventually("the new certificate", async || {
        (shown(&authority, server.address()).await == after).then_some(())
    })
    .await;
    let post = whimbrel::api::v1::PublishRequest {
        user_id: "bob".into(),
        text: "hi".into(),
        ..Default::default()
    };
    client.publish(post).await.expect("an open connection goes on");
    let message = crate::harness::within("the post", stream.next()).await.unwrap();
    message.expect("an open stream goes on");
}

/// Files that cannot be used are logged once, with what is wrong, and the former ones stay in use
/// until there are good ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_changes_nothing_and_is_logged_once() {
    let authority = TestAuthority::new();
    let [files, renewed] = [(); 2].map(|()| authority.signs_server());
    let (before, after) = (files.der(), renewed.der());
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("WHIMBREL_TLS_CERT", files.certificate.to_str().unwrap()),
        ("WHIMBREL_TLS_KEY", files.key.to_str().unwrap()),
    ];
    let log = folder.path().join("log.txt");
    let server = ServerProcess::start_tracing(&folder.path().join("data"), &variables, &log);
    let address = server.address();
    let lines = |text: &str| -> Vec<String> {
        let log = fs::read_to_string(&log).unwrap();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    };

    fs::write(&files.certificate, "not a certificate").unwrap();
    let broken =
        eventually("the broken file to be found", async || lines("the former stay in use").pop())
            .await;
    let path = files.certificate.display().to_string();
    assert!(broken.contains("ERROR") && broken.contains(&path), "{broken}");
    assert!(shown(&authority, address).await == before, "a broken file is used");

    // The key alone is of another certificate.
    fs::copy(authority.signs_server().certificate, &files.certificate).unwrap();
    eventually("the wrong pair to be found", async || lines("the key its own").pop()).await;
    assert!(shown(&authority, address).await == before, "a wrong pair is used");

    files.replace_by(&renewed);
    eventually("the new certificate", async || {
        (shown(&authority, address).await == after).then_some(())
    })
    .await;
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(lines("has no certificate in PEM").len(), 1, "{:#?}", lines("in use"));
}
