//! Each data folder of an earlier program, opened: it answers as before, and again after a second start.

use std::sync::Arc;

use whimbrel::formats::PROGRAM;
use whimbrel::storage::check_log;

use crate::harness::Setup;
use crate::harness::program::Program;

use super::answers::answers;
use super::fixtures::{data_folders, text, unpack};

/// Page tokens of programs from before the social surface: they have another digest of the listing. Their
/// clients begin the listing again, as the error tells them.
const OTHER_LISTING: [&str; 2] = ["log-1/", "log-1-index-1/"];

/// Every answer has all that the earlier program said: also the page after an old page token, and the stream
/// after an old cursor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_folder_is_served_as_before() {
    let mut problems = Vec::new();
    for name in data_folders() {
        let mut server = Setup::new().start_on(Arc::new(unpack(&name))).await;
        let text = text(&format!("{name}.txt"));
        for start in ["first", "second"] {
            for answer in answers(&text) {
                let ran =
                    Program::calling(server.address()).run(&format!("--json {}", answer.arguments));
                if answer.arguments.contains("--page-token")
                    && OTHER_LISTING.iter().any(|of| name.starts_with(of))
                {
                    ran.failed(1, "PAGE_TOKEN_MISMATCH");
                    continue;
                }
                let why = match ran.code {
                    Some(0) => answer.difference(&ran.stdout),
                    _ => Some(ran.stderr),
                };
                let arguments = answer.arguments;
                problems
                    .extend(why.map(|why| format!("{name}, {start} start: {arguments}: {why}")));
            }
            server.restart().await;
        }
        let folder = server.folder();
        drop(server);
        check_log(folder.path(), &mut |_| {}).unwrap_or_else(|error| panic!("{name}: {error}"));
        let checkpoint = std::fs::read(folder.path().join("log/checkpoint")).unwrap();
        let names = writers(&checkpoint);
        assert!(names.iter().all(|it| it == PROGRAM), "{name}: {names:?} wrote it");
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// The programs that wrote the slots of a checkpoint, without those that are empty.
fn writers(checkpoint: &[u8]) -> Vec<String> {
    let slots = checkpoint.chunks(4096).filter(|slot| slot[0] != 0);
    let text = |slot: &[u8]| slot[65..][..slot[64].into()].to_vec();
    slots.map(|slot| String::from_utf8(text(slot)).unwrap()).collect()
}
