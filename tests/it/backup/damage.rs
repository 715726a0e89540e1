//! Damage: in the server's log, and in a backup. It is refused, and named.

use std::fs;
use std::path::{Path, PathBuf};

use whimbrel::backup::{self, RestoreUntil};
use whimbrel::storage::{Error, LocalLog};

use super::{destination, restore, setup, take, try_take};
use crate::harness::LOG_OPTIONS;

fn segments(kept: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(kept.join("kept/segments")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    files
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// One changed byte of a backup, anywhere: a check and a restore name the object, and no server opens
/// what was restored so far.
#[tokio::test]
async fn a_damaged_backup_is_refused_by_name() {
    let server = setup().start().await;
    server.user("alice").publishes_many("text ", 20).await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    let manifest = take(&server, &to).await.manifest;
    let file = &segments(kept.path())[0];
    let bytes = fs::metadata(file).unwrap().len() as usize;
    let object = file.file_name().unwrap().to_str().unwrap();
    for at in (0..bytes).step_by(bytes / 40).chain([bytes - 1]) {
        flip(file, at);
        let report = backup::check(&to, None, &mut |_| {}).await.unwrap();
        assert!(report.problems.len() == 1 && report.problems[0].contains(object), "{report:?}");
        assert!(report.problems[0].contains(&manifest.name()));
        let data = tempfile::tempdir().unwrap();
        let error = restore(&to, RestoreUntil::End, data.path()).await.unwrap_err();
        assert!(error.to_string().contains(object), "{error}");
        let opened = LocalLog::open(data.path(), LOG_OPTIONS);
        assert!(matches!(opened, Err(Error::RestoreUnfinished { .. })));
        flip(file, at);
    }
    fs::remove_file(file).unwrap();
    let report = backup::check(&to, Some(&manifest.name()), &mut |_| {}).await.unwrap();
    assert!(report.problems[0].contains("missing"), "{report:?}");
}

/// A damaged segment of the server is not backed up: the error names its file, and there is no backup.
#[tokio::test]
async fn damage_of_the_server_is_not_backed_up() {
    let server = setup().start().await;
    server.user("alice").publishes_many(&"long text ".repeat(25), 300).await;
    let first = server.log_folder().join("0000000000000001.seg");
    let bytes = fs::metadata(&first).unwrap().len() as usize;
    for at in [200, bytes / 2, bytes - 200, bytes - 10] {
        flip(&first, at);
        let kept = tempfile::tempdir().unwrap();
        let to = destination(&kept);
        let error = try_take(&server, &to).await.unwrap_err().to_string();
        assert!(error.contains("0000000000000001.seg") && error.contains("LOG_DAMAGED"), "{error}");
        assert!(backup::manifests(&to).await.unwrap().is_empty());
        flip(&first, at);
        take(&server, &to).await;
    }
}
