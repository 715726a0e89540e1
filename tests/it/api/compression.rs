//! Requests compressed with gzip: accepted by every call, bounded by the limit of a message, and
//! refused if incomplete.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use tonic::Code;
use whimbrel::api::v1::{NewsFeedResponse, WatchFeedRequest};

use crate::api::bad_input::{follow, publish};
use crate::harness::wire::{FOLLOW, PUBLISH, WATCH_FEED, Wire, flagged_frame, frame};
use crate::harness::{TestServer, refused};

const GZIP: [(&str, &[u8]); 1] = [("grpc-encoding", b"gzip")];
const BYTES_MAX: usize = 64 << 10;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Unary calls and streams, of every service.
#[tokio::test]
async fn compressed_requests_are_accepted() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let call = async |path: &'static str, message: &[u8]| {
        let taken = wire.call(path, &GZIP, flagged_frame(1, &gzip(message))).await;
        taken.unwrap_or_else(|status| panic!("{path}: {status:?}"))
    };
    call(PUBLISH, &publish("compressed")).await;
    call(FOLLOW, &follow()).await;
    let user_id = [b"\x0a\x05".as_slice(), b"alice"].concat();
    let page = call("/whimbrel.v1.FeedService/NewsFeed", &user_id).await;
    let page = NewsFeedResponse::decode(&page[5..]).unwrap();
    assert_eq!(page.items[0].post.as_ref().unwrap().text, "compressed");
    let author_id = [user_id.as_slice(), &[0x12, 1, b'b']].concat();
    call("/whimbrel.v1.PostService/ListPosts", &author_id).await;
    call("/whimbrel.v1.GraphService/ListBlocks", &user_id).await;
    call("/whimbrel.v1.NotificationService/ListNotifications", &user_id).await;
    call("/grpc.health.v1.Health/Check", b"").await;
    // Several requests on one stream, some of them compressed.
    let list = [0x3a, 0];
    let questions = [flagged_frame(1, &gzip(&list)), frame(&list), flagged_frame(1, &gzip(&list))];
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let answers = wire.call(path, &GZIP, questions.concat()).await.unwrap();
    let name = b"whimbrel.v1.FeedService";
    assert_eq!(answers.windows(name.len()).filter(|part| part == name).count(), 3);

    let watch = WatchFeedRequest { user_id: "alice".to_owned(), ..Default::default() };
    let watch = flagged_frame(1, &gzip(&watch.encode_to_vec()));
    wire.opens_stream(WATCH_FEED, &GZIP, watch).await;
    // The header permits compression; a frame without it is valid too.
    wire.call(PUBLISH, &GZIP, frame(&publish("plain"))).await.expect("the call succeeds");
    let identity: [(&str, &[u8]); 1] = [("grpc-encoding", b"identity")];
    wire.call(PUBLISH, &identity, frame(&publish("plain too"))).await.expect("the call succeeds");
}

/// A message of only defaults has no bytes. It may be compressed, too.
#[tokio::test]
async fn an_empty_message_may_be_compressed() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let call = wire.call(PUBLISH, &GZIP, flagged_frame(1, &gzip(b""))).await;
    refused(call).with(Code::InvalidArgument, "INVALID_FIELD").blaming("user_id");
}

/// The limit applies to the unpacked message, and no more than the limit is unpacked.
#[tokio::test]
async fn a_message_that_unpacks_too_large_is_refused() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    server
        .unchanged_by(async {
            let largest = publish(&"x".repeat(BYTES_MAX - 20));
            assert!(largest.len() <= BYTES_MAX);
            let call = wire.call(PUBLISH, &GZIP, flagged_frame(1, &gzip(&largest))).await;
            refused(call).with(Code::InvalidArgument, "INVALID_FIELD").blaming("text");

            // 60 MB packed into less than 64 KiB; and 100 MB, which is above the limit even packed.
            let megabyte = gzip(&vec![0; 1 << 20]);
            let bombs = [
                gzip(&vec![0; BYTES_MAX + 1]),
                megabyte.clone(),
                megabyte.repeat(BYTES_MAX / megabyte.len()),
                megabyte.repeat(100),
            ];
            assert!(bombs[2].len() <= BYTES_MAX && bombs[3].len() > BYTES_MAX);
            for bomb in bombs {
                let call = wire.call(PUBLISH, &GZIP, flagged_frame(1, &bomb)).await;
                let refusal = refused(call).with(Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
                assert_eq!(refusal.for_quota_of("message").metadata()["bytes_max"], "65536");
            }
        })
        .await;
}

/// Incomplete gzip data, or data with anything after it, is no message.
#[tokio::test]
async fn incomplete_gzip_data_is_refused() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let whole = gzip(&publish("hi"));
    let mut wrong_sum = whole.clone();
    *wrong_sum.iter_mut().nth_back(5).unwrap() ^= 1;
    let bad = [
        Vec::new(),
        whole[..1].to_vec(),
        whole[..whole.len() / 2].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        wrong_sum,
        publish("hi"),
        b"garbage that is no gzip at all".to_vec(),
        [whole.as_slice(), b"and more"].concat(),
    ];
    server
        .unchanged_by(async {
            for bytes in bad {
                let call = wire.call(PUBLISH, &GZIP, flagged_frame(1, &bytes)).await;
                let refusal = refused(call).with(Code::InvalidArgument, "MALFORMED_MESSAGE");
                assert!(refusal.metadata()["detail"].contains("gzip"), "{bytes:?}");
            }
            // Compressed, without the header that names the encoding.
            let call = wire.call(PUBLISH, &[], flagged_frame(1, &whole)).await;
            let refusal = refused(call).with(Code::InvalidArgument, "MALFORMED_MESSAGE");
            assert!(refusal.metadata()["detail"].contains("grpc-encoding"));
        })
        .await;
    // Several gzip members in a row are one, as gzip defines it.
    let message = publish("in two parts");
    let (first, second) = message.split_at(7);
    let parts = [gzip(first), gzip(second)].concat();
    wire.call(PUBLISH, &GZIP, flagged_frame(1, &parts)).await.expect("it is whole");
    assert_eq!(server.user("alice").feed().await.texts(), ["in two parts"]);
}
