//! A data folder of the first format, whose records do not list the notified users: it is taken over,
//! and users keep their notifications.

use std::path::Path;
use std::sync::Arc;

use prost::Message;
use redb::{Database, TableDefinition};
use tonic::Response;
use whimbrel::api::v1::notification_service_client::NotificationServiceClient;
use whimbrel::api::v1::{ListNotificationsRequest, Post};

use crate::harness::{Setup, TestServer};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The fields of a record of the first format, as far as they are needed.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(fixed64, tag = "1")]
    time_nanos: u64,
    #[prost(message, optional, tag = "2")]
    follow: Option<Follow>,
    #[prost(message, optional, tag = "4")]
    publish: Option<Publish>,
}

#[derive(Clone, PartialEq, Message)]
struct Follow {
    #[prost(string, tag = "1")]
    follower: String,
    #[prost(string, tag = "2")]
    followee: String,
}

#[derive(Clone, PartialEq, Message)]
struct Publish {
    #[prost(string, tag = "1")]
    author: String,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(string, tag = "3")]
    request_id: String,
}

const TEXT: &str = "hello @bob. and @later, @bob_ https://x/@dave @-x";

/// The same before and after a restart, from the index and from the log alone.
#[tokio::test]
async fn an_old_log_keeps_its_notifications() {
    let folder = tempfile::tempdir().unwrap();
    let publish = |author: &str, text: &str, request_id: &str| Record {
        publish: Some(Publish {
            author: author.to_owned(),
            text: text.to_owned(),
            request_id: request_id.to_owned(),
        }),
        ..Record::default()
    };
    let follow = Follow { follower: "carol".to_owned(), followee: "later".to_owned() };
    let records = [
        publish("bob", "here I am", ""),
        publish("alice", TEXT, "once"),
        Record { follow: Some(follow), ..Record::default() },
    ];
    write(folder.path(), &records);

    let mut server = Setup::new().start_on(Arc::new(folder)).await;
    let alice = server.user("alice");
    let again = server.unchanged_by(alice.publishes_once(TEXT, "once")).await;
    assert!(again.deduplicated, "found facets are not part of a request");
    assert_eq!(again.post.unwrap().facets, []);
    alice.publishes("@later, @nobody").await;
    for restarts in 0..2 {
        expect(&server, &format!("{restarts} restarts")).await;
        server.restart().await;
    }
    let copy = server.restored_copy().await;
    expect(&copy, "without an index").await;
    expect(&server, "with an index").await;

    let (folder, _) = (server.folder(), server.stop().await);
    assert!(!folder.path().join("log.redb").exists(), "the log is taken over");
}

async fn expect(server: &TestServer, when: &str) {
    for (user, texts) in [
        ("bob", vec![TEXT]),
        ("later", vec!["@later, @nobody", TEXT]),
        ("bob_", vec![]),
        // The first format notified these users by mistake.
        ("dave", vec![TEXT]),
        ("nobody", vec![]),
    ] {
        let posts = mentions(server, user).await;
        assert_eq!(posts.iter().map(|it| &it.text).collect::<Vec<_>>(), texts, "{user}, {when}");
    }
}

/// The posts that mention `user`, newest first.
async fn mentions(server: &TestServer, user: &str) -> Vec<Post> {
    let request = ListNotificationsRequest { user_id: user.to_owned(), ..Default::default() };
    let mut client = NotificationServiceClient::new(server.channel());
    let listed = client.list_notifications(request).await.map(Response::into_inner).unwrap();
    listed.notifications.into_iter().filter_map(|it| it.post).collect()
}

fn write(folder: &Path, records: &[Record]) {
    let database = Database::create(folder.join("log.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut log = transaction.open_table(LOG).unwrap();
    for (revision, record) in (1_u64..).zip(records) {
        let record = record.encode_to_vec();
        let mut check = crc32fast::Hasher::new();
        check.update(&revision.to_le_bytes());
        check.update(&record);
        let bytes = [&check.finalize().to_le_bytes()[..], &record].concat();
        log.insert(revision, bytes.as_slice()).unwrap();
    }
    drop(log);
    let mut meta = transaction.open_table(META).unwrap();
    for (key, value) in [("format", 1), ("log_id", 7), ("erased_until", 0)] {
        meta.insert(key, value).unwrap();
    }
    drop(meta);
    transaction.commit().unwrap();
}
