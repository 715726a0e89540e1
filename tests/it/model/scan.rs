//! The facets that the server finds in a text without given facets: mentions, links and hashtags.

use std::cell::Cell;

use proptest::prelude::*;
use whimbrel::model::{Facet, Facets, Feature, PostText, UserId, bounds};

use crate::harness::core::{post, user};

/// The facets of `text`, if `users` are users: each as its part of the text and its target.
fn found(text: &str, users: &[&str]) -> Vec<String> {
    let facets = Facets::scan(&post(text), |user| users.contains(&user.as_str()));
    facets.all().iter().map(|facet| shown(text, facet)).collect()
}

fn shown(text: &str, facet: &Facet) -> String {
    let part = &text[facet.start..facet.end];
    match &facet.feature {
        Feature::Mention(user) => format!("{part} is {user}"),
        Feature::Link(link) => format!("{part} leads to {}", link.as_str()),
        Feature::Tag(tag) => format!("{part} is #{}", tag.as_str()),
    }
}

/// The users that `text` mentions, if `users` are users.
fn mentioned(text: &str, users: &[&str]) -> Vec<String> {
    let facets = Facets::scan(&post(text), |user| users.contains(&user.as_str()));
    let mention = |facet: &Facet| match &facet.feature {
        Feature::Mention(user) => Some(user.to_string()),
        _ => None,
    };
    facets.all().iter().filter_map(mention).collect()
}

/// The mentioned users, where bob, carol, dave, alice and a few longer names are users.
#[test]
fn mentions_are_found() {
    let cases: [(&str, &[&str]); 62] = [
        ("nobody at all", &[]),
        ("@bob", &["bob"]),
        ("hello @bob.", &["bob"]),
        ("(@bob) [@carol]: @dave!", &["bob", "carol", "dave"]),
        ("@bob, @bob and @Bob", &["bob", "bob"]),
        ("@did:plc:abc~1... and @a.b@c.example:", &["did:plc:abc~1", "a.b@c.example"]),
        ("mail@example.org is an address", &[]),
        ("@@bob", &[]),
        ("@", &[]),
        ("@-bob @.bob", &[]),
        ("\u{e9}@bob\u{e9}", &["bob"]),
        ("@bob\n@carol\t@dave", &["bob", "carol", "dave"]),
        ("@bob's", &["bob"]),
        // Characters before the sign.
        (".@bob", &["bob"]),
        ("cc:@bob", &["bob"]),
        ("via:@bob", &["bob"]),
        ("RT @bob: hello", &["bob"]),
        ("\"@bob\" '@carol' *@dave* _@alice_", &["bob", "carol", "dave", "alice"]),
        ("\u{2068}@bob\u{2069} \u{200b}@carol\u{200b}", &["bob", "carol"]),
        ("\u{1f44b}@bob\u{1f44b}", &["bob"]),
        ("-@bob", &["bob"]),
        ("so there.@bob", &["bob"]),
        ("so there!@bob and you?@carol", &["bob", "carol"]),
        ("@bob/@carol,@dave+@alice", &["bob", "carol", "dave", "alice"]),
        ("@bob-@carol @bob.@carol", &["bob", "carol", "bob", "carol"]),
        ("\u{8b1d}\u{8b1d}@bob\u{4f60}\u{597d}", &["bob"]),
        ("\u{ff20}bob", &["bob"]),
        // E-mail addresses.
        ("foo@bob", &[]),
        ("foo@bob.example", &[]),
        ("foo@carol.dave", &[]),
        ("foo+@bob.example", &[]),
        ("foo+@bob", &[]),
        ("first.last_@bob.example", &[]),
        ("jos\u{e9}@bob.example", &[]),
        ("jose\u{301}@bob.example", &[]),
        ("\u{7528}\u{6237}@bob.example", &[]),
        ("\u{7528}\u{6237}+@bob.example", &[]),
        ("mailto:foo@bob.example", &[]),
        ("ssh git@bob.example:repo", &[]),
        // URLs with and without a scheme.
        ("https://www.tiktok.com/@bob", &[]),
        ("www.tiktok.com/@bob and tiktok.com/@bob?x", &[]),
        ("https://foo/?bar=@bob", &[]),
        ("foo?bar=@bob", &[]),
        ("https://example.org/a:@bob, https://example.org#@bob", &[]),
        ("(https://example.org/a(@bob))", &[]),
        ("at://example.org/@bob ftp://example.org/a,@carol", &[]),
        ("https://bob@carol.dave/", &[]),
        ("https://example.org/a @bob", &["bob"]),
        ("@bob:https://example.org/", &["bob"]),
        // Characters after the name.
        ("@bob--great", &["bob"]),
        ("@bob...great", &["bob"]),
        ("@bob:-)", &["bob"]),
        ("@bob_", &["bob"]),
        ("@bob@", &["bob"]),
        ("@bob_smith @bob-smith @bob.smith @bob:smith @bob~smith @bob@smith", &[]),
        ("@bob__smith", &[]),
        ("@bobby", &[]),
        ("@bob.example.", &["bob.example"]),
        ("@bob.example.org", &[]),
        ("@bob|1 @bob+x@c.de @bob=1", &[]),
        ("@bob| @bob+ @bob=", &["bob", "bob", "bob"]),
        ("@bob&@carol @bob/carol @bob;carol", &["bob", "carol", "bob", "bob"]),
    ];
    let users = ["bob", "carol", "dave", "alice", "did:plc:abc~1", "a.b@c.example", "bob.example"];
    for (text, expected) in cases {
        assert_eq!(mentioned(text, &users), expected, "{text:?}");
    }
}

/// A character after a name may be part of the name or of the sentence. The longest name of a user
/// wins.
#[test]
fn the_longest_existing_name_is_mentioned() {
    let all = ["bob", "bob_", "bob-", "bob.", "bob~", "bob:", "bob--great", "_bob"];
    for mark in ["_", "-", ".", "~", ":"] {
        let (name, text) = (format!("bob{mark}"), format!("hi @bob{mark}"));
        assert_eq!(mentioned(&text, &all), [name.as_str()], "{text}");
        assert_eq!(mentioned(&text, &["bob"]), ["bob"], "{text}");
        assert_eq!(mentioned(&text, &[&name]), [name.as_str()], "{text}");
        assert_eq!(mentioned("hi @bob", &[&name]), Vec::<String>::new(), "{text}");
        // A longest name, and one character more.
        assert_eq!(mentioned(&format!("hi @bob{mark}{mark}{mark}"), &all), [name.as_str()]);
        assert_eq!(found(&text, &["bob"]), ["@bob is bob"]);
        assert_eq!(found(&text, &all), [format!("@bob{mark} is bob{mark}")]);
    }
    assert_eq!(mentioned("@bob--great", &all), ["bob--great"]);
    assert_eq!(mentioned("@bob--fine", &all), ["bob-"]);
    assert_eq!(mentioned("@_bob @__bob", &all), ["_bob"]);
    assert_eq!(mentioned("_@bob_", &["bob"]), ["bob"]);
    assert_eq!(mentioned("@bob.example.org.", &["bob.example.org", "bob"]), ["bob.example.org"]);
}

/// Only users are mentioned.
#[test]
fn a_name_of_no_user_is_text() {
    assert_eq!(mentioned("@bob @carol", &["carol"]), ["carol"]);
    assert_eq!(found("@bob", &[]), Vec::<String>::new());
}

/// Links are http and https URLs, without the punctuation of the sentence, and as URIs.
#[test]
fn links_are_found() {
    let cases: [(&str, &[&str]); 9] = [
        (
            "see https://example.org/a, and (http://example.org/b_(c)).",
            &[
                "https://example.org/a leads to https://example.org/a",
                "http://example.org/b_(c) leads to http://example.org/b_(c)",
            ],
        ),
        ("HTTPS://EXAMPLE.ORG", &["HTTPS://EXAMPLE.ORG leads to HTTPS://EXAMPLE.ORG"]),
        ("http://localhost:8080/x", &["http://localhost:8080/x leads to http://localhost:8080/x"]),
        (
            "https://example.org/\u{f1}",
            &["https://example.org/\u{f1} leads to https://example.org/%C3%B1"],
        ),
        ("example.org and www.example.org/x", &[]),
        ("ftp://example.org/ at://example.org/ javascript:alert(1)", &[]),
        ("https:// http://", &[]),
        ("https://example.org/%zz", &[]),
        ("https://example.org/#x", &["https://example.org/#x leads to https://example.org/#x"]),
    ];
    for (text, expected) in cases {
        assert_eq!(found(text, &["bob"]), expected, "{text:?}");
    }
}

/// Hashtags are letters, digits and underscores of any script, and are not numbers.
#[test]
fn hashtags_are_found() {
    let cases: [(&str, &[&str]); 22] = [
        ("#birds", &["birds"]),
        ("#birds, #waders! (#sea_birds)", &["birds", "waders", "sea_birds"]),
        ("#\u{3068}\u{308a}\u{3002}", &["\u{3068}\u{308a}"]),
        ("\u{ff03}birds", &["birds"]),
        ("#2026birds", &["2026birds"]),
        ("#na\u{ef}ve #nai\u{308}ve", &["na\u{ef}ve", "nai\u{308}ve"]),
        (
            "#\u{939}\u{93f}\u{928}\u{94d}\u{926}\u{940}",
            &["\u{939}\u{93f}\u{928}\u{94d}\u{926}\u{940}"],
        ),
        (
            "#\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            &["\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}"],
        ),
        ("#birds\u{200d} #birds\u{b7}", &["birds", "birds"]),
        ("#1 #2026 #_ #__1", &[]),
        ("# #! #-x", &[]),
        ("#\u{fe0f}\u{20e3} #\u{1f426}", &[]),
        ("a#b 1#b \u{e9}#b _#b", &[]),
        ("##birds #birds#waders", &["birds"]),
        ("&#39; &#x27;", &[]),
        ("https://example.org/#birds", &[]),
        ("example.org/#birds example.org/x#birds", &[]),
        ("issue/#birds", &[]),
        ("\u{200b}#birds", &["birds"]),
        ("#birds-and-bees", &["birds"]),
        ("C# and F#", &[]),
        ("#C#", &["C"]),
    ];
    let tags = |text: &str| -> Vec<String> {
        let facets = Facets::scan(&post(text), |_| false);
        let tag = |facet: &Facet| match &facet.feature {
            Feature::Tag(tag) => Some(tag.as_str().to_owned()),
            _ => None,
        };
        facets.all().iter().filter_map(tag).collect()
    };
    for (text, expected) in cases {
        assert_eq!(tags(text), expected, "{text:?}");
    }
    let longest = "x".repeat(bounds::TAG_GRAPHEMES_MAX);
    assert_eq!(tags(&format!("#{longest}")), [longest.as_str()]);
    assert_eq!(tags(&format!("#{longest}x")), Vec::<String>::new());
}

/// All kinds together are in the order of the text.
#[test]
fn facets_are_in_the_order_of_the_text() {
    let text = "#one https://example.org/ @bob #two @carol";
    let expected = [
        "#one is #one",
        "https://example.org/ leads to https://example.org/",
        "@bob is bob",
        "#two is #two",
        "@carol is carol",
    ];
    assert_eq!(found(text, &["bob", "carol"]), expected);
}

/// The number of facets, and of notified users, is bounded.
#[test]
fn facets_are_bounded() {
    let text = post(&"@a ".repeat(100));
    let facets = Facets::scan(&text, |_| true);
    assert_eq!(facets.all().len(), bounds::FACETS_MAX);
    assert_eq!(*facets.mentioned(|_| true), [user("a")]);

    let text: String = (0..60).map(|number| format!("@u{number} ")).collect();
    let facets = Facets::scan(&post(&text), |_| true);
    assert_eq!(facets.all().len(), 60);
    let mentioned = facets.mentioned(|user| user.as_str() != "u0");
    assert_eq!(mentioned.len(), bounds::MENTIONS_MAX);
    assert_eq!((mentioned[0].as_str(), mentioned[15].as_str()), ("u1", "u16"));

    // A URL of few graphemes may have many bytes, and three times as many as a URI.
    let heavy = format!("https://example.org/{}", "\u{1f468}\u{200d}\u{1f469}".repeat(50));
    let facets = Facets::scan(&post(&format!("{heavy} {heavy} {heavy} {heavy}")), |_| true);
    assert_eq!(facets.all().len(), 3);
    assert!(facets.bytes() <= bounds::FACETS_BYTES_MAX);

    // Each sign could begin a name that ends at any of a hundred positions.
    let lookups = Cell::new(0);
    let many = post(&"@a.".repeat(100));
    let is_user = |_: &UserId| {
        lookups.set(lookups.get() + 1);
        false
    };
    assert_eq!(Facets::scan(&many, is_user).all(), []);
    assert_eq!(lookups.get(), 12 * bounds::FACETS_MAX);

    let longest = "x".repeat(bounds::USER_ID_BYTES_MAX);
    let is_user = |_: &UserId| true;
    assert_eq!(Facets::scan(&post(&format!("@{longest}")), is_user).all().len(), 1);
    assert_eq!(Facets::scan(&post(&format!("@{longest}x")), is_user).all().len(), 0);
}

/// Random texts of the pieces that the rules are about.
fn piecemeal() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "@", "@", "\u{ff20}", "#", "\u{ff03}", "bob", "bob_", "carol", "example.org", "https://",
            "http://", "://", "/", "?", "=", ":", ".", "-", "_", "~", "+", "|", " ", "\n", "(", ")",
            "\u{e9}", "e\u{301}", "\u{7528}", "\u{200d}", "\u{1f426}", "%", "1", "@bob", "#tag",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(|character| character.to_string()),
    ];
    prop::collection::vec(piece, 1..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// For any text there is no panic, facets are whole parts of the text in order, and the same
    /// facets are accepted when they are given.
    #[test]
    fn found_facets_may_be_given(text in prop_oneof![piecemeal(), ".{0,80}"], known in 0_u8..3) {
        let Ok(text) = PostText::parse(&text) else { return Ok(()) };
        let is_user = |user: &UserId| match known {
            0 => true,
            1 => user.as_str().len().is_multiple_of(2),
            _ => user.as_str() == "bob",
        };
        let found = Facets::scan(&text, is_user);
        for facet in found.all() {
            let part = text.as_str().get(facet.start..facet.end).expect("whole characters");
            match &facet.feature {
                Feature::Mention(user) => {
                    prop_assert!(is_user(user));
                    prop_assert_eq!(part.trim_start_matches(['@', '\u{ff20}']), user.as_str());
                }
                Feature::Tag(tag) => {
                    prop_assert_eq!(part.trim_start_matches(['#', '\u{ff03}']), tag.as_str());
                }
                Feature::Link(link) => {
                    prop_assert!(part.to_ascii_lowercase().starts_with("http"));
                    prop_assert!(link.as_str().is_ascii());
                }
            }
        }
        let given = Facets::from_author(&text, found.all().into()).expect("the facets are accepted");
        prop_assert_eq!(given.all(), found.all());
    }

    /// A mention between characters that cannot be part of a name is found.
    #[test]
    fn a_mention_among_words_is_found(
        before in "([a-z]{1,8} ){0,4}",
        name in "[a-z0-9][a-z0-9._:~-]{0,20}",
        after in "( [a-z]{1,8}){0,4}",
    ) {
        let text = format!("{before}@{name}{after}");
        prop_assert_eq!(mentioned(&text, &[&name]), [name]);
    }
}
