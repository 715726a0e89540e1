//! `whimbrel import`: every row is made once, however often it is run, and a rejected row is
//! reported by file and line.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::harness::TestServer;

const FOLLOWS: &str = "alice\tbob\nalice\tcarol\n\nbob\tcarol\n";
const POSTS: &str = r#"{"author_id": "bob", "text": "one", "request_id": "1", "time": "2004-04-15T14:56:01Z"}
{"author_id": "carol", "text": "two", "request_id": "1"}
{"author_id": "bob", "text": "three\nlines\nlong", "request_id": "2"}
{"author_id": "bob", "text": "without an id"}
"#;

/// Follows and posts are made, the posts of one author in the order of the file. A second run makes
/// nothing again. Files may be gzipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_makes_everything_once() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "follows.tsv", FOLLOWS);
    write(folder.path(), "posts.jsonl", POSTS);

    let first =
        import(&server, folder.path(), &["--follows", "follows.tsv", "--posts", "posts.jsonl"]);
    assert_eq!(summary(&first), (7, 0, 0, Some(0)));
    let feed = server.user("alice").feed().await;
    let of_bob: Vec<_> = feed.posts().filter(|post| post.author_id == "bob").collect();
    let texts: Vec<_> = of_bob.iter().map(|post| post.text.as_str()).collect();
    assert_eq!(texts, ["without an id", "three\nlines\nlong", "one"]);
    let position = server.position().await;

    compress(folder.path(), "follows.tsv");
    compress(folder.path(), "posts.jsonl");
    for files in [["follows.tsv", "posts.jsonl"], ["follows.tsv.gz", "posts.jsonl.gz"]] {
        let again = import(&server, folder.path(), &["--follows", files[0], "--posts", files[1]]);
        assert_eq!(summary(&again), (0, 7, 0, Some(0)));
    }
    assert_eq!(server.position().await, position, "nothing was made twice");
}

/// Each rejected row is reported with its file and line, the others are made, and the exit code
/// says that not all was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_reports_each_rejected_row() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "follows.tsv",
        "alice\tbob\nno tab\nalice\talice\nal ice\tbob\nbob\talice\n",
    );
    let posts = [
        r#"{"author_id": "bob", "text": "good", "request_id": "1"}"#,
        r#"{"author_id": "bob", "text": "#,
        r#"{"author_id": "bob", "text": "", "request_id": "2"}"#,
        r#"{"author_id": "bob", "text": "another body", "request_id": "1"}"#,
        &format!(r#"{{"author_id": "bob", "text": "{}", "request_id": "3"}}"#, "x".repeat(70_000)),
        r#"{"author_id": "bob", "text": "good too", "request_id": "4"}"#,
    ];
    write(folder.path(), "posts.jsonl", &posts.join("\n"));

    let done =
        import(&server, folder.path(), &["--follows", "follows.tsv", "--posts", "posts.jsonl"]);
    assert_eq!(summary(&done), (4, 0, 7, Some(1)));
    let reported = String::from_utf8(done.stderr).unwrap();
    for row in ["follows.tsv:2:", "follows.tsv:3:", "follows.tsv:4:"] {
        assert!(reported.contains(row), "{row} is not in {reported}");
    }
    for row in ["posts.jsonl:2:", "posts.jsonl:3:", "posts.jsonl:4:", "posts.jsonl:5:"] {
        assert!(reported.contains(row), "{row} is not in {reported}");
    }
    assert_eq!(server.user("alice").feed().await.texts(), ["good too", "good"]);
}

/// A byte order mark is not part of a row, at the start of a file or where files were joined. A
/// file in UTF-16 is refused once, not row by row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_order_mark_is_not_part_of_a_row() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let follows = "\u{feff}alice\tbob\r\n\u{feff}alice\tcarol\r\n\u{feff}\r\nalice\tdave\r";
    write(folder.path(), "follows.tsv", follows);
    let post = r#"{"author_id": "bob", "text": "marked", "request_id": "1"}"#;
    write(folder.path(), "posts.jsonl", &format!("\u{feff}{post}\n"));
    compress(folder.path(), "posts.jsonl");
    for (posts, counts) in [("posts.jsonl", (4, 0, 0)), ("posts.jsonl.gz", (0, 4, 0))] {
        let done = import(&server, folder.path(), &["--follows", "follows.tsv", "--posts", posts]);
        let (made, already, rejected) = counts;
        assert_eq!(summary(&done), (made, already, rejected, Some(0)));
    }
    assert_eq!(server.user("alice").feed().await.texts(), ["marked"]);

    for mark in [[0xff, 0xfe], [0xfe, 0xff]] {
        std::fs::write(folder.path().join("utf16.tsv"), [&mark[..], b"a\0\n\0"].concat()).unwrap();
        let done = import(&server, folder.path(), &["--follows", "utf16.tsv"]);
        assert_eq!(done.status.code(), Some(1));
        assert!(String::from_utf8(done.stderr).unwrap().contains("UTF-16"));
    }
}

/// A missing server and a missing file have different exit codes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_reports_a_missing_server_or_file() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "follows.tsv", FOLLOWS);
    let missing = import(&server, folder.path(), &["--follows", "nowhere.tsv"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("nowhere.tsv"));
    assert_eq!(import(&server, folder.path(), &[]).status.code(), Some(2));

    let address = server.address().to_string();
    server.stop().await;
    let unreachable =
        run(folder.path(), &["import", "--addr", &address, "--follows", "follows.tsv"]);
    assert_eq!(unreachable.status.code(), Some(3));
}

/// The numbers of made, existing and rejected rows, and the exit code.
fn summary(done: &Output) -> (u64, u64, u64, Option<i32>) {
    let last = String::from_utf8(done.stdout.clone()).unwrap();
    let summary_line: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    let count = |name: &str| summary_line["imported"][name].as_u64().unwrap();
    (count("made"), count("already"), count("rejected"), done.status.code())
}

fn import(server: &TestServer, dir: &Path, files: &[&str]) -> Output {
    let address = server.address().to_string();
    run(dir, &[&["--json", "import", "--addr", &address], files].concat())
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_whimbrel");
    Command::new(program).args(arguments).current_dir(dir).output().unwrap()
}

fn write(dir: &Path, name: &str, content: &str) {
    std::fs::write(dir.join(name), content).unwrap();
}

fn compress(dir: &Path, name: &str) {
    let file = std::fs::File::create(dir.join(format!("{name}.gz"))).unwrap();
    let mut gzip = GzEncoder::new(file, Compression::default());
    gzip.write_all(&std::fs::read(dir.join(name)).unwrap()).unwrap();
    gzip.finish().unwrap();
}
