//! No token, key or text is in the log, in an error, or in what the command line shows again.

use std::net::SocketAddr;

use prost::Message as _;
use tempfile::tempdir;
use whimbrel::api::v1::PublishRequest;

use crate::harness::program::Program;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::server::process::ServerProcess;

/// What a caller sends, in every place where it could be logged.
const PLANTED: [&str; 4] =
    ["planted-in-a-token", "planted-in-a-key", "planted-in-a-post", "planted-in-a-header"];

/// A server that logs all that it can logs none of what callers send.
#[tokio::test]
async fn the_log_has_no_secrets() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("data");
    let dir = data.to_str().unwrap();
    let created = Program::new()
        .run_with(&["key", "create", "--name", "backend", "--role", "service", "--data", dir]);
    let secret = created.printed().trim().to_owned();
    assert!(created.stderr.contains("shown once"), "{}", created.stderr);
    let listed = Program::new().run_with(&["key", "list", "--data", dir]);
    assert!(!listed.printed().contains(secret.splitn(3, '_').nth(2).unwrap()));
    assert!(listed.printed().contains("\"backend\""));

    let file = folder.path().join("log");
    let server = ServerProcess::start_tracing(&data, &[("WHIMBREL_AUTH", "1")], &file);
    let address: SocketAddr = server.address();
    let wire = Wire::connect(address).await;
    let post = PublishRequest {
        user_id: "alice".to_owned(),
        text: PLANTED[2].to_owned(),
        ..Default::default()
    };
    let good = format!("Bearer {secret}");
    let bad = [
        format!("Bearer {}", PLANTED[0]),
        format!("Bearer eyJhbGciOiJFZERTQSJ9.{}.x", PLANTED[0]),
        format!("Bearer whk_{}_x", PLANTED[1]),
        format!("Basic {}", PLANTED[3]),
        good.replace("_", "_x"),
    ];
    for value in &bad {
        let headers: [(&'static str, &[u8]); 1] = [("authorization", value.as_bytes())];
        let error = wire.call(PUBLISH, &headers, frame(&post.encode_to_vec())).await.unwrap_err();
        let shown = format!("{error:?}");
        assert!(PLANTED.iter().all(|planted| !shown.contains(planted)), "{shown}");
    }
    let headers: [(&'static str, &[u8]); 1] = [("authorization", good.as_bytes())];
    wire.call(PUBLISH, &headers, frame(&post.encode_to_vec())).await.expect("it is published");
    drop(wire);
    server.terminated().await;
    let log = std::fs::read_to_string(&file).unwrap();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is as verbose as it can be");
    for planted in PLANTED.iter().copied().chain([secret.splitn(3, '_').nth(2).unwrap()]) {
        assert!(!log.contains(planted), "{planted} is in the log");
    }
}

/// A token for development works where it is allowed, and only there.
#[tokio::test]
async fn development_tokens_are_opt_in() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("data");
    let dir = data.to_str().unwrap();
    let minted = Program::new().run_with(&["token", "alice", "--data", dir]);
    let token = minted.printed().trim().to_owned();
    let post = PublishRequest { text: "hello".to_owned(), ..Default::default() };
    let bearer = format!("Bearer {token}");
    let headers: [(&'static str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
    for (variable, works) in [("WHIMBREL_AUTH", false), ("WHIMBREL_DEVELOPMENT_TOKENS", true)] {
        let server = ServerProcess::start_with(&data, (variable, "1"));
        let wire = Wire::connect(server.address()).await;
        let call = wire.call(PUBLISH, &headers, frame(&post.encode_to_vec())).await;
        assert_eq!(call.is_ok(), works, "{variable}: {call:?}");
        server.terminated().await;
    }
    let no_user = Program::new().run_with(&["token", "--data", dir]);
    no_user.failed(1, "name the user");
    let nobody = Program::new().run_with(&["token", "bob", "--role", "admin", "--data", dir]);
    nobody.failed(1, "name none");
}
