//! Values at the edges of their rules.

use whimbrel::model::{Attachment, Lang, Mark, MarkKind, Revision, bounds};

/// Attachments are URIs with a scheme, media types have two parts, and both are bounded.
#[test]
fn attachments_follow_their_rules() {
    let long = |bytes: usize| format!("https://{}", "x".repeat(bytes - 8));
    for (uri, media_type, alt) in [
        ("https://example.org/1.png", "image/png", "A bird."),
        ("at://did:plc:abc/x", "", ""),
        ("x:y", "application/vnd.a+b", "two\nlines"),
        (&long(bounds::URI_BYTES_MAX), "", &"a".repeat(bounds::ALT_BYTES_MAX)),
    ] {
        assert!(Attachment::parse(uri, media_type, alt).is_ok(), "{uri} {media_type} {alt}");
    }
    for (uri, media_type, alt, field) in [
        ("", "", "", "uri"),
        ("example.org/1.png", "", "", "uri"),
        ("1https://example.org", "", "", "uri"),
        ("https:", "", "", "uri"),
        ("https://example.org/a b", "", "", "uri"),
        ("https://example.org/\u{e9}", "", "", "uri"),
        (&long(bounds::URI_BYTES_MAX + 1), "", "", "uri"),
        ("x:y", "image", "", "media_type"),
        ("x:y", "/png", "", "media_type"),
        ("x:y", "image/", "", "media_type"),
        ("x:y", "", "nul\0", "alt"),
        ("x:y", "", " \n", "alt"),
        ("x:y", "", "\u{200b}\u{3164}", "alt"),
        ("x:y", "", &"a".repeat(bounds::ALT_BYTES_MAX + 1), "alt"),
    ] {
        let error = Attachment::parse(uri, media_type, alt).expect_err(uri);
        assert_eq!(error.field, field, "{uri} {media_type} {alt}");
    }
}

/// Language tags are well-formed by BCP 47, and have one form each.
#[test]
fn language_tags_follow_bcp_47() {
    for tag in
        ["en", "pt-BR", "zh-Hant-TW", "x-whimbrel", "de-CH-1996", "i-klingon", "tlh", "es-419"]
    {
        assert_eq!(Lang::parse(tag).expect(tag).as_str(), tag);
    }
    for (text, tag) in [("EN", "en"), ("pt-br", "pt-BR"), ("ZH-hANT-tw", "zh-Hant-TW")] {
        assert_eq!(Lang::parse(text).expect(text).as_str(), tag);
    }
    for text in [
        "",
        "-",
        "e",
        "x",
        "en-",
        "-en",
        "en--US",
        "en-a",
        "en-x",
        "en-USA-US-US",
        "en_US",
        "english language",
        "abcdefghi",
        "1a",
        "12",
        "\u{e9}n",
        "e\u{301}",
        "en\0",
    ] {
        assert!(Lang::parse(text).is_err(), "{text:?}");
    }
    assert!(Lang::parse(&["abcdefgh"; 4].join("-")).is_ok());
    assert!(Lang::parse(&["abcdefgh"; 5].join("-")).is_err());
}

/// Marks are ordered by revision, whatever their kinds. A position before a revision is between the
/// marks of its neighbours.
#[test]
fn marks_keep_the_order_of_the_log() {
    let kinds = [MarkKind::Post, MarkKind::Conditional, MarkKind::Repost, MarkKind::Change];
    for revision in [1, 2, 1 << 47].map(Revision::new) {
        for kind in kinds {
            let mark = Mark::new(revision, kind);
            assert_eq!((mark.revision(), mark.kind()), (revision, kind));
            assert_eq!(Mark::from_number(mark.number()), mark);
            assert!(Mark::before(revision) <= mark && mark < Mark::before(revision.next()));
            assert!(Mark::FIRST < mark && mark < Mark::LAST);
        }
    }
    assert_eq!(Mark::before(Revision::MAX), Mark::LAST);
}
