//! Opening: configurations and data folders that are refused, without any change to the disk.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use whimbrel::config::{self, Config};
use whimbrel::model::Revision;
use whimbrel::server::{Error, Server};
use whimbrel::storage::{self, LocalLog, Log, LogEntry, StorageOptions};

use crate::harness::core::Core;
use crate::harness::disk::Disk;
use crate::harness::{Setup, TestServer};

/// The size of redb's header, which says which of two commits is the newest and where it is.
const HEADER_BYTES: usize = 320;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const OPTIONS: StorageOptions = StorageOptions { cache_bytes: 1 << 20, disk_free_bytes_min: 0 };

/// An address that others can reach is refused without `--insecure`, before anything is touched.
#[tokio::test]
async fn an_open_address_is_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:50051"] {
        let listen: Vec<SocketAddr> = vec![address.parse().unwrap()];
        let config = Config { listen, ..Setup::new().config(&data_dir) };
        let error = Server::open(config.clone()).await.unwrap_err();
        assert!(matches!(error, Error::Config(config::Error::OpenToTheNetwork { .. })));
        assert!(error.to_string().contains("--insecure"), "{error}");
        assert!(!data_dir.exists());
        Config { insecure: true, ..config }.check().expect("insecure was set");
    }
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
    assert!(data_dir.join("log.redb").exists());
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

/// A file of another format is refused and not changed.
#[test]
fn a_file_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(LocalLog::open(folder.path(), OPTIONS).unwrap());
    let file = folder.path().join("log.redb");
    set_format(&file, 3);
    let error = LocalLog::open(folder.path(), OPTIONS).unwrap_err();
    assert!(matches!(error, storage::Error::OtherFormat { found: 3, supported: 2, .. }), "{error}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");

    set_format(&file, 2);
    LocalLog::open(folder.path(), OPTIONS).expect("nothing was changed");
}

fn set_format(file: &Path, format: u64) {
    let database = Database::create(file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", format).unwrap();
    transaction.commit().unwrap();
}

/// A file of a later version is not given tables or keys of this version.
#[test]
fn nothing_is_added_to_a_file_of_another_format() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.redb");
    set_format(&file, 3);
    LocalLog::open(folder.path(), OPTIONS).unwrap_err();

    let database = Database::create(&file).unwrap();
    let transaction = database.begin_read().unwrap();
    assert_eq!(transaction.open_table(META).unwrap().len().unwrap(), 1);
    assert_eq!(transaction.list_tables().unwrap().count(), 1);
}

/// A file without the tables of a log, as after damage, is not taken for an empty log.
#[test]
fn a_file_without_the_tables_of_a_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.redb");
    Database::create(&file).unwrap();
    let error = LocalLog::open(folder.path(), OPTIONS).unwrap_err();
    assert!(matches!(error, storage::Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

/// A file that is no log is refused, with its name in the error.
#[test]
fn a_file_that_is_no_log_is_refused() {
    for content in [&b"hello"[..], &[0; 4096], &[0xff; 100_000]] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.redb");
        std::fs::write(&file, content).unwrap();
        let error = LocalLog::open(folder.path(), OPTIONS).unwrap_err();
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), content, "the file is not changed");
    }
}

/// A closed file with any byte changed opens with all its data, or is refused with its name. No
/// data are ever missing or different.
#[tokio::test]
async fn a_changed_byte_is_harmless_or_found() {
    let core = Core::limited(|_| ());
    for number in 0..150 {
        core.publish("alice", &format!("post {number} {}", "x".repeat(number))).await;
        core.follow("bob", &format!("user{number}")).await;
    }
    let whole = core.closed().await.bytes();
    let expected = read(whole.clone()).expect("the file is whole");
    assert_eq!(expected.len(), 300);

    let mut random = fastrand::Rng::with_seed(7);
    let anywhere = (0..600).map(|_| (random.usize(..whole.len()), random.u8(1..)));
    // The header, which says what the rest of the file means.
    let in_header = (0..HEADER_BYTES).flat_map(|at| [(at, 1), (at, 2), (at, 0x40), (at, 0xff)]);
    let mut refused = 0;
    for (at, change) in in_header.chain(anywhere) {
        let mut damaged = whole.clone();
        damaged[at] ^= change;
        match read(damaged) {
            Ok(entries) => {
                assert!(entries == expected, "{change:#x} at byte {at} changed the data")
            }
            Err(error) => {
                assert!(error.to_string().contains("the file"), "at byte {at}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "no change had an effect");
}

fn read(bytes: Vec<u8>) -> Result<Vec<LogEntry>, storage::Error> {
    let log = LocalLog::with_files(Disk::holding(bytes), "the file", OPTIONS)?;
    let entries = log.read(Revision::ZERO, usize::MAX);
    // redb may panic when it closes the file, after everything was read.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(log)));
    entries
}
