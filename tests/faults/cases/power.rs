//! Power cuts: an ext4 file system is cut off from its disk, and mounted again without what was not flushed.

use std::ffi::OsStr;

use crate::case::{Case, Missing, Outcome, block_on};
use crate::machine::{Disk, compile, run};
use crate::model::Model;
use crate::server::{Setup, check_data};

pub(crate) const CUT: Case = Case {
    name: "power cut",
    how: "an ext4 file system on a loop device is shut down (EXT4_IOC_SHUTDOWN) under load, with its journal \
          lost or flushed, and mounted again",
    holds: "the server ends with code 5; the start on what is left succeeds, and the log has no damage",
    short: 4,
    long: 80,
    run: cut,
};

const DISK_BYTES: u64 = 512 << 20;
const CHANGES_MAX: u64 = 400;
/// A new disk after so many.
const CUTS_OF_A_DISK: usize = 20;

fn cut(times: usize) -> Result<Outcome, Missing> {
    let mut outcome = Outcome::default();
    for first in (0..times).step_by(CUTS_OF_A_DISK) {
        let cuts = CUTS_OF_A_DISK.min(times - first);
        let disk = Disk::new(DISK_BYTES)?;
        let tool = compile(disk.outside.path(), "cut.c", &[])?;
        outcome.add(&block_on(cut_disk(&disk, tool.as_os_str(), cuts)));
    }
    Ok(outcome)
}

async fn cut_disk(disk: &Disk, tool: &OsStr, times: usize) -> Outcome {
    let log = disk.outside.path().join("log");
    let setup = Setup::with_log(&disk.folder.join("data"), &log);
    let setup = setup.variable("WHIMBREL_COMPACT_EVERY", "1");
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    for number in 0..times {
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        let how = OsStr::new(["lost", "flushed"][number % 2]);
        run(tool.to_str().expect("UTF-8"), &[disk.folder.as_os_str(), how]).expect("it is ext4");
        (model, _) = writing.lost().await;
        let ended = server.end().await;
        assert_eq!(ended.status.code(), Some(5), "{ended:?}");
        disk.remount();
        server = setup.start();
        model.check(server.address).await;
    }
    server.stop().await;
    check_data(setup.data());
    Outcome::of(times, &model)
}
