//! Removing old backups: what is kept has all its segments.

use std::fs;

use whimbrel::backup::{self, Error, RestoreUntil};
use whimbrel::runtime::Clock;

use super::{destination, restore, setup, take, try_take};

/// The newest backups stay whole; segments that only removed ones had are gone.
#[tokio::test]
async fn what_is_kept_is_whole() {
    let server = setup().start().await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    let mut names = Vec::new();
    for _ in 0..4 {
        server.user("alice").publishes_many(&"long text ".repeat(25), 100).await;
        names.push(take(&server, &to).await.manifest.name());
    }
    let segments = || fs::read_dir(kept.path().join("kept/segments")).unwrap().count();
    let before = segments();
    let pruned = backup::prune(&to, 2, &Clock::system()).await.unwrap();
    assert_eq!(pruned.backups, names[..2]);
    assert!(pruned.segments > 0 && segments() == before - pruned.segments as usize);
    let left: Vec<_> = backup::manifests(&to).await.unwrap().iter().map(|it| it.name()).collect();
    assert_eq!(left, names[2..]);
    let report = backup::check(&to, None, &mut |_| {}).await.unwrap();
    assert_eq!((report.backups, report.problems.len()), (2, 0));
    for name in &names[2..] {
        let data = tempfile::tempdir().unwrap();
        let until = RestoreUntil::End;
        backup::restore(&to, Some(name), until, data.path(), &mut |_, _| {}).await.unwrap();
    }
    let data = tempfile::tempdir().unwrap();
    let until = RestoreUntil::End;
    let gone = backup::restore(&to, Some(&names[0]), until, data.path(), &mut |_, _| {}).await;
    assert!(matches!(gone, Err(Error::NoBackup { .. })));
    assert!(restore(&to, RestoreUntil::End, data.path()).await.is_ok());
}

/// While one prunes, no backup begins and no other prune does.
#[tokio::test]
async fn nothing_begins_while_one_prunes() {
    let server = setup().start().await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    take(&server, &to).await;
    let marker = kept.path().join("kept/pruning.json");
    fs::write(&marker, "{}").unwrap();
    assert!(matches!(try_take(&server, &to).await, Err(Error::Pruning { .. })));
    assert!(matches!(backup::prune(&to, 1, &Clock::system()).await, Err(Error::Pruning { .. })));
    fs::remove_file(&marker).unwrap();
    take(&server, &to).await;
    backup::prune(&to, 1, &Clock::system()).await.unwrap();
}
