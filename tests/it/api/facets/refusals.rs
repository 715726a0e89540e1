//! Invalid facets, and retries with other facets.

use tonic::Code;
use whimbrel::api::v1::facet::Feature;
use whimbrel::api::v1::{Facet, PublishRequest};

use super::{Calls, by, facet, link, mention, tag};
use crate::harness::{TestServer, refused};

/// Each bad form gets its own error, blames its field, and has no effect.
#[tokio::test]
async fn bad_facets_are_refused() {
    let server = TestServer::start().await;
    let calls = Calls::of(&server);
    // "\u{f1}" has 2 bytes.
    let text = "\u{f1} hello @bob";
    let m = || mention("bob");
    let featureless = Facet { byte_start: 0, byte_end: 2, feature: None };
    let long = format!("https://example.org/{}", "x".repeat(2_048 - 20));
    let bad: Vec<(&str, Vec<Facet>, &str)> = vec![
        ("facets[0].byte_end", vec![facet(3..3, m())], "after byte_start"),
        ("facets[0].byte_end", vec![Facet { byte_end: 3, ..facet(8..9, m()) }], "after byte_start"),
        ("facets[0].byte_end", vec![facet(9..14, m())], "within the text, which has 13 bytes"),
        ("facets[0].byte_end", vec![facet(0..u32::MAX, m())], "within the text"),
        ("facets[0].byte_start", vec![facet(1..3, m())], "byte 1 is inside"),
        ("facets[0].byte_end", vec![facet(0..1, m())], "byte 1 is inside"),
        ("facets[1].byte_start", vec![facet(3..8, m()), facet(7..9, m())], "do not overlap"),
        ("facets[1].byte_start", vec![facet(9..13, m()), facet(3..8, m())], "in the order"),
        ("facets[1].byte_start", vec![facet(3..8, m()), facet(3..8, m())], "do not overlap"),
        (
            "facets[1].feature",
            vec![facet(0..2, m()), Facet { byte_start: 3, byte_end: 4, ..featureless.clone() }],
            "one of",
        ),
        ("facets[0].feature", vec![featureless], "one of mention, link and tag"),
        ("facets[0].mention.user_id", vec![facet(0..2, mention(""))], "must not be empty"),
        ("facets[0].mention.user_id", vec![facet(0..2, mention("@bob"))], "at byte 0"),
        ("facets[0].mention.user_id", vec![facet(0..2, mention("b ob"))], "at byte 1"),
        ("facets[0].link.uri", vec![facet(0..2, link(""))], "must not be empty"),
        ("facets[0].link.uri", vec![facet(0..2, link("example.org"))], "http or https"),
        ("facets[0].link.uri", vec![facet(0..2, link("//example.org/"))], "http or https"),
        ("facets[0].link.uri", vec![facet(0..2, link("javascript:alert(1)"))], "http or https"),
        ("facets[0].link.uri", vec![facet(0..2, link("ftp://example.org/"))], "http or https"),
        ("facets[0].link.uri", vec![facet(0..2, link("https:"))], "with a host"),
        ("facets[0].link.uri", vec![facet(0..2, link("https:///path"))], "with a host"),
        ("facets[0].link.uri", vec![facet(0..2, link("https://example.org/%zz"))], "RFC 3986"),
        ("facets[0].link.uri", vec![facet(0..2, link("https://example.org/<a>"))], "RFC 3986"),
        ("facets[0].link.uri", vec![facet(0..2, link("https://example.org/a b"))], "' '"),
        ("facets[0].link.uri", vec![facet(0..2, link("https://example.org/\u{f1}"))], "character"),
        ("facets[0].link.uri", vec![facet(0..2, link(&format!("{long}x")))], "2048 bytes"),
        ("facets[0].tag.tag", vec![facet(0..2, tag(""))], "must not be empty"),
        ("facets[0].tag.tag", vec![facet(0..2, tag("#birds"))], "without the #"),
        ("facets[0].tag.tag", vec![facet(0..2, tag("\u{ff03}birds"))], "without the #"),
        ("facets[0].tag.tag", vec![facet(0..2, tag("sea birds"))], "' '"),
        ("facets[0].tag.tag", vec![facet(0..2, tag("sea\u{3000}birds"))], "character"),
        ("facets[0].tag.tag", vec![facet(0..2, tag("sea\u{7}"))], "character"),
        ("facets[0].tag.tag", vec![facet(0..2, tag("\u{200b}"))], "visible character"),
        ("facets[0].tag.tag", vec![facet(0..2, tag(&"x".repeat(65)))], "64 graphemes"),
        (
            "facets[0].tag.tag",
            vec![facet(0..2, tag(&format!("a{}", "\u{301}".repeat(320))))],
            "640 bytes",
        ),
        ("facets", vec![facet(0..2, m()); 61], "at most 60 entries"),
        (
            "facets",
            vec![facet(0..2, link(&long)), facet(3..4, link(&long)), facet(4..5, link(&long))],
            "at most 6000 bytes",
        ),
    ];
    server
        .unchanged_by(async {
            for (field, facets, rule) in bad {
                let shown = format!("{facets:?}");
                let call = calls.tries_to_publish(PublishRequest { facets, ..by("alice", text) });
                let error = call.await.expect_err(&shown);
                assert!(error.message().contains(rule), "{}: {shown}", error.message());
                let refusal = refused::<()>(Err(error));
                let refusal = refusal.with(Code::InvalidArgument, "INVALID_FIELD").blaming(field);
                assert_eq!(refusal.metadata()["field"], field, "{shown}");
            }
        })
        .await;

    // An empty text has no parts.
    let empty = PublishRequest { facets: vec![facet(0..1, m())], ..by("alice", "") };
    refused(calls.tries_to_publish(empty).await).with(Code::InvalidArgument, "INVALID_FIELD");

    // The limits themselves are allowed.
    let tags = [tag(&"x".repeat(64)), tag(&format!("a{}", "\u{301}".repeat(319)))];
    let links = [link(&long), link("HTTP://EXAMPLE.ORG"), link("https://[::1]:8080/?a#b")];
    let features = tags.into_iter().chain(links).chain([mention(&"x".repeat(128))]);
    let facets: Vec<_> = features.zip(2..).map(|(it, at)| facet(at..at + 1, it)).collect();
    let post =
        calls.publishes(PublishRequest { facets: facets.clone(), ..by("alice", text) }).await;
    assert_eq!(post.facets, facets);
    let most: Vec<_> = (0..60).map(|at| facet(at..at + 1, tag("x"))).collect();
    let request = PublishRequest { facets: most.clone(), ..by("alice", &"x".repeat(60)) };
    assert_eq!(calls.publishes(request).await.facets, most);
}

/// A retry must have the same given facets. Facets that the server found in the text do not count.
#[tokio::test]
async fn a_retry_with_other_facets_is_another_body() {
    let mut server = TestServer::start().await;
    server.user("bob").publishes("here I am").await;
    let with = |id: &str, facets: Vec<Facet>, plain_text: bool| PublishRequest {
        request_id: id.to_owned(),
        facets,
        plain_text,
        ..by("alice", "@bob and @carol")
    };
    let of = |feature: Feature| vec![facet(0..4, feature)];
    let bodies = [
        with("", vec![], false),
        with("", vec![], true),
        with("", of(mention("bob")), false),
        with("", of(mention("carol")), false),
        with("", of(tag("bob")), false),
        with("", vec![facet(0..3, mention("bob"))], false),
        with("", vec![facet(0..4, mention("bob")), facet(5..8, tag("and"))], false),
    ];
    let id = |number: usize| format!("request {number}");
    let mut posts = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        let request = PublishRequest { request_id: id(number), ..body.clone() };
        posts.push(Calls::of(&server).publishes(request).await);
    }
    // Meanwhile another name in the text has become a user.
    server.user("carol").publishes("here I am").await;
    for _ in 0..2 {
        let calls = Calls::of(&server);
        for (made, post) in posts.iter().enumerate() {
            for (number, body) in bodies.iter().enumerate() {
                let request = PublishRequest { request_id: id(made), ..body.clone() };
                let call = server.unchanged_by(calls.tries_to_publish(request)).await;
                if number == made {
                    let again = call.expect("the post made first");
                    assert_eq!((again.deduplicated, again.post.as_ref()), (true, Some(post)));
                } else {
                    refused(call).with(Code::AlreadyExists, "REQUEST_ID_REUSED");
                }
            }
        }
        server.restart().await;
    }
    // With given facets, `plain_text` makes no other request.
    let same = with(&id(2), of(mention("bob")), true);
    assert!(Calls::of(&server).tries_to_publish(same).await.unwrap().deduplicated);
}
