//! Clients of other protocols: each gets a response that it understands, at little cost for the
//! server.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::bad_input::publish;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{TestServer, eventually, within};

/// A server that waits long for a preface.
async fn patient() -> TestServer {
    TestServer::limited(|limits| limits.preface_time_max = Duration::from_secs(3_600)).await
}

/// Sends `parts` to the server one after another, and returns its response when it closes.
async fn exchange(address: SocketAddr, parts: &[&[u8]]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for part in parts {
        socket.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    within("the server to close", socket.read_to_end(&mut answer)).await.expect("no reset");
    answer
}

/// An HTTP/1.1 request gets an HTTP/1.1 response with a message about gRPC.
#[tokio::test]
async fn http_1_gets_a_response_about_grpc() {
    let server = patient().await;
    let address = server.address();
    let large = format!("POST / HTTP/1.1\r\nHost: x\r\n\r\n{}", "x".repeat(40_000));
    let one_by_one: Vec<&[u8]> = b"OPTIONS * HTTP/1.1\r\n\r\n".chunks(1).collect();
    let requests: [&[&[u8]]; 8] = [
        &[b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        &[b"GET /", b" HTTP/1.0\r\n\r\n"],
        &[b"PUT http://example.org/ HTTP/1.1\r\n\r\n"],
        &[b"PRI * HTTP/1.1\r\n\r\n"],
        &[b"P", b"OST /whimbrel.v1.FeedService/Publish HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"],
        &[b"M-SEARCH * HTTP/1.1\r\n\r\n"],
        &[large.as_bytes()],
        &one_by_one,
    ];
    for request in requests {
        let answer = String::from_utf8(exchange(address, request).await).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 505 HTTP Version Not Supported\r\n"), "{head}");
        for header in ["Connection: close", "Content-Type: text/plain; charset=utf-8"] {
            assert!(head.contains(header), "{head}");
        }
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains("gRPC over HTTP/2 without TLS"), "{body}");
        assert!(body.contains(&format!("grpcurl -plaintext {address} list")), "{body}");
    }
    let answer = exchange(address, &[b"HEAD / HTTP/1.1\r\n\r\n"]).await;
    assert!(answer.ends_with(b"\r\n\r\n"), "a HEAD has no body");
    server.user("bob").publishes("other connections are served").await;
}

/// A TLS client gets a fatal TLS alert.
#[tokio::test]
async fn tls_is_answered_by_an_alert() {
    let server = patient().await;
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[7; 506]].concat();
    for parts in [&[hello.as_slice()][..], &[&hello[..1], &hello[1..2], &hello[2..]]] {
        assert_eq!(exchange(server.address(), parts).await, b"\x15\x03\x01\x00\x02\x02\x46");
    }
}

/// An unknown protocol is closed without a response.
#[tokio::test]
async fn an_unknown_protocol_is_closed() {
    let server = patient().await;
    let noise: [&[u8]; 7] =
        [b"\x16\x04", b"\0\0\0\0", b"hello", b"\r\n", b" ", b"PRI * HTTP/2.0\n\n", &[b'A'; 24]];
    for noise in noise {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(noise).await.unwrap();
        let mut answer = Vec::new();
        // Unread bytes may make a reset of the close.
        let _ = within("the server to close", socket.read_to_end(&mut answer)).await;
        let is_http = answer.starts_with(b"HTTP/1.1 505");
        assert!(answer.is_empty() || (is_http && noise.starts_with(b"PRI ")), "{answer:?}");
    }
}

/// A client may finish sending after the response, and gets no reset.
#[tokio::test]
async fn an_answered_client_may_finish_sending() {
    let server = patient().await;
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(b"POST / HTTP/1.1\r\nContent-Length: 25600\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    within("the answer", socket.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 505"));
    for part in 0..50 {
        let written = within("the body to be taken", socket.write_all(&[b'x'; 512])).await;
        written.unwrap_or_else(|error| panic!("part {part} of the body: {error}"));
        tokio::task::yield_now().await;
    }
}

/// A client that does not close after the response is disconnected.
#[tokio::test]
async fn a_client_that_does_not_close_is_disconnected() {
    let server = TestServer::limited(|limits| {
        limits.connections_max = 1;
        limits.preface_time_max = Duration::from_millis(50);
    })
    .await;
    let mut lingering = TcpStream::connect(server.address()).await.unwrap();
    lingering.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    within("the answer", lingering.read_to_end(&mut answer)).await.unwrap();
    // Its slot is free again, although the client has not closed.
    eventually("the slot to be free", async || {
        let socket = TcpStream::connect(server.address()).await.unwrap();
        let wire = Wire::over(socket, server.address()).await?;
        wire.answer(PUBLISH, &[], frame(&publish("hi"))).await.ok()?.ok()
    })
    .await;
    drop(lingering);
}

/// Over HTTP/2, a request that is no gRPC call is refused in plain HTTP, without an effect.
#[tokio::test]
async fn a_request_without_grpc_is_refused_in_plain_http() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    server
        .unchanged_by(async {
            let grpc: &[(&'static str, &[u8])] = &[("content-type", b"application/grpc")];
            for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
                for path in [PUBLISH, "/", "/grpc.health.v1.Health/Check"] {
                    let answer = wire.http(method, path, grpc, frame(&publish("hi"))).await;
                    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
                    assert_eq!(answer.headers()["allow"], "POST");
                    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
                    let expected = if method == "HEAD" { "" } else { "This port speaks gRPC" };
                    assert!(answer.body().starts_with(expected), "{answer:?}");
                }
            }
            let types: [&[u8]; 8] = [
                b"application/json",
                b"text/plain",
                b"application/x-www-form-urlencoded",
                b"application/grpc-web",
                b"application/grpc-web+proto",
                b"application/grpcx",
                b"application/gr",
                b"\xff",
            ];
            for content_type in types {
                let headers = [("content-type", content_type)];
                let answer = wire.http("POST", PUBLISH, &headers, frame(&publish("hi"))).await;
                assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
                assert!(answer.body().contains("application/grpc"), "{answer:?}");
            }
            let answer = wire.http("POST", PUBLISH, &[], frame(&publish("hi"))).await;
            assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        })
        .await;
    let types: [&[u8]; 5] = [
        b"application/grpc",
        b"application/grpc+proto",
        b"Application/gRPC",
        b"application/grpc; charset=utf-8",
        b"application/grpc+proto;x",
    ];
    for content_type in types {
        let headers = [("content-type", content_type)];
        wire.call(PUBLISH, &headers, frame(&publish("hi"))).await.expect("it is a call");
    }
}
