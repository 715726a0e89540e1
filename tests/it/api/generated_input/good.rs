//! Good requests: one table says what a good value of each field is. Never makes a bad value, except
//! those that the table has for a field.

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::rpcs::{Rpc, rpcs};
use super::world::World;

/// What is known of a field.
#[derive(Debug)]
pub(super) struct Known {
    /// The name of the field, or `Message.name` where the field of this message is another one.
    name: &'static str,
    pub(super) good: Good,
    /// The form of the longest text.
    pub(super) longest: Option<Longest>,
    /// Texts that break the rule of this field alone.
    pub(super) bad: &'static [&'static str],
}

/// A good value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Good {
    Text(&'static str),
    /// The id of a post.
    Post(fn(&World) -> &String),
    Cursor,
    /// The id of a segment.
    Segment,
    /// The token of the list's second page. The good request is for the first page.
    PageToken,
    Number(i64),
    Flag(bool),
}

/// A text of any length: `head`, then `unit` as often as there is room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Longest {
    head: &'static str,
    unit: &'static str,
    pub(super) bytes: usize,
}

const BAD_USERS: &[&str] = &[
    " ",
    " bob",
    "bob ",
    "b ob",
    "bob\n",
    "bob\u{200f}",
    "b\u{f6}b",
    ".",
    "..",
    "-",
    "@",
    "|=",
    "@bob",
    "@bob@example.org",
    "o'brien",
    "\"bob\"",
    "bob\\carol",
    "`bob`",
    "<bob>",
    "bob\u{feff}",
];
const BAD_POSTS: &[&str] = &[
    "p",
    "p0",
    "p01",
    "p+1",
    "p-1",
    "q1",
    "1",
    "P1",
    "p99999999999999999999999",
    "p1 ",
    "p1bcdfgh!",
];
const BAD_URIS: &[&str] = &["no scheme", "example.org/a", "https:", ":x", "1a:b", "a b:c"];
const BAD_LINKS: &[&str] = &[
    "example.org",
    "ftp://example.org/",
    "https://",
    "https:a",
    "javascript:alert(1)",
    "https://a b/",
];
const BAD_MEDIA_TYPES: &[&str] = &["image", "image/", "/png", "image png"];
const BAD_LANGS: &[&str] = &["e", "not a tag", "en_US", "-", "en-", "12", "en--us"];
const BAD_TAGS: &[&str] = &["#tag", "\u{ff03}tag", "a tag", "a\u{a0}tag", "\u{2028}"];

/// One row for each field of a request. A field without a row fails the test.
const FIELDS: &[Known] = &[
    user("user_id", "alice"),
    user("author_id", "alice"),
    user("followee_id", "carol"),
    user("UnfollowRequest.followee_id", "bob"),
    // Not the longest user of other fields, who then would not see alice.
    text("blocked_id", "dave", Some(longest("", "b", 128)), BAD_USERS),
    text("UnblockRequest.blocked_id", "erin", Some(longest("", "b", 128)), BAD_USERS),
    user("muted_id", "dave"),
    user("UnmuteRequest.muted_id", "frank"),
    user("of_user_id", "alice"),
    user("other_ids", "bob"),
    post("post_id", |world| &world.known),
    post("post_ids", |world| &world.known),
    post("LikeRequest.post_id", |world| &world.fresh),
    post("RepostRequest.post_id", |world| &world.fresh),
    post("DeletePostRequest.post_id", |world| &world.doomed),
    post("reply_to_post_id", |world| &world.known),
    post("quote_post_id", |world| &world.known),
    text(
        "text",
        "hello, world",
        Some(longest("", "x", 300)),
        &["\n\t \u{7f}", "\u{2800}\u{200d} "],
    ),
    // Empty: another request with the same id would have to be the same.
    text("request_id", "", Some(longest("", "r", 64)), &["a\n", "\u{7f}", "\u{85}"]),
    text("uri", "https://example.org/a.png", Some(longest("https:", "x", 2_048)), BAD_URIS),
    text(
        "FacetLink.uri",
        "https://example.org/",
        Some(longest("https://e.org/", "x", 2_048)),
        BAD_LINKS,
    ),
    text("media_type", "image/png", Some(longest("image/", "x", 255)), BAD_MEDIA_TYPES),
    text("alt", "A wader", Some(longest("", "x", 1_000)), &["\u{2800}\u{200d} "]),
    text("langs", "en", Some(longest("en-x-abc", "-aaaaaaaa", 35)), BAD_LANGS),
    text("tag", "waders", Some(longest("", "x", 64)), BAD_TAGS),
    number("byte_start", 0),
    number("byte_end", 4),
    flag("plain_text"),
    number("page_size", 1),
    known("page_token", Good::PageToken),
    known("at_least_cursor", Good::Cursor),
    known("after_cursor", Good::Cursor),
    known("until_cursor", Good::Cursor),
    flag("exclude_self"),
    flag("include_all_replies"),
    flag("include_replies"),
    flag("include_reposts"),
    number("limit", 1),
    number("depth_max", 1),
    number("replies_max", 1),
    number("seconds", 20),
    number("nanos", 0),
    number("gap_policy", 1),
    number("revision", 1),
    known("segment_id", Good::Segment),
];

const fn known(name: &'static str, good: Good) -> Known {
    Known { name, good, longest: None, bad: &[] }
}

const fn user(name: &'static str, good: &'static str) -> Known {
    text(name, good, Some(longest("", "u", 128)), BAD_USERS)
}

const fn post(name: &'static str, good: fn(&World) -> &String) -> Known {
    Known { bad: BAD_POSTS, ..known(name, Good::Post(good)) }
}

const fn text(
    name: &'static str,
    good: &'static str,
    longest: Option<Longest>,
    bad: &'static [&'static str],
) -> Known {
    Known { name, good: Good::Text(good), longest, bad }
}

const fn number(name: &'static str, good: i64) -> Known {
    known(name, Good::Number(good))
}

const fn flag(name: &'static str) -> Known {
    known(name, Good::Flag(false))
}

const fn longest(head: &'static str, unit: &'static str, bytes: usize) -> Longest {
    Longest { head, unit, bytes }
}

impl Longest {
    /// A text of this form with so many bytes.
    pub(super) fn of(&self, bytes: usize) -> String {
        let units = self.unit.chars().cycle();
        self.head.chars().chain(units).take(bytes).collect()
    }
}

/// What is known of a field; `None` of one with a message, which is known by its fields.
pub(super) fn of(field: &FieldDescriptor) -> Option<&'static Known> {
    if matches!(field.kind(), Kind::Message(_)) {
        return None;
    }
    let full = full_name(field);
    let row = |name: &str| FIELDS.iter().find(|row| row.name == name);
    let known = row(&full).or_else(|| row(field.name()));
    Some(known.unwrap_or_else(|| {
        panic!(
            "{full} has no good value: add a row to FIELDS in tests/it/api/generated_input/good.rs"
        )
    }))
}

/// The name of a field with that of its message.
pub(super) fn full_name(field: &FieldDescriptor) -> String {
    format!("{}.{}", field.parent_message().name(), field.name())
}

/// A request that is accepted, for the first page of a list.
pub(super) fn request(rpc: &Rpc, world: &World) -> DynamicMessage {
    message(rpc, &rpc.input, world)
}

fn message(rpc: &Rpc, of_type: &MessageDescriptor, world: &World) -> DynamicMessage {
    let mut message = DynamicMessage::new(of_type.clone());
    for field in of_type.fields() {
        let is_later_choice = field.containing_oneof().is_some_and(|choice| {
            let first = choice.fields().next();
            first.is_some_and(|first| first.number() != field.number())
        });
        let is_page = of(&field).is_some_and(|known| matches!(known.good, Good::PageToken));
        if !is_later_choice && !is_page {
            message.set_field(&field, value(rpc, &field, world));
        }
    }
    message
}

/// A good value of `field`, which is a list with one entry if the field is one.
pub(super) fn value(rpc: &Rpc, field: &FieldDescriptor, world: &World) -> Value {
    let entry = entry(rpc, field, world);
    if field.is_list() { Value::List(vec![entry]) } else { entry }
}

/// As [`value`], but the entry itself.
pub(super) fn entry(rpc: &Rpc, field: &FieldDescriptor, world: &World) -> Value {
    let Some(known) = of(field) else {
        let Kind::Message(of_type) = field.kind() else { unreachable!("others are known") };
        return Value::Message(message(rpc, &of_type, world));
    };
    match known.good {
        Good::Text(text) => Value::String(text.to_owned()),
        Good::Post(post) => Value::String(post(world).clone()),
        Good::Cursor => Value::String(world.cursor.clone()),
        Good::Segment => Value::String(world.segment_id.clone()),
        Good::PageToken => Value::String(world.page_tokens[&rpc.name].clone()),
        Good::Flag(flag) => Value::Bool(flag),
        Good::Number(number) => number_of(&field.kind(), number.into()),
    }
}

/// `number` as a value of a field of this kind.
pub(super) fn number_of(kind: &Kind, number: i128) -> Value {
    let fits = "the number fits the field";
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number.try_into().expect(fits)),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number.try_into().expect(fits)),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number.try_into().expect(fits)),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number.try_into().expect(fits)),
        Kind::Enum(_) => Value::EnumNumber(number.try_into().expect(fits)),
        other => panic!("{other:?} is not generated yet: add it to good.rs and changes.rs"),
    }
}

/// Every row is about a field of a request.
#[test]
fn every_row_is_of_a_field() {
    let mut used = BTreeSet::new();
    for path in rpcs().iter().flat_map(Rpc::fields) {
        used.extend(of(path.last()).map(|known| known.name));
    }
    let unused: Vec<_> =
        FIELDS.iter().map(|row| row.name).filter(|it| !used.contains(it)).collect();
    assert!(unused.is_empty(), "there is no such field: {unused:?}");
}
