//! Backups and restores that are killed, and what comes after them.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use whimbrel::api::v1::DeletePostRequest;
use whimbrel::backup::{self, Error, RestoreUntil};
use whimbrel::runtime::Clock;
use whimbrel::storage::{self, LocalLog};

use super::{client, destination, restore, setup, take, verified};
use crate::harness::program::Program;
use crate::harness::{LOG_OPTIONS, TestServer, eventually};

/// A server whose log has several segments.
async fn server() -> TestServer {
    let server = setup().start().await;
    server.user("alice").publishes_many(&"long text ".repeat(25), 600).await;
    server
}

/// The program, killed once `is_far_enough`.
async fn killed(arguments: &[&str], is_far_enough: impl Fn() -> bool) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
    let program = program.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child: Child = program.spawn().unwrap();
    eventually("some of the work", async || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        is_far_enough().then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A backup that is killed is none; the next one does not read again what it has stored. Until the killed
/// one counts as dead nothing is pruned.
#[tokio::test]
async fn a_killed_backup_is_continued() {
    let server = server().await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    let at = to.to_string();
    let address = server.address().to_string();
    let running = kept.path().join("kept/running");
    let has_stored = || {
        let entries = fs::read_dir(&running).ok().into_iter().flatten().flatten();
        // A marker that is not whole yet has another name.
        let is_marker = |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "json");
        let markers = entries.map(|entry| entry.path()).filter(is_marker);
        markers.filter_map(|path| fs::read_to_string(path).ok()).any(|it| it.contains("sha256"))
    };
    fs::create_dir_all(kept.path().join("kept/segments")).unwrap();
    let unfinished = kept.path().join("kept/segments/.unfinished-of-another");
    fs::write(&unfinished, "a part").unwrap();
    killed(&["backup", "--addr", &address, "--to", &at, "--rate", "1"], has_stored).await;
    assert!(backup::manifests(&to).await.unwrap().is_empty());

    let refused = backup::prune(&to, 1, &Clock::system()).await.unwrap_err();
    assert!(matches!(refused, Error::BackupRunning { .. }), "{refused}");
    let taken = take(&server, &to).await;
    assert!(taken.segments_new > 0);
    assert!(taken.segments_new < taken.manifest.segments.len() as u64, "{taken:?}");
    let later = Clock::system();
    let an_hour_later = later.since_epoch().unwrap() + Duration::from_secs(60 * 60);
    let pruned = backup::prune(&to, 1, &Clock::held_at(an_hour_later)).await.unwrap();
    assert_eq!(pruned.backups, [""; 0]);
    let report = backup::check(&to, None, &mut |_| {}).await.unwrap();
    assert_eq!(report.problems, [""; 0]);
    assert_eq!(fs::read_dir(&running).unwrap().count(), 0, "nothing is left of it");
    assert!(!unfinished.exists());
}

/// A restore that is killed leaves a folder that no server opens, and that the next restore uses. A folder
/// with anything else is refused, and left as it is.
#[tokio::test]
async fn a_killed_restore_is_no_log() {
    let server = server().await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    let manifest = take(&server, &to).await.manifest;
    let data = Arc::new(tempfile::tempdir().unwrap());
    let lost = kept
        .path()
        .join("kept")
        .join(format!("segments/{}.seg", manifest.segments.last().unwrap().sha256));
    let elsewhere = kept.path().join("elsewhere");
    fs::rename(&lost, &elsewhere).unwrap();
    // A restore that reads from a pipe stands still there, after it has written the segments before.
    let made = Command::new("mkfifo").arg(&lost).status().unwrap();
    assert!(made.success());
    let (at, dir) = (to.to_string(), data.path().to_str().unwrap().to_owned());
    let first = data.path().join("log.restore/0000000000000001.seg");
    killed(&["restore", "--from", &at, "--data", &dir], || first.exists()).await;
    let opened = LocalLog::open(data.path(), LOG_OPTIONS);
    assert!(matches!(opened, Err(storage::Error::RestoreUnfinished { .. })), "{opened:?}");
    let serve = Program::new().run(&format!("serve --listen 127.0.0.1:0 --data {dir}"));
    serve.failed(4, "was interrupted: run it again");

    fs::remove_file(&lost).unwrap();
    fs::rename(&elsewhere, &lost).unwrap();
    let restored = restore(&to, RestoreUntil::End, data.path()).await.unwrap();
    assert_eq!(restored.chain.to_string(), manifest.chain);
    let again = restore(&to, RestoreUntil::End, data.path()).await.unwrap_err();
    assert!(matches!(again, Error::Log(storage::Error::NotEmpty { .. })), "{again}");
    assert_eq!(verified(data.path()).chain, restored.chain);
}

/// Segments that an erasure replaces while a backup reads them are listed again: the backup has the erased
/// posts nowhere.
#[tokio::test]
async fn an_erasure_meanwhile_is_in_the_backup() {
    let often = |limits: &mut whimbrel::config::Limits| {
        limits.compaction_interval = Duration::from_millis(1);
    };
    let server = setup().limits(often).start().await;
    let alice = server.user("alice");
    let secret = alice.publishes("a secret that is erased").await;
    alice.publishes_many(&"long text ".repeat(25), 300).await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    let reader = client(&server).await;
    let listed = reader.list_segments(Default::default()).await.unwrap();
    let delete = DeletePostRequest { user_id: "alice".to_owned(), post_id: secret.post_id };
    let deletion = reader.delete_post(delete).await.unwrap().revision;
    eventually("the erasure", async || {
        let log = storage::check_log(server.folder().path(), &mut |_| {}).unwrap();
        (log.erased_until.get() >= deletion).then_some(())
    })
    .await;
    let segment_id = listed.segments[0].segment_id.clone();
    let request = whimbrel::api::v1::ReadSegmentRequest { segment_id };
    let mut stream = reader.read_segment(request).await.unwrap();
    let error = stream.next().await.unwrap_err().to_string();
    assert!(error.contains("SEGMENT_REPLACED"), "{error}");

    take(&server, &to).await;
    for file in fs::read_dir(kept.path().join("kept/segments")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"a secret"));
    }
    let data = tempfile::tempdir().unwrap();
    restore(&to, RestoreUntil::End, data.path()).await.unwrap();
    assert!(verified(data.path()).erased_until.get() >= deletion);
}
