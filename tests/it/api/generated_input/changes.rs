//! The ways in which a field of a good request is changed, by its type. Never says what follows: see
//! the rules.

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

use super::good::{self, Good, Known};
use super::rpcs::{FieldPath, Rpc};
use super::world::World;
use crate::harness::{id_at, with_revision};

/// A revision that no log of a test has.
const FUTURE: u64 = 1 << 40;
/// A field number that no message has.
const UNKNOWN: u32 = 15_000;
/// More nested groups than decoders follow.
const GROUPS: usize = 200;

/// One way to change a field.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) name: String,
    edit: Edit,
}

#[derive(Debug)]
enum Edit {
    /// The field, or the only entry of a list, has this value.
    Set(Value),
    /// The list has these entries.
    Entries(Vec<Value>),
    /// The field is not there.
    Clear,
    /// These bytes follow the good message.
    Append(Vec<u8>),
    /// These bytes are in the place of the field.
    Replace(Vec<u8>),
}

/// All changes of the field at the end of `path`. `other` is the same world on another log.
pub(super) fn of(rpc: &Rpc, path: &FieldPath, world: &World, other: &World) -> Vec<Change> {
    let field = path.last();
    let good = good::entry(rpc, field, world);
    let mut changes = Vec::new();
    let mut set = |name: String, value| changes.push(Change { name, edit: Edit::Set(value) });
    if let (Some(known), Value::String(text)) = (good::of(field), &good) {
        let foreign = good::entry(rpc, field, other);
        let mut texts = texts(known, text);
        texts.extend(positions(rpc, known, text, foreign.as_str().unwrap_or_default(), world));
        for (name, text) in texts {
            set(name, Value::String(text));
        }
    }
    for (name, number) in numbers(&field.kind()) {
        set(name, good::number_of(&field.kind(), number));
    }
    if field.kind() == Kind::Bool {
        set("true".to_owned(), Value::Bool(true));
        set("false".to_owned(), Value::Bool(false));
    }
    let edits = lists(field, &good).into_iter().chain(on_the_wire(rpc, field, world));
    changes.extend(edits.map(|(name, edit)| Change { name: name.to_owned(), edit }));
    changes
}

/// What any text may be changed to.
fn texts(known: &Known, good: &str) -> Vec<(String, String)> {
    let (before, after) = good.split_at(good.len() / 2);
    let inside = |text: &str| format!("{before}{text}{after}");
    let mut texts = vec![("empty".to_owned(), String::new())];
    let mut add = |name: &str, text: String| texts.push((name.to_owned(), text));
    for (name, text) in [
        ("NUL", "\0"),
        ("a bidi mark", "\u{202e}"),
        ("a zero width space", "\u{200b}"),
        ("a line feed", "\n"),
        ("a space", " "),
        ("a bird", "\u{1f426}"),
    ] {
        add(&format!("{name} inside"), inside(text));
        add(&format!("only {name}"), text.to_owned());
    }
    add("10,000 marks", inside(&format!("e{}", "\u{301}".repeat(10_000))));
    for bytes in [10_000, 60_000, 70_000] {
        let long = known.longest.map(|it| it.of(bytes));
        add(
            &format!("{bytes} bytes"),
            long.unwrap_or_else(|| good.to_owned() + &"A".repeat(bytes)),
        );
    }
    if let Some(longest) = known.longest {
        add("the longest", longest.of(longest.bytes));
        add("1 byte too long", longest.of(longest.bytes + 1));
        add("twice too long", longest.of(longest.bytes * 2));
    }
    for bad in known.bad {
        add(&format!("bad {bad:?}"), (*bad).to_owned());
    }
    texts
}

/// What a position in a log may be changed to: a cursor, a page token or the id of a post.
fn positions(
    rpc: &Rpc,
    known: &Known,
    good: &str,
    foreign: &str,
    world: &World,
) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let mut add = |name: &str, text: String| texts.push((name.to_owned(), text));
    let mut of_tokens = Vec::new();
    match known.good {
        Good::Text(_) | Good::Number(_) | Good::Flag(_) => return texts,
        Good::Post(_) => {
            add("in the future", id_at(FUTURE, good));
            add("a cursor", world.cursor.clone());
        }
        Good::Segment => add("a cursor", world.cursor.clone()),
        Good::Cursor => {
            of_tokens
                .push(("of the other kind", world.page_tokens["FeedService/NewsFeed"].clone()));
        }
        Good::PageToken => {
            of_tokens.push(("of the other kind", world.cursor.clone()));
            let list = world.page_tokens.iter().find(|(name, _)| **name != rpc.name);
            of_tokens.push(("of another list", list.expect("there are many lists").1.clone()));
        }
    }
    add("of another log", foreign.to_owned());
    for length in 1..good.len() {
        add(&format!("cut to {length}"), good[..length].to_owned());
    }
    for garbage in ["garbage", "!", "=", "AAAA", "%00", "p1", "\u{ff}"] {
        add(&format!("garbage {garbage}"), garbage.to_owned());
    }
    if !of_tokens.is_empty() {
        of_tokens.push(("in the future", with_revision(good, FUTURE)));
        of_tokens.push(("at the last revision", with_revision(good, u64::MAX)));
        of_tokens.push(("padded", format!("{good}=")));
        of_tokens.push(("doubled", good.repeat(2)));
        for at in 0..good.len() {
            let letter = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            add(
                &format!("byte {at} changed"),
                format!("{}{letter}{}", &good[..at], &good[at + 1..]),
            );
        }
    }
    for (name, text) in of_tokens {
        add(name, text);
    }
    texts
}

/// The extremes of numbers of this kind; the values of an enum, and others.
fn numbers(kind: &Kind) -> Vec<(String, i128)> {
    let (min, max): (i128, i128) = match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => {
            (i32::MIN.into(), i32::MAX.into())
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (i64::MIN.into(), i64::MAX.into()),
        Kind::Uint32 | Kind::Fixed32 => (0, u32::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => (0, u64::MAX.into()),
        _ => return Vec::new(),
    };
    let mut numbers = vec![("max".to_owned(), max)];
    if min < 0 {
        numbers.extend([("min".to_owned(), min), ("-1".to_owned(), -1)]);
    }
    match kind {
        Kind::Enum(of_type) => {
            numbers.push(("99".to_owned(), 99));
            let value = |it: prost_reflect::EnumValueDescriptor| {
                (format!("value {}", it.name()), it.number().into())
            };
            numbers.extend(of_type.values().map(value));
        }
        _ => numbers.push(("0".to_owned(), 0)),
    }
    numbers
}

/// Lists of other lengths, and messages that are not there.
fn lists(field: &FieldDescriptor, good: &Value) -> Vec<(&'static str, Edit)> {
    if field.is_list() {
        let of = |count| Edit::Entries(vec![good.clone(); count]);
        return vec![
            ("no entries", of(0)),
            ("an entry twice", of(2)),
            ("101 entries", of(101)),
            ("1,000 entries", of(1_000)),
        ];
    }
    match field.kind() {
        Kind::Message(of_type) => {
            let empty = Value::Message(DynamicMessage::new(of_type));
            vec![("absent", Edit::Clear), ("an empty message", Edit::Set(empty))]
        }
        _ => Vec::new(),
    }
}

/// What only bytes can say.
fn on_the_wire(rpc: &Rpc, field: &FieldDescriptor, world: &World) -> Vec<(&'static str, Edit)> {
    let number = field.number();
    let is_length = matches!(field.kind(), Kind::String | Kind::Bytes | Kind::Message(_));
    let other_type = if is_length { varint(number, 1) } else { length(number, b"a") };
    let mut edits = of_any_field();
    edits.extend([
        ("another wire type", Edit::Replace(other_type)),
        ("a group", Edit::Replace(groups(number, 1))),
        ("a key without a value", Edit::Replace(key(number, field.kind().wire_type()))),
        (
            "a varint without an end",
            Edit::Replace([key(number, WireType::Varint), vec![0xff; 11]].concat()),
        ),
    ]);
    match field.kind() {
        Kind::String => edits.extend(of_text(field, &good::entry(rpc, field, world))),
        Kind::Bool => edits.push(("2 as a flag", Edit::Replace(varint(number, 2)))),
        _ => {}
    }
    if !field.is_list() {
        edits.push(("twice", Edit::Append(alone(field, &good::entry(rpc, field, world)))));
    }
    let choices = field.containing_oneof();
    let choices = choices.iter().flat_map(|it| it.fields());
    for choice in choices.filter(|choice| choice.number() != number) {
        let another = alone(&choice, &good::entry(rpc, &choice, world));
        edits.push(("another choice after it", Edit::Append(another)));
    }
    edits
}

/// What may come after any field.
fn of_any_field() -> Vec<(&'static str, Edit)> {
    let unknown = [
        varint(UNKNOWN, 7),
        length(UNKNOWN, b"unknown"),
        groups(UNKNOWN, 1),
        [key(UNKNOWN, WireType::ThirtyTwoBit), vec![1; 4]].concat(),
        [key(UNKNOWN, WireType::SixtyFourBit), vec![1; 8]].concat(),
    ];
    vec![
        ("unknown fields after it", Edit::Append(unknown.concat())),
        ("wire type 7 after it", Edit::Append(vec![0x0f])),
        ("field 0 after it", Edit::Append(vec![0x02, 0])),
        ("an open group after it", Edit::Append(key(UNKNOWN, WireType::StartGroup))),
        ("too many groups after it", Edit::Append(groups(UNKNOWN, GROUPS))),
    ]
}

/// What a text may be in bytes.
fn of_text(field: &FieldDescriptor, good: &Value) -> Vec<(&'static str, Edit)> {
    let number = field.number();
    let good = length(number, good.as_str().unwrap_or_default().as_bytes());
    let bad = length(number, b"\0");
    let cut = [key(number, WireType::LengthDelimited), vec![100, b'a']].concat();
    let mut edits = vec![("longer than the message", Edit::Replace(cut))];
    for (name, bytes) in [
        ("not UTF-8", &[0xff_u8][..]),
        ("UTF-8 that is cut", &[b'a', 0xe2, 0x82]),
        ("UTF-8 of a surrogate", &[0xed, 0xa0, 0x80]),
        ("UTF-8 that is too long", &[0xc0, 0x80]),
    ] {
        edits.push((name, Edit::Replace(length(number, bytes))));
    }
    if !field.is_list() {
        edits.push(("a bad one, then a good one", Edit::Replace([bad.clone(), good].concat())));
        edits.push(("a good one, then a bad one", Edit::Append(bad)));
    }
    edits
}

impl Change {
    /// The bytes of the good request of `rpc` with the field at the end of `path` changed.
    pub(super) fn request(&self, rpc: &Rpc, path: &FieldPath, world: &World) -> Vec<u8> {
        self.message(good::request(rpc, world), &path.0, &|field| good::value(rpc, field, world))
    }

    fn message(
        &self,
        mut message: DynamicMessage,
        path: &[FieldDescriptor],
        good: &dyn Fn(&FieldDescriptor) -> Value,
    ) -> Vec<u8> {
        let (field, rest) = path.split_first().expect("a path has a field");
        if !message.has_field(field) {
            // Another choice of a oneof, or a page token.
            message.set_field(field, good(field));
        }
        if rest.is_empty() {
            return self.edit(message, field);
        }
        let parent = message.get_field(field).into_owned();
        let parent = parent.as_list().map_or_else(|| parent.clone(), |entries| entries[0].clone());
        let parent = parent.as_message().expect("a path goes through messages").clone();
        message.clear_field(field);
        let inner = self.message(parent, rest, good);
        [message.encode_to_vec(), length(field.number(), &inner)].concat()
    }

    fn edit(&self, mut message: DynamicMessage, field: &FieldDescriptor) -> Vec<u8> {
        let mut after = [].as_slice();
        match &self.edit {
            Edit::Set(value) if field.is_list() => {
                message.set_field(field, Value::List(vec![value.clone()]));
            }
            Edit::Set(value) => message.set_field(field, value.clone()),
            Edit::Entries(entries) => message.set_field(field, Value::List(entries.clone())),
            Edit::Clear => message.clear_field(field),
            Edit::Append(bytes) => after = bytes,
            Edit::Replace(bytes) => {
                message.clear_field(field);
                after = bytes;
            }
        }
        [&message.encode_to_vec(), after].concat()
    }
}

fn key(number: u32, wire_type: WireType) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, wire_type, &mut bytes);
    bytes
}

fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut bytes = key(number, WireType::Varint);
    encode_varint(value, &mut bytes);
    bytes
}

fn length(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = key(number, WireType::LengthDelimited);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

/// So many groups, each in the one before it.
fn groups(number: u32, count: usize) -> Vec<u8> {
    let [start, end] = [WireType::StartGroup, WireType::EndGroup].map(|it| key(number, it));
    [start.repeat(count), end.repeat(count)].concat()
}

/// The bytes of a field with this value.
fn alone(field: &FieldDescriptor, value: &Value) -> Vec<u8> {
    let mut message = DynamicMessage::new(field.parent_message().clone());
    message.set_field(field, value.clone());
    message.encode_to_vec()
}
