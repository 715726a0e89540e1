//! Well-formed requests that are refused.

use tonic::Code;
use whimbrel::api::v1::*;

use super::{Services, call, unit};
use crate::harness::{TestServer, id_at, refused, within};

/// A page token is valid only for its own listing: its RPC, reader, subject and options.
#[tokio::test]
async fn a_page_token_of_another_list_is_refused() {
    let server = TestServer::start().await;
    let s = Services::of(&server);
    for follower in ["bob", "carol"] {
        server.user(follower).follows("alice").await;
        server.user("alice").follows(follower).await;
    }
    let first = call!(s.graph.list_followers(ListFollowersRequest {
        user_id: "bob",
        of_user_id: "alice",
        page_size: 1
    }));
    let t = first.unwrap().into_inner().next_page_token;
    let (a, b) = ("alice", "bob");
    let own = call!(s.graph.list_followers(ListFollowersRequest {
        user_id: b,
        of_user_id: a,
        page_token: t.as_str()
    }));
    let own = own.unwrap().into_inner();
    assert_eq!((own.users.len(), own.next_page_token.as_str()), (1, ""));

    let t = t.as_str();
    let answers = [
        unit(call!(s.graph.list_followers(ListFollowersRequest {
            user_id: a,
            of_user_id: a,
            page_token: t
        }))),
        unit(call!(s.graph.list_followers(ListFollowersRequest {
            user_id: b,
            of_user_id: b,
            page_token: t
        }))),
        unit(call!(s.graph.list_following(ListFollowingRequest {
            user_id: b,
            of_user_id: a,
            page_token: t
        }))),
        unit(call!(s.graph.list_mutes(ListMutesRequest { user_id: b, page_token: t }))),
        unit(call!(s.post.list_posts(ListPostsRequest {
            user_id: b,
            author_id: a,
            page_token: t
        }))),
        unit(call!(
            s.notification
                .list_notifications(ListNotificationsRequest { user_id: b, page_token: t })
        )),
        unit(call!(s.feed.news_feed(NewsFeedRequest { user_id: b, page_token: t }))),
    ];
    for answer in answers {
        refused(answer).with(Code::InvalidArgument, "PAGE_TOKEN_MISMATCH").blaming("page_token");
    }

    server.user("bob").publishes_many("post ", 2).await;
    let t = server.user("bob").page(1, "").await.next_page_token;
    let other = call!(s.feed.news_feed(NewsFeedRequest {
        user_id: b,
        page_token: t,
        include_all_replies: true
    }));
    refused(other).with(Code::InvalidArgument, "PAGE_TOKEN_MISMATCH").blaming("page_token");
}

/// Refusals by the rules between users and posts, each with its code, reason and metadata.
#[tokio::test]
async fn every_refusal_by_a_rule_has_its_reason() {
    let limits = |limits: &mut whimbrel::config::Limits| {
        limits.blocks_per_user_max = 1;
        limits.mutes_per_user_max = 1;
    };
    let server = TestServer::limited(limits).await;
    let s = Services::of(&server);
    let (a, b) = ("alice", "bob");
    let post = s.posted(a, "hello").await;
    let p = post.as_str();

    for (field, answer) in [
        ("blocked_id", unit(call!(s.graph.block(BlockRequest { user_id: a, blocked_id: a })))),
        ("blocked_id", unit(call!(s.graph.unblock(UnblockRequest { user_id: a, blocked_id: a })))),
        ("muted_id", unit(call!(s.graph.mute(MuteRequest { user_id: a, muted_id: a })))),
        ("muted_id", unit(call!(s.graph.unmute(UnmuteRequest { user_id: a, muted_id: a })))),
    ] {
        refused(answer).with(Code::InvalidArgument, "SELF_TARGET").blaming(field);
    }

    let gone = id_at(999, p);
    let gone = gone.as_str();
    let missing = [
        unit(call!(s.post.like(LikeRequest { user_id: a, post_id: gone }))),
        unit(call!(s.post.unrepost(UnrepostRequest { user_id: a, post_id: gone }))),
        unit(call!(s.post.delete_post(DeletePostRequest { user_id: a, post_id: gone }))),
        unit(call!(s.post.get_thread(GetThreadRequest { user_id: a, post_id: gone }))),
        unit(call!(s.post.list_likes(ListLikesRequest { user_id: a, post_id: gone }))),
        unit(call!(s.post.list_quotes(ListQuotesRequest { user_id: a, post_id: gone }))),
    ];
    for answer in missing {
        let refusal = refused(answer).with(Code::NotFound, "POST_NOT_FOUND");
        assert_eq!(refusal.metadata()["post_id"], gone);
    }
    let answer = call!(s.post.delete_post(DeletePostRequest { user_id: b, post_id: p }));
    let refusal = refused(answer).with(Code::PermissionDenied, "NOT_THE_AUTHOR");
    assert_eq!(
        (&refusal.metadata()["user_id"], &refusal.metadata()["post_id"]),
        (&b.to_owned(), &post)
    );

    call!(s.graph.block(BlockRequest { user_id: a, blocked_id: b })).expect("the block succeeds");
    call!(s.graph.mute(MuteRequest { user_id: a, muted_id: b })).expect("the mute succeeds");
    let answer = call!(s.graph.block(BlockRequest { user_id: a, blocked_id: "carol" }));
    refused(answer).with(Code::ResourceExhausted, "TOO_MANY_BLOCKS").for_quota_of("user:alice");
    let answer = call!(s.graph.mute(MuteRequest { user_id: a, muted_id: "carol" }));
    refused(answer).with(Code::ResourceExhausted, "TOO_MANY_MUTES").for_quota_of("user:alice");
    let refused_by_block = [
        server.user(b).tries_to_follow(a).await.map(drop),
        unit(call!(s.post.like(LikeRequest { user_id: b, post_id: p }))),
        unit(call!(s.post.repost(RepostRequest { user_id: b, post_id: p }))),
        unit(call!(s.feed.publish(PublishRequest { user_id: b, text: "x", reply_to_post_id: p }))),
        unit(call!(s.feed.publish(PublishRequest { user_id: b, text: "x", quote_post_id: p }))),
        unit(call!(s.post.list_posts(ListPostsRequest { user_id: b, author_id: a }))),
        unit(call!(s.graph.get_profile(GetProfileRequest { user_id: b, of_user_id: a }))),
        unit(call!(s.graph.list_followers(ListFollowersRequest { user_id: b, of_user_id: a }))),
    ];
    for answer in refused_by_block {
        let refusal = refused(answer).with(Code::FailedPrecondition, "BLOCKED");
        assert_eq!(
            (refusal.metadata()["user_id"].as_str(), refusal.metadata()["other_id"].as_str()),
            (b, a)
        );
    }
    let hidden = call!(s.post.list_replies(ListRepliesRequest { user_id: b, post_id: p }));
    refused(hidden).with(Code::NotFound, "POST_NOT_FOUND");

    server.user(a).publishes_once("once", "r").await;
    let again = server.user(a).publishes_once("once", "r").await;
    let id = again.post.unwrap().post_id;
    call!(s.post.delete_post(DeletePostRequest { user_id: a, post_id: id }))
        .expect("it is deleted");
    let refusal = refused(server.user(a).tries_to_publish("once", "r").await);
    refusal.with(Code::NotFound, "POST_DELETED");
}
