//! Comparing what this program answers with what an earlier one did. Everything that it said is there, with
//! the same value; fields may be added.

use serde_json::{Map, Value};

/// What an earlier program answered to a call.
pub(super) struct Answer<'a> {
    /// The arguments of the call.
    pub(super) arguments: &'a str,
    lines: Vec<Value>,
}

/// All answers in the text of a fixture.
pub(super) fn answers(text: &str) -> Vec<Answer<'_>> {
    let parts = text.strip_prefix("> ").expect("it begins with a call").split("\n> ");
    parts.map(Answer::new).collect()
}

impl<'a> Answer<'a> {
    fn new(part: &'a str) -> Self {
        let (arguments, lines) = part.split_once('\n').expect("a call and its lines");
        Self { arguments, lines: parse(lines) }
    }

    /// What differs in `printed`, which this program answers to the same call.
    pub(super) fn difference(&self, printed: &str) -> Option<String> {
        let (mut before, mut now) = (self.lines.clone(), parse(printed));
        if self.arguments.starts_with("watch ") {
            // How many events are in a batch depends on the moment, and the last batch is shown whole.
            (before, now) = (events(&before), events(&now));
            let both = before.len().min(now.len());
            assert!(both > 0, "a stream has an event");
            before.truncate(both);
            now.truncate(both);
        }
        if before.len() != now.len() {
            return Some(format!("{} lines, and {} before: {now:#?}", now.len(), before.len()));
        }
        let mut pairs = before.iter().zip(&now);
        let (before, now) = pairs.find(|(before, now)| !is_told(before, now))?;
        Some(format!("before:\n{before}\nnow:\n{now}"))
    }
}

fn parse(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| plain(serde_json::from_str(line).expect("JSON"))).collect()
}

/// The value in one dialect: early programs wrote `post_id` for `postId`, numbers of 64 bits as numbers, and
/// fields without a value, and later ones had another name for a reason.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (camel_case(&name), plain(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(plain).collect()),
        Value::Number(number) => Value::String(number.to_string()),
        Value::String(text) if text.starts_with("REASON_") => {
            Value::String(format!("REMOVED_{text}"))
        }
        value => value,
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| name + &part[..1].to_uppercase() + &part[1..])
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text == "0" || text.ends_with("_UNSPECIFIED"),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// The events of a stream, which early programs printed one by one.
fn events(lines: &[Value]) -> Vec<Value> {
    let of_line = |line: &Value| match line.pointer("/batch/events") {
        Some(Value::Array(events)) => events.clone(),
        _ if line.get("revision").is_some() => vec![line.clone()],
        _ => Vec::new(),
    };
    lines.iter().flat_map(of_line).collect()
}

/// Whether `now` has all that `before` had. Early programs had fewer envelopes around it.
fn is_told(before: &Value, now: &Value) -> bool {
    let is_same = match (before, now) {
        (Value::Object(before), Value::Object(now)) => has_fields(before, now),
        (Value::Array(before), Value::Array(now)) => {
            before.len() == now.len() && before.iter().zip(now).all(|(a, b)| is_told(a, b))
        }
        // Early programs left the kind out of the name of a kind.
        (Value::String(before), Value::String(now)) => {
            now == before || now.strip_prefix("KIND_") == Some(before)
        }
        _ => before == now,
    };
    let inner = || now.as_object().filter(|fields| fields.len() == 1)?.values().next();
    is_same || inner().is_some_and(|inner| is_told(before, inner))
}

/// Whether `now` has all fields, itself or in an envelope.
fn has_fields(before: &Map<String, Value>, now: &Map<String, Value>) -> bool {
    let field = |name| {
        let mut envelopes = now.values().filter_map(Value::as_object);
        now.get(name).or_else(|| envelopes.find_map(|inner| inner.get(name)))
    };
    before.iter().all(|(name, value)| {
        // A page token is opaque: what matters is the page after it, which the next call asks for.
        field(name).is_some_and(|now| name == "nextPageToken" || is_told(value, now))
    })
}
