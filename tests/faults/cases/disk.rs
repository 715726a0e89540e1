//! A disk that fails calls, and one that is full.

use std::fs;

use rustix::io::Errno;

use crate::case::{Case, Outcome, block_on};
use crate::machine::{Disk, run};
use crate::model::Model;
use crate::server::{Setup, check_data};
use crate::shim::{Call, Shim};

pub(crate) const FAILS: Case = Case {
    name: "failed writes and flushes",
    how: "under load, pwrite, ftruncate, fsync or fdatasync on the log fail with EIO or ENOSPC, by a library \
          that is loaded before the C library",
    holds: "the server ends with code 5, names the file, and acknowledges nothing from then on",
    short: 6,
    long: 80,
    run: |times| {
        let shim = Shim::new()?;
        Ok(block_on(fail_log(&shim, times)))
    },
};

pub(crate) const INDEX_FAILS: Case = Case {
    name: "a disk that fails the index",
    how: "the same calls fail on index.redb, from a start on",
    holds: "changes are acknowledged all the same, and reads are right or refused",
    short: 2,
    long: 6,
    run: |times| {
        let shim = Shim::new()?;
        Ok(block_on(fail_index(&shim, times)))
    },
};

pub(crate) const FULL: Case = Case {
    name: "full disk",
    how: "an ext4 file system of 96 MiB is filled to the last block under load, and room is made again",
    holds: "changes are refused with DISK_FULL, reads are answered, and the same server takes changes again",
    short: 2,
    long: 8,
    run: |times| {
        let disk = Disk::new(96 << 20)?;
        Ok(block_on(fill(&disk, times)))
    },
};

const CHANGES_MAX: u64 = 300;

async fn fail_log(shim: &Shim, times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = shim.in_servers(Setup::new(folder.path()));
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    let mut failed = 0;
    for number in 0..times {
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        let call = [Call::Flush, Call::Write][number % 2];
        let error = [Errno::IO, Errno::NOSPC][number / 2 % 2];
        shim.fail(call, error.raw_os_error(), "/log/");
        (model, _) = writing.lost().await;
        let ended = server.end().await;
        assert_eq!(ended.status.code(), Some(5), "{call:?} {error:?}: {ended:?}");
        assert!(ended.log.contains("/log"), "it names the file: {}", ended.log);
        let calls = shim.heal();
        assert!(calls > 0, "no call has failed");
        failed += calls;
        server = setup.start();
        model.check(server.address).await;
    }
    server.stop().await;
    check_data(setup.data());
    Outcome::of(times, &model).noting(format!("{failed} calls failed"))
}

async fn fail_index(shim: &Shim, times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = shim.in_servers(Setup::new(folder.path()));
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    let (mut failed, mut refused) = (0, 0);
    for number in 0..times {
        // A stop in order writes the index.
        shim.fail([Call::Flush, Call::Write][number % 2], Errno::IO.raw_os_error(), "index.redb");
        let writing = model.write(server.address).await;
        writing.acknowledged(CHANGES_MAX).await;
        let errors;
        (model, errors) = writing.end().await;
        assert!(errors.is_empty(), "{errors:?}");
        model.settle(server.address).await;
        refused += usize::from(model.compare(server.address).await.is_err());
        server.signal(rustix::process::Signal::TERM);
        server.end().await;
        server = setup.start();
        refused += usize::from(model.compare(server.address).await.is_err());
        failed += shim.heal();
        server.kill();
        server = setup.start();
        model.check(server.address).await;
    }
    assert!(failed > 0, "no call has failed");
    server.stop().await;
    check_data(setup.data());
    let notes = format!("{failed} calls failed; reads were refused in {refused} comparisons");
    Outcome::of(times, &model).noting(notes)
}

async fn fill(disk: &Disk, times: usize) -> Outcome {
    let log = disk.outside.path().join("log");
    let setup = Setup::with_log(&disk.folder.join("data"), &log);
    // The reserve keeps the log whole: a change is refused before a write could fail.
    let setup = setup.variable("WHIMBREL_DISK_FREE_MIN", "4");
    let server = setup.start();
    let mut model = Model::new(server.address).await;
    let filler = disk.folder.join("filler");
    for _ in 0..times {
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        take_all_room(&filler);
        let errors;
        (model, errors) = writing.lost().await;
        assert!(errors.iter().all(is_full), "{errors:?}");
        model.compare(server.address).await.expect("reads are answered on a full disk");
        fs::remove_file(&filler).expect("it was made");
        model.check(server.address).await;
    }
    assert!(server.log().contains("full"), "it is logged: {}", server.log());
    server.stop().await;
    check_data(setup.data());
    Outcome::of(times, &model)
}

/// Makes a file that takes all blocks that there are.
fn take_all_room(filler: &std::path::Path) {
    let out = format!("of={}", filler.display());
    let filled = run("dd", &["if=/dev/zero", &out, "bs=64k"]);
    let problem = filled.expect_err("no disk is endless");
    assert!(problem.contains("No space left"), "{problem}");
}

fn is_full(error: &whimbrel::client::Error) -> bool {
    matches!(error, whimbrel::client::Error::Call(error) if error.reason == "DISK_FULL")
}
