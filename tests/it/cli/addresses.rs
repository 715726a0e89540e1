//! Server addresses as users write them: supported forms connect, and others are refused before
//! anything is sent.

use whimbrel::client::{Address, AddressError, Client, Error};

use crate::harness::TestServer;
use crate::harness::program::Program;

/// Every supported form is the same address.
#[test]
fn an_address_has_several_forms() {
    for (given, meant) in [
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("http://127.0.0.1:50051", "127.0.0.1:50051"),
        ("HTTP://127.0.0.1:50051", "127.0.0.1:50051"),
        ("http://127.0.0.1:50051/", "127.0.0.1:50051"),
        ("127.0.0.1:50051/", "127.0.0.1:50051"),
        (" \t127.0.0.1:50051\r\n", "127.0.0.1:50051"),
        ("feed.example.org:80", "feed.example.org:80"),
        ("http://feed_1.example:080", "feed_1.example:80"),
        ("[::1]:65535", "[::1]:65535"),
        ("http://[::1]:1/", "[::1]:1"),
        ("https://127.0.0.1:50051", "https://127.0.0.1:50051"),
        ("HTTPS://feed.example.org:443/", "https://feed.example.org:443"),
        (" https://[::1]:1\n", "https://[::1]:1"),
    ] {
        let address: Address = given.parse().unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!(address.to_string(), meant, "{given:?}");
        assert_eq!(address.is_tls(), meant.starts_with("https://"), "{given:?}");
    }
}

/// Unsupported and ambiguous forms are refused, each with its reason.
#[test]
fn unsupported_forms_are_refused() {
    let scheme = |scheme: &str| AddressError::Scheme { scheme: scheme.to_owned() };
    let path = |rest: &str| AddressError::Path { rest: rest.to_owned() };
    let port = |port: &str| AddressError::Port { port: port.to_owned() };
    let host = |host: &str| AddressError::Host { host: host.to_owned() };
    for (given, why) in [
        ("", AddressError::Empty),
        (" \n", AddressError::Empty),
        ("grpcs://127.0.0.1:50051", scheme("grpcs")),
        ("grpc://127.0.0.1:50051", scheme("grpc")),
        ("ftp://127.0.0.1:50051", scheme("ftp")),
        ("dns:///127.0.0.1:50051", scheme("dns")),
        ("://127.0.0.1:50051", scheme("")),
        ("http://127.0.0.1:50051/path?query", path("/path?query")),
        ("127.0.0.1:50051//", path("//")),
        ("127.0.0.1:50051?query", path("?query")),
        ("127.0.0.1:50051#part", path("#part")),
        ("unix:/run/whimbrel", path("/run/whimbrel")),
        ("http://me:secret@127.0.0.1:50051", AddressError::UserInfo),
        ("me@127.0.0.1:50051", AddressError::UserInfo),
        ("localhost", AddressError::NoPort),
        ("http://localhost/", AddressError::NoPort),
        ("localhost:", AddressError::NoPort),
        ("[::1]", AddressError::NoPort),
        ("127.0.0.1:0", port("0")),
        ("127.0.0.1:65536", port("65536")),
        ("127.0.0.1:http", port("http")),
        ("127.0.0.1:+80", port("+80")),
        ("127.0.0.1:-1", port("-1")),
        ("::1:50051", AddressError::Brackets),
        ("fe80::1", AddressError::Brackets),
        (":50051", host("")),
        ("[]:50051", host("[]")),
        ("[::1]x:50051", host("[::1]x:50051")),
        ("two words:50051", host("two words")),
    ] {
        assert_eq!(given.parse::<Address>(), Err(why), "{given:?}");
    }
}

/// The client and the command line refuse them too, although a server listens there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_an_unsupported_address() {
    let server = TestServer::start().await;
    let address = server.address();
    server
        .unchanged_by(async {
            for scheme in ["grpcs", "ftp", "grpc"] {
                let given = format!("{scheme}://{address}");
                let error = Client::connect(&given).await.expect_err("the form is unsupported");
                assert!(matches!(error, Error::Address { .. }) && !error.is_transient(), "{error}");
                assert!(error.to_string().contains(scheme), "{error}");

                let by_flag = Program::new().run(&format!("follow alice bob --addr {given}"));
                by_flag.failed(2, scheme).failed(2, "https://host:port");
                let by_variable = Program::new().with("WHIMBREL_ADDR", &given);
                by_variable.run("follow alice bob").failed(2, scheme);
            }
        })
        .await;
    for given in [format!("HTTP://{address}/"), format!(" {address}\n")] {
        Program::new().with("WHIMBREL_ADDR", &given).run("feed alice").printed();
    }
}
