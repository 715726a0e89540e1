//! Opening: configurations and data folders that are refused, without any change to the disk.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use whimbrel::auth;
use whimbrel::config::{self, Config, Lacks, ServerCertificate, Tls, Transport};
use whimbrel::server::{Error, Server};
use whimbrel::storage::{self, LocalLog};

use crate::harness::{LOG_OPTIONS, Setup, TestServer};
use crate::storage::segment_layout::set_format;

/// The file of a log with few events.
const SEGMENT: &str = "log/0000000000000001.seg";

/// An address that others can reach needs TLS and authentication, or `--insecure`. It is refused
/// before anything is touched, with what it lacks.
#[tokio::test]
async fn an_open_address_is_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let certificate = ServerCertificate::SelfSigned;
    let tls = Transport { tls: Some(Tls { certificate, clients: None }), ..Transport::default() };
    let proxied =
        Transport { behind_tls_proxy: "10.0.0.0/8".parse().unwrap(), ..Transport::default() };
    let transports = [(Transport::default(), false), (tls, true), (proxied, true)];
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:50051"] {
        let listen: Vec<SocketAddr> = vec![address.parse().unwrap()];
        for (transport, is_encrypted) in transports.clone() {
            for is_authenticated in [false, true] {
                let settings = auth::Settings::default();
                let options = auth::Options { settings, development: false };
                let authentication = is_authenticated.then_some(options);
                let listen = listen.clone();
                let transport = transport.clone();
                let config =
                    Config { listen, transport, authentication, ..Setup::new().config(&data_dir) };
                Config { insecure: true, ..config.clone() }.check().expect("insecure was set");
                let expected = match (is_encrypted, is_authenticated) {
                    (true, true) => {
                        config.check().expect("it is safe");
                        continue;
                    }
                    (true, false) => Lacks::Authentication,
                    (false, true) => Lacks::Tls,
                    (false, false) => Lacks::Both,
                };
                let error = Server::open(config).await.unwrap_err();
                let Error::Config(config::Error::OpenToTheNetwork { lacks, .. }) = &error else {
                    panic!("{error}")
                };
                assert_eq!(*lacks, expected);
                let message = error.to_string();
                assert!(message.contains("--insecure"), "{message}");
                assert_eq!(message.contains("--tls-cert"), !is_encrypted, "{message}");
                assert_eq!(message.contains("not authenticated"), !is_authenticated, "{message}");
            }
        }
    }
    assert!(!data_dir.exists());
    for address in ["127.0.0.1:0", "127.8.9.10:0", "[::1]:0"] {
        let listen = vec![address.parse().unwrap()];
        Config { listen, ..Setup::new().config(&data_dir) }.check().expect("a loopback address");
    }
}

/// A missing data folder is created, with its parents.
#[tokio::test]
async fn a_missing_folder_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("some/where");
    let server = Server::open(Setup::new().config(&data_dir)).await.expect("it opens");
    assert!(server.address().ip().is_loopback());
    assert!(data_dir.join("log").exists());
}

/// A folder has one server. A second one names the first in its error, and does not disturb it.
#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let server = TestServer::start().await;
    let folder = server.folder();
    let error = Server::open(Setup::new().config(folder.path())).await.unwrap_err();
    assert!(matches!(error, Error::Log(storage::Error::InUse { .. })), "{error}");
    let message = error.to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert!(message.contains(&folder.path().display().to_string()), "{message}");

    server.user("bob").publishes("still here").await;
    assert_eq!(server.user("bob").feed().await.texts(), ["still here"]);
}

/// A port in use is reported, and the folder is free again.
#[tokio::test]
async fn an_address_in_use_is_refused() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = Config { listen: vec![server.address()], ..Setup::new().config(folder.path()) };
    let error = Server::open(config).await.unwrap_err();
    assert!(matches!(error, Error::Listen { address, .. } if address == server.address()));
    Setup::new().start_on(folder.into()).await.user("bob").publishes("hi").await;
}

/// A log of another format, as a later version writes it, is refused and not changed.
#[test]
fn a_log_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap());
    let file = folder.path().join(SEGMENT);
    let written = std::fs::read(&file).unwrap();
    let mut later = written.clone();
    set_format(&mut later, 4);
    std::fs::write(&file, &later).unwrap();
    let names = names_in(&folder.path().join("log"));
    for _ in 0..2 {
        let error = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap_err();
        assert!(
            matches!(&error, storage::Error::OtherFormat { other, .. } if other.found == Some(4)),
            "{error}"
        );
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        assert!(std::fs::read(&file).unwrap() == later, "a refused file has changed");
        assert_eq!(names_in(&folder.path().join("log")), names);
    }

    set_format(&mut later, 3);
    assert!(later == written);
    std::fs::write(&file, later).unwrap();
    LocalLog::open(folder.path(), LOG_OPTIONS).expect("nothing was changed");
}

/// A file that is no log is refused, with its name in the error. No log is begun over it.
#[test]
fn a_file_that_is_no_log_is_refused() {
    for content in [&[][..], b"hello", &[0; 4096], &[0xff; 100_000]] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(SEGMENT);
        std::fs::create_dir(folder.path().join("log")).unwrap();
        std::fs::write(&file, content).unwrap();
        for _ in 0..2 {
            let error = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap_err();
            assert!(matches!(error, storage::Error::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(&file.display().to_string()), "{error}");
            assert!(std::fs::read(&file).unwrap() == content, "the file has changed");
            assert_eq!(names_in(&folder.path().join("log")).len(), 1, "another file was made");
        }
    }
}

fn names_in(folder: &Path) -> BTreeSet<OsString> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}
