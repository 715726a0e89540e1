//! Listen addresses: names, several addresses, and refusals before anything is touched.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, Output};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use whimbrel::config::{self, Config, Listen, ListenError};
use whimbrel::server::{Error, Server, resolve};

use crate::harness::{Setup, User, connect, within};

fn parsed(text: &str) -> Result<Listen, ListenError> {
    text.parse()
}

/// Addresses, names, and all interfaces.
#[test]
fn every_good_form_is_accepted() {
    for address in ["127.0.0.1:50051", "0.0.0.0:0", "[::1]:50051", "[::]:65535", "[fe80::1%2]:1"] {
        assert_eq!(parsed(address), Ok(Listen::Address(address.parse().unwrap())));
        assert_eq!(parsed(address).unwrap().to_string(), address);
    }
    for name in ["localhost", "feed-1.example.org", "a_b", "example.org.", "1and1.example"] {
        let expected = Listen::Name { name: name.to_owned(), port: 50051 };
        assert_eq!(parsed(&format!("{name}:50051")), Ok(expected));
    }
    for everywhere in ["*:50051", ":50051"] {
        assert_eq!(parsed(everywhere), Ok(Listen::Everywhere { port: 50051 }));
    }
}

/// Each bad form has its own message, with a good example.
#[test]
fn every_bad_form_has_an_example_of_a_good_one() {
    let label = "x".repeat(64);
    for (text, expected) in [
        ("", "the address is empty"),
        ("localhost", "no port: write localhost:50051"),
        ("127.0.0.1", "no port: write 127.0.0.1:50051"),
        ("[::1]", "no port: write [::1]:50051"),
        ("50051", "only a port: write localhost:50051"),
        ("localhost:", "\"\" is not a port"),
        ("localhost:grpc", "\"grpc\" is not a port"),
        ("localhost:65536", "\"65536\" is not a port"),
        ("localhost:+1", "\"+1\" is not a port"),
        ("[::1]:x", "\"x\" is not a port"),
        ("::1", "needs brackets"),
        ("::1:50051", "needs brackets"),
        ("fe80::1:50051", "needs brackets"),
        ("localhost:50051:1", "needs brackets"),
        ("[::1", "is not an IPv6 address"),
        ("[127.0.0.1]:1", "is not an IPv6 address"),
        ("[localhost]:1", "is not an IPv6 address"),
        ("[]:1", "is not an IPv6 address"),
        ("256.0.0.1:1", "is not an IPv4 address"),
        ("127.1:1", "is not an IPv4 address"),
        ("http://localhost:50051", "this is a URL"),
        ("localhost:50051/", "this is a URL"),
        ("unix:/tmp/socket", "this is a URL"),
        ("local host:1", "is not a host name"),
        (" localhost:1", "is not a host name"),
        ("bob@localhost:1", "is not a host name"),
        ("a..b:1", "is not a host name"),
        ("a:1,b:1", "needs brackets"),
        ("höst:1", "is not a host name"),
        (&format!("{label}:1"), "is not a host name"),
    ] {
        let error = parsed(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        // The examples are valid.
        let example =
            error.rsplit([' ', ',']).find(|word| word.contains(":50051")).unwrap_or("*:1");
        parsed(example).unwrap_or_else(|error| panic!("{example}, for {text:?}: {error}"));
    }
}

/// A name stands for all its addresses. The check for loopback applies to the addresses, not to the
/// name.
#[tokio::test]
async fn a_name_stands_for_all_its_addresses() {
    let addresses = resolve(&parsed("localhost:0").unwrap()).await.unwrap();
    assert!(addresses.contains(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), "{addresses:?}");
    assert!(addresses.iter().all(|address| address.ip().is_loopback()));

    let error = resolve(&parsed("no-such-host.invalid:0").unwrap()).await.unwrap_err();
    assert!(matches!(&error, Error::Resolve { name, .. } if name == "no-such-host.invalid"));
    assert!(error.to_string().contains("127.0.0.1:50051"), "{error}");

    // A name with a loopback address and a public one.
    let folder = tempfile::tempdir().unwrap();
    let listen = vec!["127.0.0.1:0".parse().unwrap(), "192.0.2.1:0".parse().unwrap()];
    let config = Config { listen, ..Setup::new().config(&folder.path().join("data")) };
    let error = Server::open(config).await.unwrap_err();
    let Error::Config(config::Error::OpenToTheNetwork { listen, .. }) = error else {
        panic!("not refused: {error}")
    };
    assert_eq!(listen, "192.0.2.1:0".parse().unwrap());
    let config = Config { listen: Vec::new(), ..Setup::new().config(&folder.path().join("data")) };
    let error = Server::open(config).await.unwrap_err();
    assert!(matches!(error, Error::Config(config::Error::NoAddress)), "{error}");
    assert!(!folder.path().join("data").exists());
}

/// A server listens on all its addresses. With port 0 all have the same port.
#[tokio::test]
async fn all_addresses_are_listened_on() {
    let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    for listen in [
        vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()],
        resolve(&parsed("*:0").unwrap()).await.unwrap(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { listen, insecure: true, ..Setup::new().config(folder.path()) };
        let server = Server::open(config).await.unwrap();
        let addresses = server.addresses().to_vec();
        assert_eq!(addresses.len(), if has_v6 { 2 } else { 1 });
        assert!(addresses.iter().all(|address| address.port() == server.address().port()));
        let shutdown = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(server.run(shutdown.clone().cancelled_owned()));
        for address in addresses {
            let reached = match address {
                SocketAddr::V4(address) => (Ipv4Addr::LOCALHOST, address.port()).into(),
                SocketAddr::V6(address) => (Ipv6Addr::LOCALHOST, address.port()).into(),
            };
            User::new("bob", connect(reached)).publishes("hi").await;
        }
        shutdown.cancel();
        within("the server to stop", serving.join_next()).await.unwrap().unwrap().unwrap();
    }
}

/// An address that the machine does not have is skipped if there is another. An address in use is
/// an error.
#[tokio::test]
async fn a_missing_address_is_skipped() {
    let folders: [_; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let config = |listen, folder: usize| Config {
        listen,
        insecure: true,
        ..Setup::new().config(folders[folder].path())
    };
    let (here, elsewhere) = ("127.0.0.1:0".parse().unwrap(), "192.0.2.1:0".parse().unwrap());
    let server = Server::open(config(vec![elsewhere, here], 0)).await.unwrap();
    assert_eq!(server.addresses().len(), 1);
    assert!(server.address().ip().is_loopback());

    let error = Server::open(config(vec![elsewhere], 1)).await.unwrap_err();
    assert!(matches!(error, Error::Listen { address, .. } if address == elsewhere), "{error}");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let error = Server::open(config(vec![here, taken], 2)).await.unwrap_err();
    assert!(matches!(error, Error::Listen { address, .. } if address == taken), "{error}");
}

/// The program accepts names, and reports bad ones before it creates a folder.
#[test]
fn the_program_accepts_names() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let serve = |listen: &str| -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
        program.env("WHIMBREL_ADMIN_LISTEN", "none");
        program.args(["serve", "--listen", listen, "--data"]).arg(&data_dir).output().unwrap()
    };
    for (listen, code, expected) in [
        ("localhost", 2, "write localhost:50051"),
        ("http://localhost:50051", 2, "this is a URL"),
        ("no-such-host.invalid:50051", 4, "cannot listen on no-such-host.invalid"),
        ("*:0", 4, "refusing to listen on 0.0.0.0:0"),
        (":0", 4, "refusing to listen on 0.0.0.0:0"),
    ] {
        let Output { status, stdout, stderr } = serve(listen);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{listen}: {stderr}");
        assert!(stderr.contains(expected), "{listen}: {stderr}");
        assert!(stdout.is_empty() && !data_dir.exists());
    }
    // It began to listen, and then a port was in use.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let Output { status, stderr, .. } =
        serve(&format!("localhost:{}", other.local_addr().unwrap().port()));
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("cannot listen on 127.0.0.1:"), "{stderr}");
}
