//! The chain of the log over the network: that of the log itself, at every revision, whatever is
//! erased and restarted, and another one for another history.

use std::time::Duration;

use tonic::{Code, Status};
use whimbrel::api::v1::log_service_client::LogServiceClient;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::api::v1::{DeletePostRequest, GetChainRequest, GetChainResponse};
use whimbrel::model::Revision;
use whimbrel::storage::{check_log, read_chain};

use crate::harness::{Setup, TestServer, eventually, refused};

/// At each revision it is the value that the files of the log give. 0 is the newest revision, also
/// before the first event.
#[tokio::test]
async fn the_chain_is_that_of_the_log() {
    let server = TestServer::start().await;
    let empty = chain(&server, 0).await;
    assert_eq!((empty.revision, empty.chain), (0, in_folder(&server, 0)));

    server.user("bob").follows("alice").await;
    server.user("alice").publishes_many("post ", 5).await;
    for revision in 1..=6 {
        let response = chain(&server, revision).await;
        assert_eq!(response.revision, revision);
        assert_eq!(response.chain, in_folder(&server, revision));
    }
    assert_eq!(chain(&server, 0).await, chain(&server, 6).await);
    let log = check_log(server.folder().path(), &mut |_| {}).unwrap();
    assert_eq!(empty.log_id, log.id.to_string());
    assert_eq!(chain(&server, 6).await.chain, log.chain.to_string());
}

/// Neither an erasure nor a restart changes a chain.
#[tokio::test]
async fn an_erasure_and_a_restart_keep_all_chains() {
    let often = |limits: &mut whimbrel::config::Limits| {
        limits.compaction_interval = Duration::from_millis(1);
    };
    let mut server = Setup::new().limits(often).start().await;
    let post = server.user("alice").publishes("a secret").await;
    server.user("alice").publishes_many("post ", 3).await;
    let request = DeletePostRequest { user_id: "alice".to_owned(), post_id: post.post_id };
    let mut posts = PostServiceClient::new(server.channel());
    let deletion = posts.delete_post(request).await.unwrap().into_inner().revision;
    let before = chains(&server, deletion).await;
    eventually("the erasure", async || {
        let log = check_log(server.folder().path(), &mut |_| {}).unwrap();
        (log.erased_until.get() >= deletion).then_some(())
    })
    .await;
    assert_eq!(chains(&server, deletion).await, before);
    server.restart().await;
    assert_eq!(chains(&server, deletion).await, before);
}

/// A restored copy has the same chains up to where the two go on, and others from there on.
#[tokio::test]
async fn another_history_has_other_chains() {
    let mut server = TestServer::start().await;
    server.user("alice").publishes_many("post ", 3).await;
    let copy = server.restored_copy().await;
    assert_eq!(chain(&copy, 0).await, chain(&server, 0).await);
    server.user("alice").publishes("here").await;
    copy.user("alice").publishes("there").await;
    assert_eq!(chains(&copy, 3).await, chains(&server, 3).await);
    assert_ne!(chain(&copy, 4).await, chain(&server, 4).await);
    assert_ne!(chain(&TestServer::start().await, 0).await.log_id, chain(&server, 0).await.log_id);
}

/// A revision that does not exist yet is refused, with the newest.
#[tokio::test]
async fn a_revision_after_the_newest_is_refused() {
    let server = TestServer::start().await;
    server.user("alice").publishes_many("post ", 2).await;
    for revision in [3, 4, u64::MAX] {
        let refusal = refused(try_chain(&server, revision).await);
        let refusal = refusal.with(Code::InvalidArgument, "INVALID_FIELD").blaming("revision");
        assert_eq!(refusal.metadata()["newest_revision"], "2");
        assert_eq!(refusal.metadata()["value"], revision.to_string());
    }
}

/// The chains of the revisions up to `until`.
async fn chains(server: &TestServer, until: u64) -> Vec<GetChainResponse> {
    let mut chains = Vec::new();
    for revision in 1..=until {
        chains.push(chain(server, revision).await);
    }
    chains
}

async fn chain(server: &TestServer, revision: u64) -> GetChainResponse {
    try_chain(server, revision).await.unwrap()
}

async fn try_chain(server: &TestServer, revision: u64) -> Result<GetChainResponse, Status> {
    let mut log = LogServiceClient::new(server.channel());
    Ok(log.get_chain(GetChainRequest { revision }).await?.into_inner())
}

/// The chain that the files of the log give.
fn in_folder(server: &TestServer, revision: u64) -> String {
    read_chain(server.folder().path(), Revision::new(revision)).unwrap().unwrap().to_string()
}
