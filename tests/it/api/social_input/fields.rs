//! Fields that break their own rules.

use whimbrel::api::v1::*;

use super::{Services, blames, call, unit};
use crate::harness::{TestServer, id_at, within};

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
        user_id: "alice".to_owned(),
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
