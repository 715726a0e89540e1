//! A backup of the log is put back, and the log goes on from there: ids, cursors and page tokens of
//! the history that was lost are refused everywhere, and never name anything of the new history.

use std::fs;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor, Value};
use tonic::Code;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::{ErrorReason, GapPolicy, NewsFeedRequest, WatchFeedRequest};

use crate::harness::wire::{Wire, frame};
use crate::harness::{Setup, TestServer, copy_folder, refused};

/// What clients hold of the lost history, and the id of a post from before it.
struct Lost {
    kept_post_id: String,
    cursor: String,
    page_token: String,
    post_id: String,
}

/// As a client does that kept its position over a restore, in every field of every call that takes
/// one: before the new history has gone as far as the lost one, and after.
#[tokio::test]
async fn positions_of_a_lost_history_are_refused_everywhere() {
    let (server, lost) = after_a_restore().await;
    for _ in 0..2 {
        let mut fields = 0;
        let wire = Wire::connect(server.address()).await;
        for method in methods() {
            let input = method.input();
            for field in input.fields().filter(|field| lost.value(field).is_some()) {
                let request = request(&method, &field, &lost);
                let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                let body = frame(&request.encode_to_vec());
                let call = server.unchanged_by(wire.call(&path, &[], body)).await;
                refused(call).with(Code::FailedPrecondition, "HISTORY_LOST");
                fields += 1;
            }
        }
        assert!(fields > 40, "only {fields} fields were tried");
        server.user("alice").publishes_many("new ", 8).await;
    }
}

/// What both histories have stays valid, and so does what the new one gave.
#[tokio::test]
async fn positions_before_the_backup_stay_valid() {
    let mut server = TestServer::start().await;
    let alice = server.user("alice");
    let kept = alice.publishes_once("kept", "").await;
    let backup = backup_of(&mut server).await;
    server.user("alice").publishes("lost").await;
    let server = put_back(server, &backup).await;
    let alice = server.user("alice");
    let new = alice.publishes("new").await;

    let mut watch = alice.watches_after(&kept.cursor).await;
    assert_eq!(watch.live().await, ["alice: new"]);
    let at_least_cursor = kept.cursor;
    let request = NewsFeedRequest { at_least_cursor, ..NewsFeedRequest::default() };
    alice.tries_to_read(request).await.expect("it is of both histories");
    for post in [&kept.post.unwrap(), &new] {
        let found = alice.feed().await;
        assert!(found.texts().contains(&post.text.as_str()));
    }
}

/// With gap policy RESET, a stream says that the history is lost, and starts again.
#[tokio::test]
async fn a_stream_may_start_again() {
    let (server, lost) = after_a_restore().await;
    server.user("alice").publishes_many("new ", 8).await;
    let request = WatchFeedRequest {
        start: Some(Start::AfterCursor(lost.cursor)),
        gap_policy: GapPolicy::Reset.into(),
        ..WatchFeedRequest::default()
    };
    let mut watch = server.user("alice").watches_as(request).await;
    watch.opened().await;
    assert_eq!(watch.reset().await.reason(), ErrorReason::HistoryLost);
    assert_eq!(watch.live().await.len(), 9, "all posts of the new history");
}

/// A server with a backup put back, and what a client holds of the history after the backup.
async fn after_a_restore() -> (TestServer, Lost) {
    let mut server = TestServer::start().await;
    let kept_post_id = server.user("alice").publishes("kept").await.post_id;
    let backup = backup_of(&mut server).await;

    let alice = server.user("alice");
    alice.publishes_many("lost ", 4).await;
    let post = alice.publishes("the last").await;
    let page = alice.page(2, "").await;
    let lost = Lost {
        kept_post_id,
        cursor: page.cursor,
        page_token: page.next_page_token,
        post_id: post.post_id,
    };
    (put_back(server, &backup).await, lost)
}

/// A copy of the log, made while the server is stopped.
async fn backup_of(server: &mut TestServer) -> tempfile::TempDir {
    let backup = tempfile::tempdir().unwrap();
    server.restart().await;
    // Its files are complete up to the last acknowledged change, also while the server runs.
    copy_folder(&server.log_folder(), &backup.path().join("log"));
    backup
}

async fn put_back(server: TestServer, backup: &tempfile::TempDir) -> TestServer {
    let folder = server.folder();
    server.stop().await;
    fs::remove_dir_all(folder.path().join("log")).unwrap();
    // It was built from the lost history.
    fs::remove_file(folder.path().join("index.redb")).unwrap();
    copy_folder(&backup.path().join("log"), &folder.path().join("log"));
    Setup::new().start_on(folder).await
}

impl Lost {
    /// The lost value for a field; `None` if the field is no position.
    fn value(&self, field: &FieldDescriptor) -> Option<Value> {
        let text = |text: &String| Value::String(text.clone());
        Some(match field.name() {
            "page_token" => text(&self.page_token),
            "post_ids" => Value::List(vec![text(&self.post_id)]),
            name if name.ends_with("cursor") => text(&self.cursor),
            name if name.ends_with("post_id") => text(&self.post_id),
            _ => return None,
        })
    }
}

/// A request that is valid but for `field`.
fn request(method: &MethodDescriptor, field: &FieldDescriptor, lost: &Lost) -> DynamicMessage {
    let mut request = DynamicMessage::new(method.input());
    for other in method.input().fields() {
        let value = match other.name() {
            "user_id" => "alice",
            "text" => "hello",
            "post_id" | "post_ids" => &lost.kept_post_id,
            "other_ids" => "bob",
            name if name.ends_with("_id") && name != "request_id" => "bob",
            _ => continue,
        };
        let value = Value::String(value.to_owned());
        let is_post = other.name().ends_with("_post_id");
        match other.is_list() {
            true => request.set_field(&other, Value::List(vec![value])),
            false if !is_post => request.set_field(&other, value),
            false => {}
        }
    }
    request.set_field(field, lost.value(field).unwrap());
    request
}

fn methods() -> impl Iterator<Item = MethodDescriptor> {
    let pool = DescriptorPool::decode(whimbrel::api::DESCRIPTORS).unwrap();
    let services: Vec<_> = pool.services().collect();
    services.into_iter().flat_map(|service| service.methods().collect::<Vec<_>>())
}
