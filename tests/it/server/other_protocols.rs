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

/// A request of HTTP/1.1 that is no call gets a sentence, however the network cuts it.
#[tokio::test]
async fn what_is_no_call_over_http_1_gets_a_sentence() {
    let server = patient().await;
    let large = "x".repeat(40_000);
    let last = "Host: x\r\nConnection: close\r\n";
    let get = format!("GET /no/call HTTP/1.1\r\n{last}\r\n");
    let one_by_one: Vec<&[u8]> = get.as_bytes().chunks(1).collect();
    let form = format!(
        "POST /whimbrel.v1.FeedService/Publish HTTP/1.1\r\n{last}Content-Type: text/plain\r\n\
         Content-Length: 1\r\n\r\nx"
    );
    let grpc = form.replace("text/plain", "application/grpc");
    let long = format!("GET /{large} HTTP/1.1\r\n{last}\r\n");
    let unknown = format!("M-SEARCH * HTTP/1.1\r\n{last}\r\n");
    let requests: [(&[&[u8]], &str); 8] = [
        (&[get.as_bytes()], "405 Method Not Allowed"),
        (&one_by_one, "405 Method Not Allowed"),
        (&[b"GET /no/call", b" HTTP/1.0\r\n\r\n"], "405 Method Not Allowed"),
        (&[unknown.as_bytes()], "405 Method Not Allowed"),
        (&[form.as_bytes()], "415 Unsupported Media Type"),
        (&[grpc.as_bytes()], "426 Upgrade Required"),
        (&[long.as_bytes()], "431 Request Header Fields Too Large"),
        (&[b"GET / HTTP/1.1\r\nno header\r\n\r\n"], "400 Bad Request"),
    ];
    for (request, status) in requests {
        let answer = String::from_utf8(exchange(server.address(), request).await).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head[8..].starts_with(&format!(" {status}")), "{head}");
        if status.starts_with("405") {
            assert!(body.starts_with("A call is a POST"), "{body}");
        }
    }
    let head = format!("HEAD / HTTP/1.1\r\n{last}\r\n");
    let answer = exchange(server.address(), &[head.as_bytes()]).await;
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
        let is_http = answer.starts_with(b"HTTP/1.1 400");
        assert!(answer.is_empty() || (is_http && noise.starts_with(b"PRI ")), "{answer:?}");
    }
}

/// A client of HTTP/1.1 that sends no further request is disconnected.
#[tokio::test]
async fn a_client_that_does_not_close_is_disconnected() {
    let server = TestServer::limited(|limits| {
        limits.connections_max = 1;
        limits.preface_time_max = Duration::from_millis(50);
    })
    .await;
    let mut lingering = TcpStream::connect(server.address()).await.unwrap();
    lingering.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
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
                for path in [PUBLISH, "/no/call", "/grpc.health.v1.Health/Check"] {
                    let answer = wire.http(method, path, grpc, frame(&publish("hi"))).await;
                    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
                    assert_eq!(answer.headers()["allow"], "POST");
                    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
                    let expected = if method == "HEAD" { "" } else { "A call is a POST" };
                    assert!(answer.body().starts_with(expected), "{answer:?}");
                }
            }
            let types: [&[u8]; 8] = [
                b"text/json",
                b"text/plain",
                b"application/x-www-form-urlencoded",
                b"application/grpc-web+json",
                b"application/connect+proto",
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
