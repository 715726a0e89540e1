//! Starts that the program refuses quickly and clearly, and situations in which a server must not
//! end.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use rustix::process::Signal;
use whimbrel::api::v1::PublishRequest;
use whimbrel::client::{Client, Error};
use whimbrel::model::{Change, Content, Event, PostText, Timestamp, UserId};
use whimbrel::storage::{LocalLog, Log, LogOptions};

use crate::harness::LOG_OPTIONS;
use crate::server::process::ServerProcess;

const ANY_PORT: &str = "127.0.0.1:0";

/// A port in use is reported before anything else is done.
#[test]
fn a_taken_port_is_reported_before_the_data_are_touched() {
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (code, output) = ServerProcess::refuses(&data, taken.local_addr().unwrap());
    assert_eq!(code, Some(4), "{output}");
    assert!(output.contains("cannot listen on") && output.contains("--listen"), "{output}");
    assert!(!data.exists());
}

/// A log has any number of segments: a start opens them one after the other.
#[test]
fn a_log_with_more_segments_than_open_files_starts() {
    const FILES_MAX: u32 = 128;
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes_max: 4 << 10, ..LOG_OPTIONS };
    let log = LocalLog::open(folder.path(), options).unwrap();
    let segments = || fs::read_dir(folder.path().join("log")).unwrap().count();
    while segments() <= 2 * FILES_MAX as usize {
        let content = Content::from_text(PostText::parse(&"x".repeat(250)).unwrap());
        let author = UserId::parse("alice").unwrap();
        let change = Change::Publish { author, content, request_id: None };
        let event = Event::new(Timestamp::from_nanos(1), change);
        log.append(log.head(), vec![event; 8]).unwrap();
    }
    let head = log.head();
    drop(log);
    let server = ServerProcess::start_with_few_files(folder.path(), FILES_MAX, None);
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(LocalLog::open(folder.path(), options).unwrap().head(), head);
}

/// A missing log next to files that were made from it is not taken for a new log.
#[test]
fn a_missing_log_is_not_taken_for_a_new_one() {
    for left in ["index.redb", "index.redb.new"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(left), "something").unwrap();
        let (code, output) = refuses(folder.path());
        assert_eq!(code, Some(4), "{output}");
        assert!(output.contains("log is missing") && output.contains(left), "{output}");
        assert!(output.contains("from a backup") && output.contains("move"), "{output}");
        assert!(!folder.path().join("log").exists());
        assert!(folder.path().join(left).exists());
    }
    // With the log put back, all data are there.
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    publish(&server).unwrap();
    assert_eq!(server.terminate(), Some(0));
    let [log, moved] = ["log", "moved"].map(|name| folder.path().join(name));
    fs::rename(&log, &moved).unwrap();
    let (code, output) = refuses(folder.path());
    assert_eq!(code, Some(4), "{output}");
    // Nor is an empty folder in its place.
    fs::create_dir(&log).unwrap();
    let (code, output) = refuses(folder.path());
    assert_eq!(code, Some(4), "{output}");
    fs::remove_dir(&log).unwrap();
    fs::rename(&moved, &log).unwrap();
    assert_eq!(ServerProcess::start(folder.path()).terminate(), Some(0));
    assert_eq!(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap().head().get(), 1);
}

/// No change is acknowledged in a file that the next start will not find. A server with only reads
/// notices too.
#[test]
fn a_removed_log_ends_the_server() {
    for (is_replaced, writes) in [(false, true), (true, true), (false, false)] {
        let folder = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(folder.path());
        publish(&server).unwrap();
        let log = folder.path().join("log/0000000000000001.seg");
        if is_replaced {
            let copy = folder.path().join("copy");
            fs::copy(&log, &copy).unwrap();
            fs::rename(&copy, &log).unwrap();
        } else {
            fs::remove_file(&log).unwrap();
        }
        if writes {
            let error = publish(&server).unwrap_err();
            assert!(error.is_transient(), "{error}");
        }
        let (code, output) = server.ended();
        assert_eq!(code, Some(5), "{output}");
        assert!(output.contains(".seg was removed or replaced"), "{output}");
    }
}

/// Something else may take the last files that the process may open: the check of the log waits, and the
/// server goes on.
#[test]
fn a_server_without_free_files_waits_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start_talking(folder.path());
    publish(&server).unwrap();
    let without = server.without_files();
    server.wait_for_line("waiting up to");
    drop(without);
    publish(&server).unwrap();
    assert_eq!(server.terminate(), Some(0));
}

/// Where no terminal is, each line of the log is a JSON object, unless text is asked for.
#[test]
fn the_log_is_json_where_no_terminal_is() {
    for (setting, is_json) in
        [("", true), ("log_format = 'json'", true), ("log_format = 'text'", false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let [file, log] = ["whimbrel.toml", "log"].map(|name| folder.path().join(name));
        fs::write(&file, format!("data = 'data'\n{setting}\n")).unwrap();
        let server = ServerProcess::start_configured(&file, &log);
        server.signal(Signal::USR1);
        publish(&server).unwrap();
        assert_eq!(server.terminate(), Some(0));
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("log replayed") && log.contains("SIGUSR1"), "{log}");
        let lines = log.lines().map(serde_json::from_str::<serde_json::Value>);
        let parsed: Vec<_> = lines.flatten().collect();
        assert_eq!(parsed.len(), if is_json { log.lines().count() } else { 0 }, "{log}");
        for line in parsed {
            let has = |member: &str| line[member].is_string();
            assert!(["timestamp", "level", "target", "message"].map(has) == [true; 4], "{line}");
        }
    }
}

/// A compaction replaces a file of the log, and that is not taken for a foreign file.
#[test]
fn a_compacted_log_is_not_taken_for_a_foreign_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_compacting(folder.path());
    let log = folder.path().join("log/0000000000000001.seg");
    let before = inode_of(&log);
    runtime().block_on(async {
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        let post = client.publish(request()).await.unwrap().post.unwrap();
        let delete =
            whimbrel::api::v1::DeletePostRequest { user_id: post.author_id, post_id: post.post_id };
        client.delete_post(delete).await.unwrap();
    });
    runtime().block_on(crate::harness::eventually("the log to be rewritten", async || {
        (inode_of(&log) != before).then_some(())
    }));
    publish(&server).unwrap();
    assert_eq!(server.terminate(), Some(0));
}

/// Other signals do not end the server. Some of them are logged.
#[test]
fn only_two_signals_end_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_talking(folder.path());
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::XFSZ] {
        server.signal(signal);
        publish(&server).unwrap();
    }
    let (code, output) = runtime().block_on(server.terminated());
    assert_eq!(code, Some(0), "{output}");
    for name in ["SIGHUP", "SIGUSR1", "SIGUSR2"] {
        let lines = output.lines().filter(|line| line.contains(name));
        assert!(lines.count() == 1, "{name}: {output}");
    }
}

/// An error while opening names the file and a solution.
#[test]
fn an_error_while_opening_names_the_file_and_a_solution() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("log.redb")).unwrap();
    let (code, output) = refuses(folder.path());
    assert_eq!(code, Some(4), "{output}");
    assert!(output.contains("log.redb") && output.contains("move it away"), "{output}");

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let (code, output) = refuses(&file.join("data"));
    assert_eq!(code, Some(4), "{output}");
    assert!(
        output.contains("file/data") && output.contains("a part of its path is a file"),
        "{output}"
    );
}

/// A damaged log is refused by a message of the server's own, with nothing before it.
#[test]
fn the_storage_library_prints_nothing_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    for _ in 0..30 {
        publish(&server).unwrap();
    }
    assert_eq!(server.terminate(), Some(0));
    let log = folder.path().join("log/0000000000000001.seg");
    let whole = fs::read(&log).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let mut refused = 0;
    for _ in 0..25 {
        let mut damaged = whole.clone();
        for _ in 0..random.usize(1..400) {
            damaged[random.usize(..8_192)] ^= random.u8(1..);
        }
        fs::write(&log, damaged).unwrap();
        let _ = fs::remove_file(folder.path().join("index.redb"));
        let Some(output) = output_at_start(folder.path()) else { continue };
        refused += 1;
        assert!(output.contains(".seg"), "{output}");
        assert!(!output.contains("panicked") && !output.contains("RUST_BACKTRACE"), "{output}");
    }
    assert!(refused > 0);
}

/// The output of a server that does not start; `None` if it starts.
fn output_at_start(data_dir: &Path) -> Option<String> {
    // A started server is killed when it is dropped here.
    ServerProcess::try_start_or_say(data_dir).err()
}

/// A disk that stays full is reported once, however many changes are refused.
#[test]
fn a_full_disk_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_on_full_disk(folder.path());
    for _ in 0..40 {
        publish(&server).unwrap_err();
    }
    let (code, output) = runtime().block_on(server.terminated());
    assert_eq!(code, Some(0), "{output}");
    let reports = output.lines().filter(|line| line.contains("changes refused"));
    assert_eq!(reports.count(), 1, "{output}");
}

fn refuses(data_dir: &Path) -> (Option<i32>, String) {
    let any: SocketAddr = ANY_PORT.parse().unwrap();
    ServerProcess::refuses(data_dir, any)
}

fn publish(server: &ServerProcess) -> Result<(), Error> {
    runtime().block_on(async {
        let client = Client::connect(&server.address().to_string()).await?;
        client.publish(request()).await.map(drop)
    })
}

fn request() -> PublishRequest {
    let (user_id, text) = ("alice".to_owned(), "hello".to_owned());
    PublishRequest { user_id, text, ..PublishRequest::default() }
}

fn inode_of(file: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
