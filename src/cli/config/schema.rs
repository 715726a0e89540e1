//! A JSON Schema of the file with settings, from the flags of `serve`. Never knows a setting by name.

use clap::Arg;
use serde_json::{Map, Value, json};

use super::print::literal;
use crate::cli::settings::{Kind, check, flags, key};

/// The schema.
pub(super) fn schema() -> Value {
    let mut properties: Map<String, Value> =
        flags().iter().map(|flag| (key(flag), property(flag))).collect();
    let tables = [
        ("issuer", "An issuer of tokens to trust, as in --auth-file."),
        ("certificate", "A client certificate to trust, as in --auth-file."),
    ];
    for (name, description) in tables {
        let table =
            json!({ "type": "array", "items": { "type": "object" }, "description": description });
        properties.insert(name.to_owned(), table);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The settings of a Whimbrel server",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(flag: &Arg) -> Value {
    let mut it = match Kind::of(flag) {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Path | Kind::Text => json!({ "type": "string" }),
        Kind::List => json!({ "type": ["array", "string"], "items": { "type": "string" } }),
        // All of them are parts of a whole.
        Kind::Fraction => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Number => {
            let (min, max) = range(flag);
            let mut number = json!({ "type": "integer", "minimum": min });
            if let Some(max) = max {
                number["maximum"] = json!(max);
            }
            number
        }
    };
    it["description"] = json!(flag.get_help().map(ToString::to_string));
    if let Some(default) = flag.get_default_values().first().and_then(|it| it.to_str()) {
        it["default"] = serde_json::from_str(&literal(flag, default)).unwrap_or_default();
    }
    it
}

/// The least and the greatest number that the parser of `flag` takes; it takes all between them. No
/// greatest one if all that a file can have are taken.
fn range(flag: &Arg) -> (u64, Option<u64>) {
    let takes = |number: u64| check(flag, &number.to_string()).is_ok();
    let default = flag.get_default_values().first().and_then(|it| it.to_str()?.parse().ok());
    let taken = default.unwrap_or(1);
    debug_assert!(takes(taken), "a default is taken, and so is 1");
    let min = if takes(0) { 0 } else { edge(taken, 0, takes) };
    let file_max = i64::MAX as u64;
    (min, (!takes(file_max)).then(|| edge(taken, file_max, takes)))
}

/// The number next to those that `takes` refuses, between `taken` and `refused`.
fn edge(mut taken: u64, mut refused: u64, takes: impl Fn(u64) -> bool) -> u64 {
    while taken.abs_diff(refused) > 1 {
        let middle = taken.min(refused) + taken.abs_diff(refused) / 2;
        if takes(middle) { taken = middle } else { refused = middle }
    }
    taken
}
