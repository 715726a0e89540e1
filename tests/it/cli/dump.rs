//! The log as lines of JSON: dumped, loaded, and the same again. Bad lines are refused by number.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use whimbrel::api::v1::{DeletePostRequest, LikeRequest, PublishRequest};
use whimbrel::client::Client;
use whimbrel::dump::{LINE_BYTES_MAX, Load};
use whimbrel::model::{Event, Revision};
use whimbrel::storage::{self, check_events, check_log};

use crate::harness::program::Program;
use crate::harness::{Setup, eventually};

/// A line of each kind of change, as `dump` prints it.
const ALL_KINDS: &str = r##"
{"revision":1,"time":"2026-11-27T08:00:01Z","logTime":"2026-11-27T08:00:01Z","change":{"publish":{"author":"alice","text":"first #tag","langs":["en"],"facets":[{"start":6,"end":10,"tag":"tag"}],"mentioned":[],"requestId":"r1"}}}
{"revision":2,"time":"2026-11-27T08:00:02.500Z","logTime":"2026-11-27T08:00:02.500Z","change":{"follow":{"follower":"bob","followee":"alice"}}}
{"revision":3,"time":"2026-11-27T08:00:03Z","logTime":"2026-11-27T08:00:03Z","change":{"publish":{"author":"bob","text":"@alice yes","replyTo":1,"facets":[{"start":0,"end":6,"mention":"alice"}],"facetsFromAuthor":true,"mentioned":["alice"]}}}
{"revision":4,"time":"2026-11-27T08:00:04Z","logTime":"2026-11-27T08:00:04Z","change":{"publish":{"author":"alice","text":"","replyTo":3,"quote":1,"attachments":[{"uri":"https://example.org/a.png","mediaType":"image/png","alt":"a"}],"facets":[],"mentioned":[]}}}
{"revision":5,"time":"2026-11-27T08:00:05Z","logTime":"2026-11-27T08:00:05Z","change":{"like":{"user":"bob","post":4}}}
{"revision":6,"time":"2026-11-27T08:00:06Z","logTime":"2026-11-27T08:00:06Z","change":{"repost":{"user":"bob","post":1}}}
{"revision":7,"time":"2026-11-27T08:00:07Z","logTime":"2026-11-27T08:00:07Z","change":{"unlike":{"user":"bob","post":4}}}
{"revision":8,"time":"2026-11-27T08:00:08Z","logTime":"2026-11-27T08:00:08Z","change":{"unrepost":{"user":"bob","post":1}}}
{"revision":9,"time":"2026-11-27T08:00:09Z","logTime":"2026-11-27T08:00:09Z","change":{"mute":{"muter":"bob","muted":"alice"}}}
{"revision":10,"time":"2026-11-27T08:00:10Z","logTime":"2026-11-27T08:00:10Z","change":{"unmute":{"muter":"bob","muted":"alice"}}}
{"revision":11,"time":"2026-11-27T08:00:11Z","logTime":"2026-11-27T08:00:11Z","change":{"see":{"user":"alice","until":10}}}
{"revision":12,"time":"2026-11-27T07:00:00Z","logTime":"2026-11-27T08:00:11Z","change":{"block":{"blocker":"alice","blocked":"bob"}}}
{"revision":13,"time":"2026-11-27T08:00:13Z","logTime":"2026-11-27T08:00:13Z","change":{"unblock":{"blocker":"alice","blocked":"bob"}}}
{"revision":14,"time":"2026-11-27T08:00:14Z","logTime":"2026-11-27T08:00:14Z","change":{"follow":{"follower":"bob","followee":"alice"}}}
{"revision":15,"time":"2026-11-27T08:00:15Z","logTime":"2026-11-27T08:00:15Z","change":{"unfollow":{"follower":"bob","followee":"alice"}}}
{"revision":16,"time":"2026-11-27T08:00:16Z","logTime":"2026-11-27T08:00:16Z","change":{"erased":{"author":"carol","replyTo":4,"quote":3,"requestId":"r2"}}}
{"revision":17,"time":"2026-11-27T08:00:17Z","logTime":"2026-11-27T08:00:17Z","change":{"delete":{"post":16,"notified":["alice","bob"]}}}
{"revision":18,"time":"2026-11-27T08:00:18Z","logTime":"2026-11-27T08:00:18Z","change":{"delete":{"post":3,"notified":["alice"]}}}
"##;

/// The least that a person writes.
const BY_HAND: &str = r#"
{"time":"2020-01-01T00:00:00Z","change":{"publish":{"author":"alice","text":"hello"}}}
{"time":"2020-01-01T00:00:01Z","change":{"follow":{"follower":"bob","followee":"alice"}}}
{"time":"2020-01-01T00:00:02Z","change":{"publish":{"author":"bob","text":"hello @alice","replyTo":1}}}
{"time":"2020-01-01T00:00:03Z","change":{"like":{"user":"alice","post":3}}}
"#;

fn load(lines: &str, data: &Path) -> Result<Revision, whimbrel::dump::Error> {
    let mut load = Load::begin(data)?;
    lines.lines().try_for_each(|line| load.add(line.as_bytes()))?;
    Ok(load.finish()?.head)
}

fn events(data: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    let mut each = |_: Revision, event: Event| {
        events.push(event);
        Ok::<_, storage::Error>(())
    };
    check_events(data, &mut |_| {}, &mut each).unwrap();
    events
}

fn load_by_program(lines: &str, data: &Path) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
    let program = program.args(["load", "--data"]).arg(data);
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn dumped(of: &str) -> String {
    Program::new().run(&format!("dump {of}")).printed().to_owned()
}

/// Lines with each kind of change are loaded, and dumped as they were.
#[test]
fn all_kinds_of_changes_come_back() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(load(ALL_KINDS, data.path()).unwrap(), Revision::new(18));
    assert_eq!(dumped(&format!("--data {}", data.path().display())).trim(), ALL_KINDS.trim());
    let again = load(ALL_KINDS, data.path()).unwrap_err().to_string();
    assert!(again.contains("is not empty"), "{again}");
}

/// What a server made, with posts that were erased: the same from the server and from its folder, and the
/// events of a log that is loaded from it are the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_log_comes_back() {
    let often = |limits: &mut whimbrel::config::Limits| {
        limits.compaction_interval = Duration::from_millis(20);
    };
    let server = Setup::new().limits(often).start().await;
    let client = Client::connect(&server.address().to_string()).await.unwrap();
    server.user("bob").follows("alice").await;
    let mut deletion = 0;
    for number in 0..60 {
        let text = format!("number {number} @bob #tag https://example.org/ {}", "x".repeat(200));
        let publish = PublishRequest { user_id: "alice".into(), text, ..Default::default() };
        let post_id = client.publish(publish).await.unwrap().post.unwrap().post_id;
        let (user_id, liked) = ("bob".to_owned(), post_id.clone());
        client.like(LikeRequest { user_id, post_id: liked }).await.unwrap();
        if number % 3 == 0 {
            let delete = DeletePostRequest { user_id: "alice".into(), post_id };
            deletion = client.delete_post(delete).await.unwrap().revision;
        }
    }
    eventually("the erasure", async || {
        let log = check_log(server.folder().path(), &mut |_| {}).unwrap();
        (log.erased_until.get() >= deletion).then_some(())
    })
    .await;
    let lines = dumped(&format!("--addr {}", server.address()));
    assert_eq!(lines, dumped(&format!("--data {}", server.folder().path().display())));
    assert!(lines.contains("erased"));
    let data = tempfile::tempdir().unwrap();
    load(&lines, data.path()).unwrap();
    assert_eq!(events(data.path()), events(server.folder().path()));
    let ids =
        [server.folder().path(), data.path()].map(|it| check_log(it, &mut |_| {}).unwrap().id);
    assert_ne!(ids[0], ids[1], "it is another log");
}

/// What a person wrote is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_by_hand_are_served() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let done = load_by_program(BY_HAND, data.path());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let server = Setup::new().start_on(data).await;
    assert_eq!(server.user("bob").feed().await.texts(), ["hello @alice", "hello"]);
    server.user("bob").publishes("and on").await;
}

/// Each bad line is refused by its number and what is wrong, and leaves a folder for another load.
#[test]
fn a_bad_line_is_refused_by_number() {
    let line = |change: &str| format!(r#"{{"time":"2026-11-27T08:00:00Z","change":{change}}}"#);
    let follow = |one: &str, other: &str| {
        line(&format!(r#"{{"follow":{{"follower":"{one}","followee":"{other}"}}}}"#))
    };
    let publish = |rest: &str| line(&format!(r#"{{"publish":{{"author":"alice"{rest}}}}}"#));
    let bad = [
        ("no JSON".to_owned(), "expected"),
        (follow("bob", "alice"), "holds since revision 2"),
        (follow("bob", "bob"), "the same"),
        (follow("a b", "bob"), "no user id"),
        (line(r#"{"unfollow":{"follower":"alice","followee":"bob"}}"#), "nothing to end"),
        (line(r#"{"like":{"user":"bob","post":2}}"#), "no post of revision 2"),
        (line(r#"{"delete":{"post":9}}"#), "no post of revision 9"),
        (line(r#"{"delete":{"post":1,"notified":["bob"]}}"#), "notified"),
        (line(r#"{"erased":{"author":"bob"}}"#), "no line deletes it"),
        (line(r#"{"see":{"user":"bob","until":5}}"#), "at most 4"),
        (line(r#"{"fly":{"user":"bob"}}"#), "unknown variant `fly`"),
        (publish(r#","text":"x","colour":1"#), "unknown field `colour`"),
        (publish(""), "the text"),
        (publish(r#","text":"x","replyTo":2"#), "no post of revision 2"),
        (publish(r#","text":"x","langs":["!"]"#), "language tag"),
        (publish(r#","text":"x","facets":[{"start":0,"end":5,"tag":"t"}]"#), "within the text"),
        (publish(r#","text":"x","facets":[{"start":0,"end":1}]"#), "one of mention"),
        (publish(&format!(r#","text":"{}""#, "x".repeat(LINE_BYTES_MAX))), "longer than"),
        (follow("x", "y").replace(r#"{"time""#, r#"{"revision":9,"time""#), "5 comes next"),
        (follow("x", "y").replace("2026-11-27T08:00:00Z", "yesterday"), "no time"),
        (follow("x", "y").replace("2026", "1926"), "no time"),
        (
            follow("x", "y").replace(r#""change""#, r#""logTime":"2019-01-01T00:00:00Z","change""#),
            "before that of the line before",
        ),
    ];
    let data = tempfile::tempdir().unwrap();
    for (line, what) in bad {
        // The first line of the text is empty.
        let done = load_by_program(&format!("{BY_HAND}{line}\n"), data.path());
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{line}: {error}");
        assert!(error.contains("line 6: ") && error.contains(what), "{line}: {error}");
        let left = std::fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["lock"], "{line}");
    }
    assert_eq!(load(BY_HAND, data.path()).unwrap(), Revision::new(4));
}
