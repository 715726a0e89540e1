//! Trouble that a start meets: kills, interrupted rebuilds, foreign files, full disks.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use whimbrel::api::v1::{NewsFeedRequest, PublishRequest};
use whimbrel::client::Client;
use whimbrel::model::Revision;
use whimbrel::state::State;
use whimbrel::storage::{Index, LocalLog, Log, Probe, probe_index};

use super::{KEPT, folder_with_index, limits, open_index, replay, runtime, write_index};
use crate::harness::{INDEX_OPTIONS, LOG_OPTIONS, copy_folder};
use crate::server::process::{ServerProcess, kill_while_starting};

/// A killed start leaves the same note as a start that the index crashed. The next start probes the
/// index in another process, finds it intact, and uses it.
#[test]
fn an_index_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index.redb");
    let server = ServerProcess::start(folder.path());
    publish(&server, 40);
    assert_eq!(server.terminate(), Some(0));
    let whole = inode_of(&index);

    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..6 {
        kill_while_starting(folder.path(), Duration::from_millis(random.u64(1..20)));
    }
    // The kills may have come too early or too late to leave the note.
    fs::write(folder.path().join("index.busy"), "").unwrap();
    let server = ServerProcess::start_talking(folder.path());
    assert_eq!(feed(&server, "user1").len(), 20);
    let output = runtime().block_on(server.terminated()).1;
    assert!(!output.contains("WARN"), "{output}");
    assert!(output.contains("indexed=40"), "no event was replayed: {output}");
    assert_eq!(inode_of(&index), whole, "it is the same file");
    assert!(!folder.path().join("index.busy").exists());
}

/// After a start that did not end well, the index is probed in another process. It is given up only
/// if the probe crashes by itself.
#[test]
fn an_index_is_given_up_only_if_its_probe_crashes() {
    let shell = |script: &str| {
        let arguments = ["-c", script].map(OsString::from);
        Probe::new(PathBuf::from("/bin/sh"), arguments.into())
    };
    let is_kept_after = |probe: Option<Probe>, noted: bool| {
        let folder = folder_with_index();
        if noted {
            fs::write(folder.path().join("index.busy"), "").unwrap();
        }
        let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
        let opened =
            Index::open_with_probe(folder.path(), &log, INDEX_OPTIONS, KEPT, probe).unwrap();
        assert!(!folder.path().join("index.busy").exists(), "it is open");
        opened.complete_until() == log.head()
    };
    let aborts = || shell("kill -ABRT $$");
    assert!(!is_kept_after(Some(aborts()), true));
    assert!(!is_kept_after(Some(shell("kill -SEGV $$")), true));
    assert!(is_kept_after(Some(aborts()), false), "no start has failed");
    assert!(is_kept_after(None, true), "there is no probe");
    assert!(is_kept_after(Some(shell("kill -KILL $$")), true), "another process killed the probe");
    assert!(is_kept_after(Some(shell("kill -TERM $$")), true), "another process killed the probe");
    assert!(is_kept_after(Some(shell("exit 0")), true));
    assert!(is_kept_after(Some(shell("exit 7")), true), "an exit code without a meaning");
    assert!(is_kept_after(Some(Probe::new(PathBuf::from("/nothing"), Vec::new())), true));
}

/// The probe accepts an intact index, and refuses a file that is none.
#[test]
fn a_probe_accepts_only_an_index() {
    let folder = folder_with_index();
    let index = folder.path().join("index.redb");
    probe_index(&index).unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    assert_eq!(open_index(folder.path(), &log).complete_until(), log.head());
    fs::write(&index, [7; 10_000]).unwrap();
    probe_index(&index).unwrap_err();
}

/// An interrupted rebuild is continued by the next start. The old index stays until the new one is
/// complete.
#[test]
fn an_interrupted_rebuild_is_continued() {
    let folder = folder_with_index();
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap());
    let [index, new] = ["index.redb", "index.redb.new"].map(|name| folder.path().join(name));
    // An intact index of another log.
    let other = folder_with_index();
    fs::copy(other.path().join("index.redb"), &index).unwrap();
    let other_inode = inode_of(&index);

    let opened = open_index(folder.path(), &*log);
    assert_eq!(opened.complete_until(), Revision::ZERO);
    let state = State::load(Arc::clone(&log), opened, &limits()).unwrap();
    replay(&state, &*log);
    write_index(&state, &*log, Revision::new(30));
    drop(state);
    assert_eq!(inode_of(&index), other_inode, "the rebuild is not complete");

    let opened = open_index(folder.path(), &*log);
    assert_eq!(opened.complete_until(), Revision::new(30));
    let state = State::load(Arc::clone(&log), opened, &limits()).unwrap();
    replay(&state, &*log);
    write_index(&state, &*log, log.head());
    state.index().unwrap().install_new_file();
    drop(state);
    assert!(!new.exists());
    assert_eq!(open_index(folder.path(), &*log).complete_until(), log.head());
    assert_ne!(inode_of(&index), other_inode);
}

/// If the rows of the index are damaged, although its header is not, a start reports what it has loaded
/// in its place: the unfinished rebuild, or nothing.
#[test]
fn a_start_reports_the_index_that_it_has_loaded() {
    for (has_rebuild, loaded) in [(true, "indexed=30"), (false, "indexed=0")] {
        let folder = folder_with_index();
        let [index, new] = ["index.redb", "index.redb.new"].map(|name| folder.path().join(name));
        if has_rebuild {
            let aside = folder.path().join("aside");
            fs::rename(&index, &aside).unwrap();
            let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap());
            let opened = open_index(folder.path(), &*log);
            let state = State::load(Arc::clone(&log), opened, &limits()).unwrap();
            replay(&state, &*log);
            write_index(&state, &*log, Revision::new(30));
            drop(state);
            fs::rename(&index, &new).unwrap();
            fs::rename(&aside, &index).unwrap();
        }
        damage_rows(folder.path());
        let server = ServerProcess::start_talking(folder.path());
        assert_eq!(feed(&server, "user1").len(), 20);
        let (code, output) = runtime().block_on(server.terminated());
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains(&format!("head=40 {loaded} ")), "{output}");
    }
}

/// A start succeeds with a folder at the path of the index, and with another at the path of its
/// rebuild.
#[test]
fn a_folder_at_the_path_of_the_index_is_no_obstacle() {
    let folder = folder_with_index();
    let index = folder.path().join("index.redb");
    fs::remove_file(&index).unwrap();
    fs::create_dir(&index).unwrap();
    fs::write(index.join("something"), "of somebody").unwrap();
    for replayed in ["indexed=0", "indexed=40"] {
        let server = ServerProcess::start_talking(folder.path());
        assert_eq!(feed(&server, "user1").len(), 20);
        let (code, output) = runtime().block_on(server.terminated());
        assert_eq!(code, Some(0), "{output}");
        assert!(
            output.contains("index.redb") && output.contains("the index is not used"),
            "{output}"
        );
        assert!(output.contains(replayed), "the second start finds the rebuilt index: {output}");
    }
    assert!(index.join("something").exists());

    fs::create_dir(folder.path().join("index.redb.new.d")).unwrap();
    fs::remove_file(folder.path().join("index.redb.new")).unwrap();
    fs::rename(folder.path().join("index.redb.new.d"), folder.path().join("index.redb.new"))
        .unwrap();
    let server = ServerProcess::start_talking(folder.path());
    publish(&server, 2);
    assert_eq!(feed(&server, "user1").len(), 21);
    let (code, output) = runtime().block_on(server.terminated());
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("the server goes on without"), "{output}");
}

/// On a full disk a server without an index serves reads. Once there is room, it builds the index.
#[test]
fn a_start_on_a_full_disk_serves_reads() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    publish(&server, 40);
    server.kill();
    for name in ["index.redb", "index.busy"] {
        let _ = fs::remove_file(folder.path().join(name));
    }
    // Only the first 16 KiB of a file can be written.
    let server = ServerProcess::start_on_failing_disk(folder.path(), 16);
    assert_eq!(feed(&server, "user1").len(), 20);
    assert_eq!(feed(&server, "user0").len(), 20);
    let (code, output) = runtime().block_on(server.terminated());
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("index.redb") && output.contains("WARN"), "{output}");

    let server = ServerProcess::start_on_full_disk(folder.path());
    assert_eq!(feed(&server, "user1").len(), 20);
    let (code, output) = runtime().block_on(server.terminated());
    assert_eq!(code, Some(0), "{output}");
    assert!(!folder.path().join("index.redb").exists(), "{output}");

    assert_eq!(ServerProcess::start(folder.path()).terminate(), Some(0));
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    assert_eq!(open_index(folder.path(), &log).complete_until(), log.head());
}

/// Damages a block of the index in `folder` that has rows which a start loads, and nothing that opening
/// it reads.
fn damage_rows(folder: &Path) {
    let whole = fs::read(folder.join("index.redb")).unwrap();
    for at in (0..whole.len()).step_by(4_096) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&folder.join("log"), &copy.path().join("log"));
        fs::write(copy.path().join("index.redb"), &damaged).unwrap();
        let log: Arc<dyn Log> = Arc::new(LocalLog::open(copy.path(), LOG_OPTIONS).unwrap());
        let opened = open_index(copy.path(), &*log);
        if opened.complete_until() == log.head()
            && State::load(Arc::clone(&log), opened, &limits()).unwrap().applied() < log.head()
        {
            return fs::write(folder.join("index.redb"), damaged).unwrap();
        }
    }
    panic!("opening the index reads all that a start loads");
}

/// The inode number, which another file at the same path does not share.
fn inode_of(file: &Path) -> u64 {
    fs::metadata(file).unwrap().ino()
}

/// Publishes posts of two users in turns.
fn publish(server: &ServerProcess, posts: usize) {
    runtime().block_on(async {
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        for number in 0..posts {
            let user_id = format!("user{}", number % 2);
            let text = format!("post {number}");
            let request = PublishRequest { user_id, text, ..PublishRequest::default() };
            client.publish(request).await.unwrap();
        }
    });
}

/// The texts of a user's own posts.
fn feed(server: &ServerProcess, user: &str) -> Vec<String> {
    runtime().block_on(async {
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        let request = NewsFeedRequest {
            user_id: user.to_owned(),
            page_size: 100,
            ..NewsFeedRequest::default()
        };
        let page = client.news_feed(request).await.unwrap();
        let posts = page.items.into_iter().filter_map(|item| item.post);
        posts.map(|post| post.text).collect()
    })
}
