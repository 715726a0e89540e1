//! The drill: back up under load, lose the folder, restore, and compare everything.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use whimbrel::api::v1::{DeletePostRequest, LikeRequest, RepostRequest};
use whimbrel::backup::{self, RestoreUntil};
use whimbrel::client::Client;
use whimbrel::model::Revision;
use whimbrel::storage::read_chain;

use super::answers::answers;
use super::{client, destination, restore, setup, take, verified};
use crate::harness::{TestServer, eventually};

const USERS: usize = 5;

fn users() -> Vec<String> {
    (0..USERS).map(|number| format!("user{number}")).collect()
}

/// Follows, posts, likes, reposts and deletions of all users, until it is `stopped`.
fn write(server: &TestServer, stopped: &CancellationToken) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for (number, name) in users().into_iter().enumerate() {
        let (user, stopped) = (server.user(&name), stopped.clone());
        let client = Client::connect_lazily(&server.address().to_string()).unwrap();
        writers.spawn(async move {
            user.follows(&format!("user{}", (number + 1) % USERS)).await;
            for round in 0.. {
                if stopped.is_cancelled() {
                    return;
                }
                let post = user.publishes(&format!("{} {round}", "text ".repeat(20))).await;
                let (user_id, post_id) = (name.clone(), post.post_id);
                if round % 3 == 0 {
                    client.like(LikeRequest { user_id, post_id }).await.unwrap();
                } else if round % 7 == 0 {
                    client.repost(RepostRequest { user_id, post_id }).await.unwrap();
                } else if round % 5 == 0 {
                    client.delete_post(DeletePostRequest { user_id, post_id }).await.unwrap();
                }
            }
        });
    }
    writers
}

/// Each backup under load is the log at one revision, and costs what is new. The last one, restored after
/// the folder is lost, answers every read as the server did.
#[tokio::test]
async fn what_a_lost_server_answered_a_restored_one_answers() {
    let often = |limits: &mut whimbrel::config::Limits| {
        limits.compaction_interval = Duration::from_millis(50);
    };
    let server = setup().limits(often).start().await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    let stopped = CancellationToken::new();
    let writers = write(&server, &stopped);
    let mut before = 0;
    for number in 0..3 {
        let client = client(&server).await;
        eventually("more events", async || {
            let list = client.list_segments(Default::default()).await.unwrap();
            (list.revision > before + 300 && list.segments.len() > number + 1).then_some(())
        })
        .await;
        let taken = take(&server, &to).await.manifest;
        assert!(taken.revision > before);
        before = taken.revision;
        let chain = read_chain(server.folder().path(), Revision::new(taken.revision)).unwrap();
        assert_eq!(taken.chain, chain.unwrap().to_string(), "it is the server's log");
    }
    stopped.cancel();
    writers.join_all().await;

    let last = take(&server, &to).await;
    // Erasures of posts may still replace segments.
    let again = eventually("a backup without anything new", async || {
        let again = take(&server, &to).await;
        (again.segments_new == 0 && again.bytes_new == 0).then_some(again)
    })
    .await;
    assert_eq!(again.manifest.chain, last.manifest.chain);
    let report = backup::check(&to, None, &mut |_| {}).await.unwrap();
    assert_eq!(report.problems, [""; 0]);

    let of_server = answers(&client(&server).await, &users()).await;
    let folder = server.folder();
    server.stop().await;
    fs::remove_dir_all(folder.path()).unwrap();

    let data = Arc::new(tempfile::tempdir().unwrap());
    let restored = restore(&to, RestoreUntil::End, data.path()).await.unwrap();
    assert_eq!(restored.chain.to_string(), last.manifest.chain);
    assert_eq!(verified(data.path()).chain, restored.chain);
    let server = setup().start_on(Arc::clone(&data)).await;
    let of_restored = answers(&client(&server).await, &users()).await;
    assert!(of_server.len() > 100 && of_server == of_restored, "it answers as before");
    // And it goes on.
    server.user("user0").publishes("new").await;
    assert_eq!(verified(data.path()).head, restored.head.next());
}

/// A backup of a log without an event restores that log.
#[tokio::test]
async fn an_empty_log_is_backed_up() {
    let server = setup().start().await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    assert_eq!(take(&server, &to).await.manifest.revision, 0);
    let data = Arc::new(tempfile::tempdir().unwrap());
    let restored = restore(&to, RestoreUntil::End, data.path()).await.unwrap();
    assert_eq!(restored.head, Revision::ZERO);
    let before = client(&server).await.list_segments(Default::default()).await.unwrap();
    server.stop().await;
    let server = setup().start_on(data).await;
    assert_eq!(server.user("alice").publishes("first").await.revision, 1);
    let now = client(&server).await.list_segments(Default::default()).await.unwrap();
    assert_eq!(now.log_id, before.log_id);
}
