//! Fields that break their own rules.

use whimbrel::api::v1::*;

use super::{Services, blames, call, unit};
use crate::harness::{TestServer, id_at, within};

/// Every field for a user follows the rule for user ids.
#[tokio::test]
async fn a_bad_user_id_is_refused_by_every_call() {
    let server = TestServer::start().await;
    let s = Services::of(&server);
    let a = "alice";
    let post = s.posted(a, "hello").await;
    let p = post.as_str();
    server
        .unchanged_by(async {
            for bad in ["", "@bob", "b ob"] {
                let answers = [
                    ("user_id", unit(call!(s.post.get_posts(GetPostsRequest { user_id: bad })))),
                    (
                        "user_id",
                        unit(call!(
                            s.post.delete_post(DeletePostRequest { user_id: bad, post_id: p })
                        )),
                    ),
                    (
                        "user_id",
                        unit(call!(
                            s.post.list_posts(ListPostsRequest { user_id: bad, author_id: a })
                        )),
                    ),
                    (
                        "author_id",
                        unit(call!(
                            s.post.list_posts(ListPostsRequest { user_id: a, author_id: bad })
                        )),
                    ),
                    (
                        "user_id",
                        unit(call!(
                            s.post.get_thread(GetThreadRequest { user_id: bad, post_id: p })
                        )),
                    ),
                    ("user_id", unit(call!(s.post.like(LikeRequest { user_id: bad, post_id: p })))),
                    (
                        "user_id",
                        unit(call!(s.post.unlike(UnlikeRequest { user_id: bad, post_id: p }))),
                    ),
                    (
                        "user_id",
                        unit(call!(s.post.repost(RepostRequest { user_id: bad, post_id: p }))),
                    ),
                    (
                        "user_id",
                        unit(call!(s.post.unrepost(UnrepostRequest { user_id: bad, post_id: p }))),
                    ),
                    (
                        "user_id",
                        unit(call!(
                            s.post.list_likes(ListLikesRequest { user_id: bad, post_id: p })
                        )),
                    ),
                    (
                        "user_id",
                        unit(call!(
                            s.post.list_replies(ListRepliesRequest { user_id: bad, post_id: p })
                        )),
                    ),
                    (
                        "user_id",
                        unit(call!(s.graph.block(BlockRequest { user_id: bad, blocked_id: a }))),
                    ),
                    (
                        "blocked_id",
                        unit(call!(s.graph.block(BlockRequest { user_id: a, blocked_id: bad }))),
                    ),
                    (
                        "blocked_id",
                        unit(call!(
                            s.graph.unblock(UnblockRequest { user_id: a, blocked_id: bad })
                        )),
                    ),
                    (
                        "muted_id",
                        unit(call!(s.graph.mute(MuteRequest { user_id: a, muted_id: bad }))),
                    ),
                    (
                        "muted_id",
                        unit(call!(s.graph.unmute(UnmuteRequest { user_id: a, muted_id: bad }))),
                    ),
                    (
                        "of_user_id",
                        unit(call!(
                            s.graph.list_followers(ListFollowersRequest {
                                user_id: a,
                                of_user_id: bad
                            })
                        )),
                    ),
                    (
                        "of_user_id",
                        unit(call!(
                            s.graph.list_following(ListFollowingRequest {
                                user_id: a,
                                of_user_id: bad
                            })
                        )),
                    ),
                    (
                        "user_id",
                        unit(call!(s.graph.list_blocks(ListBlocksRequest { user_id: bad }))),
                    ),
                    ("user_id", unit(call!(s.graph.list_mutes(ListMutesRequest { user_id: bad })))),
                    (
                        "other_ids[1]",
                        unit(call!(s.graph.get_relationships(GetRelationshipsRequest {
                            user_id: a,
                            other_ids: [a, bad].map(str::to_owned)
                        }))),
                    ),
                    (
                        "of_user_id",
                        unit(call!(
                            s.graph.get_profile(GetProfileRequest { user_id: a, of_user_id: bad })
                        )),
                    ),
                    (
                        "user_id",
                        unit(call!(
                            s.notification
                                .list_notifications(ListNotificationsRequest { user_id: bad })
                        )),
                    ),
                    (
                        "user_id",
                        unit(call!(s.notification.mark_notifications_seen(
                            MarkNotificationsSeenRequest { user_id: bad }
                        ))),
                    ),
                    (
                        "user_id",
                        unit(call!(
                            s.notification
                                .watch_notifications(WatchNotificationsRequest { user_id: bad })
                        )),
                    ),
                ];
                for (field, answer) in answers {
                    blames(answer, field);
                }
            }
        })
        .await;
}

/// Every field for a post follows the rule for post ids.
#[tokio::test]
async fn a_bad_post_id_is_refused_by_every_call() {
    let server = TestServer::start().await;
    let s = Services::of(&server);
    let a = "alice";
    server
        .unchanged_by(async {
            for bad in
                ["", "p", "p0", "p01", "p+1", "p-1", "q1", "1", "P1", "p99999999999999999999999"]
            {
                let answers = [
                    (
                        "post_ids[0]",
                        unit(call!(s.post.get_posts(GetPostsRequest {
                            user_id: a,
                            post_ids: [bad.to_owned()]
                        }))),
                    ),
                    (
                        "post_id",
                        unit(call!(
                            s.post.delete_post(DeletePostRequest { user_id: a, post_id: bad })
                        )),
                    ),
                    (
                        "post_id",
                        unit(call!(
                            s.post.get_thread(GetThreadRequest { user_id: a, post_id: bad })
                        )),
                    ),
                    ("post_id", unit(call!(s.post.like(LikeRequest { user_id: a, post_id: bad })))),
                    (
                        "post_id",
                        unit(call!(s.post.unlike(UnlikeRequest { user_id: a, post_id: bad }))),
                    ),
                    (
                        "post_id",
                        unit(call!(s.post.repost(RepostRequest { user_id: a, post_id: bad }))),
                    ),
                    (
                        "post_id",
                        unit(call!(s.post.unrepost(UnrepostRequest { user_id: a, post_id: bad }))),
                    ),
                    (
                        "post_id",
                        unit(call!(
                            s.post.list_likes(ListLikesRequest { user_id: a, post_id: bad })
                        )),
                    ),
                    (
                        "post_id",
                        unit(call!(
                            s.post.list_reposts(ListRepostsRequest { user_id: a, post_id: bad })
                        )),
                    ),
                    (
                        "post_id",
                        unit(call!(
                            s.post.list_replies(ListRepliesRequest { user_id: a, post_id: bad })
                        )),
                    ),
                    (
                        "post_id",
                        unit(call!(
                            s.post.list_quotes(ListQuotesRequest { user_id: a, post_id: bad })
                        )),
                    ),
                ];
                for (field, answer) in answers {
                    blames(answer, field);
                }
                // An empty optional field means no post.
                if !bad.is_empty() {
                    let post = |to: &str, quote: &str| PublishRequest {
                        author_id: a.to_owned(),
                        text: "x".to_owned(),
                        reply_to_post_id: to.to_owned(),
                        quote_post_id: quote.to_owned(),
                        ..PublishRequest::default()
                    };
                    blames(s.publish(post(bad, "")).await.map(drop), "reply_to_post_id");
                    blames(s.publish(post("", bad)).await.map(drop), "quote_post_id");
                }
            }
        })
        .await;
}

/// Attachments and languages, each blamed by its index.
#[tokio::test]
async fn a_bad_attachment_or_language_is_refused() {
    let server = TestServer::start().await;
    let s = Services::of(&server);
    let attached = |uri: &str, media_type: &str, alt: &str| Attachment {
        uri: uri.to_owned(),
        media_type: media_type.to_owned(),
        alt: alt.to_owned(),
    };
    let good = attached("https://example.org/a.png", "image/png", "A wader");
    let with = |attachments: Vec<Attachment>, langs: &[&str]| PublishRequest {
        author_id: "alice".to_owned(),
        attachments,
        langs: langs.iter().map(|&lang| lang.to_owned()).collect(),
        ..PublishRequest::default()
    };
    let long = format!("https:{}", "x".repeat(2_048));
    let bad = [
        ("text", with(vec![], &["en"])),
        ("attachments", with(vec![good.clone(); 9], &[])),
        ("attachments[2].uri", with(vec![good.clone(), good.clone(), attached("", "", "")], &[])),
        ("attachments[0].uri", with(vec![attached("no scheme", "", "")], &[])),
        ("attachments[0].uri", with(vec![attached("example.org/a", "", "")], &[])),
        ("attachments[0].uri", with(vec![attached(&long, "", "")], &[])),
        ("attachments[1].media_type", with(vec![good.clone(), attached("a:b", "image", "")], &[])),
        ("attachments[0].alt", with(vec![attached("a:b", "", "a\0b")], &[])),
        ("attachments[0].alt", with(vec![attached("a:b", "", &"x".repeat(1_001))], &[])),
        ("langs", with(vec![good.clone()], &["en", "de", "fr", "pt"])),
        ("langs[1]", with(vec![good.clone()], &["en", "not a tag"])),
        ("langs[0]", with(vec![good.clone()], &[""])),
        ("langs[0]", with(vec![good.clone()], &["e"])),
        ("langs[1]", with(vec![good.clone()], &["en", "en"])),
        ("langs[2]", with(vec![good.clone()], &["pt-BR", "en", "PT-br"])),
        ("attachments[0].alt", with(vec![attached("a:b", "", "\u{2800}\u{200d} ")], &[])),
        ("text", PublishRequest { text: " ".to_owned(), ..with(vec![good.clone()], &[]) }),
    ];
    Box::pin(server.unchanged_by(async {
        for (field, request) in bad {
            blames(s.publish(request).await.map(drop), field);
        }
    }))
    .await;

    // The limits themselves are allowed. A post with attachments needs no text.
    let largest = attached(&long[..2_048], "image/png", &"x".repeat(1_000));
    let request = with(vec![largest; 8], &["en", "pt-BR", "zh-Hant"]);
    let written = PublishRequest {
        langs: ["EN", "pt-br", "zh-hant"].map(str::to_owned).into(),
        ..request.clone()
    };
    let post = s.publish(written).await.expect("the post is published").post.unwrap();
    assert_eq!((post.text.as_str(), &post.attachments), ("", &request.attachments));
    assert_eq!(post.langs, request.langs);
}

/// A list of ids has 1 to 100 entries. Duplicates are returned once.
#[tokio::test]
async fn a_list_of_ids_has_its_bounds() {
    let server = TestServer::start().await;
    let s = Services::of(&server);
    let post = s.posted("alice", "hello").await;
    let posts = |ids: Vec<String>| async {
        call!(s.post.get_posts(GetPostsRequest { user_id: "alice", post_ids: ids }))
    };
    let users = |ids: Vec<String>| async {
        call!(
            s.graph.get_relationships(GetRelationshipsRequest { user_id: "alice", other_ids: ids })
        )
    };
    for count in [0, 101] {
        blames(unit(posts(vec![post.clone(); count]).await), "post_ids");
        blames(unit(users(vec!["bob".to_owned(); count]).await), "other_ids");
    }
    let missing = id_at(999, &post);
    let mut ids = vec![post.clone(); 99];
    ids.push(missing);
    let got = posts(ids).await.unwrap().into_inner().posts;
    assert_eq!(
        got.iter().map(|view| &view.post.as_ref().unwrap().post_id).collect::<Vec<_>>(),
        [&post]
    );
    let got = users(vec!["bob".to_owned(), "carol".to_owned(), "bob".to_owned()]).await;
    let got = got.unwrap().into_inner().relationships;
    assert_eq!(got.iter().map(|it| it.user_id.as_str()).collect::<Vec<_>>(), ["bob", "carol"]);
}
