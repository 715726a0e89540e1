//! The list of limits, made from `Limits`: its comments, its defaults, and the ranges that its check
//! enforces. A limit without a group, a reason or a default fails.

use std::collections::BTreeMap;
use std::fs;

use whimbrel::config::{LimitError, Limits, LimitsInForce};

use super::{cell, head, hold, path};
use crate::server::limits as every;

const PAGE: &str = "docs/limits.md";
const INTRODUCTION: &str = "\
What exceeds a limit is refused with an [error](errors.md), or waits; nothing is cut off silently. A limit with a flag
is set as [operations](operations.md#settings) describes, and those marked with *live* also
[while the server runs](operations.md#changes-while-the-server-runs). The others are parts of the design: a program
that embeds the server sets them in `whimbrel::config::Limits`. `GetServerInfo` shows clients the limits that concern
them.
";
/// The groups of `Limits`, which empty lines separate there, by their first limits.
const GROUPS: [(&str, &str); 6] = [
    ("follows_per_user_max", "Users, connections and calls"),
    ("page_items_default", "Reads"),
    ("queue_commands_max", "Changes, memory and the disk"),
    ("compaction_interval", "Deleted content"),
    ("channel_events_max", "Streams"),
    ("call_time_max", "Calls and stopping"),
];
/// The default depends on the machine.
const OF_THE_MACHINE: (&str, &str) = ("worker_threads", "one per core");

/// Every limit has its default, its range, its reason, and how to change it.
#[test]
fn the_list_of_limits_is_what_the_code_says() {
    let source = fs::read_to_string(path("src/config/limits.rs")).unwrap();
    let structure = source.split("pub struct Limits {\n").nth(1).unwrap();
    let structure = structure.split("\n}\n").next().unwrap();
    let mut page = head("Limits", "`src/config/limits.rs`") + INTRODUCTION;
    let mut listed = Vec::new();
    for group in structure.split("\n\n") {
        let limits = described(group);
        let first = &limits[0].0;
        let title = GROUPS.iter().find(|(name, _)| name == first);
        let (_, title) = title.unwrap_or_else(|| panic!("the group of {first} has no title here"));
        page += &format!("\n## {title}\n\n| limit | default | range | | change it with |\n");
        page += "|---|---|---|---|---|\n";
        for (name, reason) in limits {
            page += &row(&name, &reason);
            listed.push(name);
        }
    }
    let all: Vec<_> = every::all().iter().map(|limit| limit.name.to_owned()).collect();
    assert_eq!(listed.len(), all.len());
    assert!(listed.iter().all(|name| all.contains(name)), "a limit was not found");
    page += &bounds();
    hold(&BTreeMap::from([(PAGE.to_owned(), page)]));
}

/// Names and comments of fields or constants.
fn described(source: &str) -> Vec<(String, String)> {
    let mut comment = String::new();
    let mut found = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment += text;
        } else if let Some(code) = line.strip_prefix("pub ") {
            let name = code.trim_start_matches("const ").split(':').next().unwrap();
            assert!(!comment.is_empty(), "{name} has no reason");
            found.push((name.to_owned(), std::mem::take(&mut comment)));
        }
    }
    found
}

fn row(name: &str, reason: &str) -> String {
    let debug = format!("{:#?}", Limits::default());
    let default = debug
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": ")?.strip_suffix(','));
    let default = default.unwrap_or_else(|| panic!("{name} has no default"));
    let (min, max) = range(name);
    let range = match (&min, &max) {
        (Some(min), Some(max)) => format!("{} to {}", readable(name, min), readable(name, max)),
        _ => "any".to_owned(),
    };
    let default = match OF_THE_MACHINE {
        (of_machine, text) if of_machine == name => text.to_owned(),
        _ => readable(name, default),
    };
    let live = if is_live(name) { ", *live*" } else { "" };
    let flag = flag(name).map_or_else(|| "–".to_owned(), |flag| format!("`--{flag}`{live}"));
    format!("| `{name}` | {default} | {range} | {} | {flag} |\n", cell(reason))
}

/// The range as the error for a value outside of it says it.
fn range(name: &str) -> (Option<String>, Option<String>) {
    let limit = every::all().into_iter().find(|limit| limit.name == name).unwrap();
    for pick in 0..limit.picks {
        let mut limits = Limits::default();
        (limit.set)(&mut limits, pick);
        if let Err(LimitError::OutOfRange { name: refused, min, max, .. }) = limits.check() {
            assert_eq!(refused, name);
            return (Some(min), Some(max));
        }
    }
    (None, None)
}

/// Whether a running server takes another value.
fn is_live(name: &str) -> bool {
    let limit = every::all().into_iter().find(|limit| limit.name == name).unwrap();
    (0..limit.picks).filter(|&pick| limit.allows(pick)).any(|pick| {
        let mut limits = Limits::default();
        (limit.set)(&mut limits, pick);
        let in_force = LimitsInForce::new(Limits::default());
        in_force.replace(&limits).is_ok()
            && format!("{:?}", *in_force.now()) != format!("{:?}", Limits::default())
    })
}

/// The flag of `serve` from which the limit is set.
fn flag(name: &str) -> Option<String> {
    let source = fs::read_to_string(path("src/cli/serve.rs")).unwrap();
    let settings = source.split("limits: Limits {").nth(1).unwrap();
    let settings: String =
        settings.split("..defaults").next().unwrap().split_whitespace().collect();
    if settings.contains("connections_max,") && name == "connections_max" {
        return Some("connections-max".to_owned());
    }
    let value = settings.split(&format!("{name}:")).nth(1)?;
    let field = value.split("self.").nth(1)?;
    let end = field.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
    Some(field[..end].replace('_', "-"))
}

/// A value as people write it, from how it is printed for programmers.
fn readable(name: &str, value: &str) -> String {
    if let Some(seconds) = value.strip_suffix('s').and_then(|it| it.parse::<u64>().ok()) {
        let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
        let unit = units.iter().find(|(size, _)| seconds >= 2 * size && seconds % size == 0);
        return match unit {
            Some((size, unit)) => format!("{} {unit}", grouped(seconds / size)),
            None => format!("{seconds} s"),
        };
    }
    let Ok(number) = value.parse::<u64>() else { return value.replace("ms", " ms") };
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.iter().find(|(size, _)| number > 0 && number % size == 0);
    match unit {
        Some((size, unit)) if name.contains("bytes") => {
            format!("{} {unit}", grouped(number / size))
        }
        _ => grouped(number),
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// What the API promises, which nothing changes.
fn bounds() -> String {
    let source = fs::read_to_string(path("src/model/mod.rs")).unwrap();
    let bounds = source.split("pub mod bounds {\n").nth(1).unwrap().split("\n}").next().unwrap();
    let mut text =
        "\n## Promised to clients\n\nThese are a part of the API, and are never changed.\n\n\
                    | limit | value | |\n|---|---|---|\n"
            .to_owned();
    for (name, reason) in described(bounds) {
        let value = bounds.split(&format!("{name}: usize = ")).nth(1).unwrap();
        let value = value.split(';').next().unwrap().replace('_', "").parse().unwrap();
        let reason = reason.replace("[`", "`").replace("`]", "`");
        text += &format!("| `{name}` | {} | {} |\n", grouped(value), cell(&reason));
    }
    text
}
