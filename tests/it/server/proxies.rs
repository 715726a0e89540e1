//! Proxies in front of the server: whose connections and calls they say they pass on, and that
//! nobody else is believed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::HeaderMap;
use proxy_header::{ProxiedAddress, ProxyHeader, Tlv};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use whimbrel::api::Forwarding;
use whimbrel::config::{ForwardedHeader, Limits, Transport};

use crate::api::bad_input::publish;
use crate::harness::tls::TestAuthority;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{Setup, TestServer, eventually, within};

fn loopback() -> Transport {
    Transport { proxy_protocol_from: "127.0.0.1".parse().unwrap(), ..Transport::default() }
}

/// A server whose proxies are on this machine, with one connection for each address.
async fn behind_proxies(transport: Transport) -> TestServer {
    let limits = |limits: &mut Limits| limits.connections_per_address_max = 1;
    Setup::new().limits(limits).transport(transport).start().await
}

/// The header of a connection that a proxy passes on for `source`.
fn header_for(source: &str) -> Vec<u8> {
    let source: IpAddr = source.parse().unwrap();
    let port = |address: IpAddr| SocketAddr::new(address, 1_234);
    let destination = if source.is_ipv4() { "192.0.2.1" } else { "2001:db8::1" };
    let addresses = ProxiedAddress::stream(port(source), port(destination.parse().unwrap()));
    encoded(&ProxyHeader::with_tlvs(Some(addresses), [Tlv::Authority("feed.example.org".into())]))
}

fn encoded(header: &ProxyHeader<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode_v2(&mut bytes).unwrap();
    bytes
}

/// A connection that begins with `header`; `None` if the server closes it.
async fn connects(server: &TestServer, header: &[u8]) -> Option<Wire> {
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(header).await.ok()?;
    let wire = Wire::over(socket, server.address()).await?;
    wire.answer(PUBLISH, &[], frame(&publish("hi"))).await.ok()?.ok()?;
    Some(wire)
}

/// Connections count for the addresses that the proxy gives, and not for the proxy.
#[tokio::test]
async fn a_proxied_connection_counts_for_its_client() {
    let server = behind_proxies(loopback()).await;
    let first = connects(&server, &header_for("198.51.100.7")).await.expect("it has room");
    let second = connects(&server, &header_for("198.51.100.8")).await.expect("it has room");
    let sixth = connects(&server, &header_for("2001:db8:1:2::3")).await.expect("it has room");
    for full in ["198.51.100.7", "198.51.100.8", "::ffff:198.51.100.8", "2001:db8:1:2::4"] {
        assert!(connects(&server, &header_for(full)).await.is_none(), "{full} has a second");
    }
    drop(first);
    eventually("the slot to be free", async || {
        connects(&server, &header_for("198.51.100.7")).await
    })
    .await;
    for wire in [second, sixth] {
        wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the others stay");
    }
    // The proxy itself, as when it checks whether the server is there.
    let check = encoded(&ProxyHeader::with_local());
    let _check = connects(&server, &check).await.expect("it counts for the proxy");
    assert!(connects(&server, &check).await.is_none(), "the proxy has a second");
}

/// The header comes before TLS.
#[tokio::test]
async fn a_proxy_header_comes_before_tls() {
    let authority = TestAuthority::new();
    let transport = Transport { tls: authority.signs_server().transport().tls, ..loopback() };
    let server = behind_proxies(transport).await;
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(&header_for("198.51.100.7")).await.unwrap();
    let stream = authority.shakes_hands_over(socket).await.unwrap();
    let wire = Wire::over(stream, server.address()).await.unwrap();
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
    // Without a header there is no TLS.
    let without = authority.shakes_hands(server.address(), rustls::ALL_VERSIONS, &["h2"]).await;
    without.expect_err("the header is missing");
}

/// What is no header of version 2 is closed, and nothing is served.
#[tokio::test]
async fn a_bad_proxy_header_is_refused() {
    let server = behind_proxies(loopback()).await;
    let good = header_for("198.51.100.7");
    let changed = |at: usize, byte: u8| {
        let mut header = good.clone();
        header[at] = byte;
        header
    };
    let too_long = [&good[..14], &[0xff, 0xff], &[0; 0xffff]].concat();
    let bad = [
        b"PROXY TCP4 198.51.100.7 192.0.2.1 1234 50051\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        vec![b'\r'; 300],
        changed(12, 0x11),
        changed(12, 0x22),
        // UDP, a socket of the machine, and no known family.
        changed(13, 0x12),
        changed(13, 0x31),
        changed(13, 0x44),
        // Shorter than its addresses.
        changed(15, 4),
        too_long,
    ];
    for header in bad {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        // The server may close it before all is written.
        let _ = socket.write_all(&header).await;
        let mut rest = Vec::new();
        let _ = within("the server to close", socket.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{header:?} is answered");
    }
    for cut in 0..good.len() {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(&good[..cut]).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = within("the server to close", socket.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{cut} bytes of a header are answered");
    }
    connects(&server, &good).await.expect("others are served");
}

/// A header that does not come is not waited for.
#[tokio::test]
async fn a_missing_proxy_header_is_not_waited_for() {
    let limits = |limits: &mut Limits| limits.handshake_time_max = Duration::from_millis(50);
    let server = Setup::new().limits(limits).transport(loopback()).start().await;
    for sent in [&b""[..], &header_for("198.51.100.7")[..20]] {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(sent).await.unwrap();
        let mut rest = Vec::new();
        let _ = within("the server to close", socket.read_to_end(&mut rest)).await;
    }
}

/// Who is no proxy cannot say to be somebody else.
#[tokio::test]
async fn a_proxy_header_of_somebody_else_is_not_read() {
    let elsewhere = Transport {
        proxy_protocol_from: "192.0.2.0/24,2001:db8::/32".parse().unwrap(),
        ..Transport::default()
    };
    let server = behind_proxies(elsewhere).await;
    assert!(connects(&server, &header_for("198.51.100.7")).await.is_none(), "it is believed");
    eventually("one without a header", async || connects(&server, b"").await).await;
}

/// Behind a proxy that ends TLS, others are refused.
#[tokio::test]
async fn only_the_proxy_is_served() {
    for (networks, is_served) in [("127.0.0.1", true), ("192.0.2.7,10.0.0.0/8", false)] {
        let transport =
            Transport { behind_tls_proxy: networks.parse().unwrap(), ..Transport::default() };
        let server = Setup::new().transport(transport).start().await;
        assert_eq!(connects(&server, b"").await.is_some(), is_served, "{networks}");
    }
}

/// The client of a call is the rightmost address that is of no proxy, if a proxy sends the call.
#[test]
fn the_client_of_a_call_is_what_the_proxies_say() {
    use ForwardedHeader::{Forwarded, XForwardedFor};
    let behind = |forwarded_header| Transport {
        behind_tls_proxy: "10.0.0.0/8,2001:db8:1::/48".parse().unwrap(),
        forwarded_header: Some(forwarded_header),
        ..Transport::default()
    };
    let client = |header, peer: &str, headers: &[(&'static str, &str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let forwarding = Forwarding::new(&behind(header)).unwrap();
        forwarding.client(peer.parse().unwrap(), &map).to_string()
    };
    let proxy = "10.0.0.1";
    for (values, expected) in [
        (&["198.51.100.7"][..], "198.51.100.7"),
        (&["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (&["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        (&["198.51.100.7,10.0.0.2 , 10.1.2.3"], "198.51.100.7"),
        (&["198.51.100.7:4711"], "198.51.100.7"),
        (&["2001:db8:2::1, 2001:db8:1::5"], "2001:db8:2::1"),
        (&["[2001:db8:2::1]:443"], "2001:db8:2::1"),
        (&["::ffff:198.51.100.7"], "198.51.100.7"),
        // Nothing that a proxy would say is believed in part.
        (&["198.51.100.7, unknown"], proxy),
        (&["198.51.100.7,"], proxy),
        (&["10.0.0.2"], proxy),
        (&[""], proxy),
        (&[], proxy),
    ] {
        let headers: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
        assert_eq!(client(XForwardedFor, proxy, &headers), expected, "{values:?}");
    }
    for (value, expected) in [
        ("for=198.51.100.7", "198.51.100.7"),
        ("for=\"198.51.100.7:4711\";proto=https", "198.51.100.7"),
        ("by=10.0.0.3; FOR=\"[2001:db8:2::1]:4711\"", "2001:db8:2::1"),
        ("for=203.0.113.9, for=198.51.100.7;by=10.0.0.1, for=10.0.0.2", "198.51.100.7"),
        ("for=198.51.100.7, for=_hidden", proxy),
        ("for=198.51.100.7, proto=https", proxy),
        ("for=\"203.0.113.9, for=198.51.100.7", "198.51.100.7"),
    ] {
        assert_eq!(client(Forwarded, proxy, &[("forwarded", value)]), expected, "{value}");
    }
    // The other header is the client's own, and so is every header of a client without a proxy.
    let both = [("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "198.51.100.7")];
    assert_eq!(client(XForwardedFor, proxy, &both), "198.51.100.7");
    assert_eq!(client(Forwarded, proxy, &both), "203.0.113.9");
    assert_eq!(client(XForwardedFor, "192.0.2.9", &both), "192.0.2.9");
    assert!(Forwarding::new(&loopback()).is_none());
}
