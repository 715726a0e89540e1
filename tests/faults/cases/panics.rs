//! Threads that panic.

use std::os::unix::process::ExitStatusExt as _;

use crate::case::{Case, Outcome, block_on};
use crate::model::Model;
use crate::patience::eventually;
use crate::server::{Setup, check_data};
use crate::shim::Shim;

pub(crate) const THREADS: Case = Case {
    name: "a thread that panics",
    how: "a reading of the monotonic clock by one thread fails under load, which makes it panic: in turn a \
          worker, the committer and the indexer, by a library that is loaded before the C library",
    holds: "the process ends with code 5 and names the thread, and is never half alive",
    short: THREAD_NAMES.len(),
    long: 6,
    run: |times| {
        let shim = Shim::new()?;
        Ok(block_on(panic(&shim, times)))
    },
};

/// As the kernel has them: 15 bytes.
const THREAD_NAMES: [&str; 3] = ["whimbrel-worker", "whimbrel-commit", "whimbrel-index"];
const CHANGES_MAX: u64 = 300;

async fn panic(shim: &Shim, times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = shim.in_servers(Setup::new(folder.path()));
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    for number in 0..times {
        let thread = THREAD_NAMES[number % THREAD_NAMES.len()];
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        let names = server.threads();
        assert!(names.iter().any(|name| name.starts_with(thread)), "{thread} is not in {names:?}");
        shim.panic_in(thread);
        eventually(thread, || (!shim.waits_for_panic()).then_some(())).await;
        (model, _) = writing.lost().await;
        let ended = server.end().await;
        assert_eq!(ended.status.code(), Some(5), "{thread}: {:?} {ended:?}", ended.status.signal());
        assert!(ended.log.contains(thread), "it names {thread}: {}", ended.log);
        server = setup.start();
        model.check(server.address).await;
    }
    server.stop().await;
    check_data(setup.data());
    Outcome::of(times, &model)
}
