//! The settings as a file: those in force, and an example with the defaults. Never prints a secret:
//! no setting is one, they are paths of files with secrets.

use std::fmt::Write;
use std::path::Path;

use clap::Arg;
use serde_json::{Value, json};

use crate::cli::json::JsonLine;
use crate::cli::reload;
use crate::cli::settings::{Given, Kind, Setting, Settings, Source, absolute, flags, key};
use crate::cli::{Error, Output};

const EXAMPLE_HEAD: &str = "\
# The settings of a Whimbrel server, each with its default. For `whimbrel serve --config FILE`.
#
# A flag goes before its environment variable, that before this file, and that before the default.
# Relative paths are relative to the folder of this file. A secret is never in it, only the path of
# a file with it. `whimbrel config check --config FILE` checks it.
";
const EXAMPLE_TAIL: &str = "
# Who may call, instead of auth_file: docs/security.md.
# [[issuer]]
# issuer = \"https://login.example.org/\"
# audience = \"feed\"
# jwks_url = \"https://login.example.org/.well-known/jwks.json\"
";

/// Prints the settings in force.
pub(super) fn settings(given: &Given, output: Output) -> Result<(), Error> {
    let settings = given.settings()?;
    output.print(
        || as_file(&settings).trim_end().to_owned(),
        || {
            let file = settings.file.as_ref().map(|file| &file.path);
            let all: Vec<_> = settings.all.iter().map(for_programs).collect();
            let callers = settings.file.as_ref().is_some_and(|file| file.callers.is_some());
            JsonLine("config", json!({ "file": file, "callersInFile": callers, "settings": all }))
        },
    )
}

/// All settings with their defaults, as comments.
pub(super) fn example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for flag in flags() {
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let changes =
            if reload::is_reloaded(&key(&flag)) { " Read again when it changes." } else { "" };
        let stop = if help.ends_with('.') { "" } else { "." };
        text.push('\n');
        for line in wrapped(&format!("{help}{stop}{changes}"), 98) {
            text.push_str("# ");
            text.push_str(&line);
            text.push('\n');
        }
        let default = flag.get_default_values().first().and_then(|it| it.to_str());
        let line = match default {
            Some(value) => format!("# {} = {}\n", key(&flag), literal(&flag, value)),
            None => {
                let name = flag.get_value_names().and_then(|names| names.first());
                let name = name.map(ToString::to_string).unwrap_or_default();
                format!("# {} = … ({name}; not set)\n", key(&flag))
            }
        };
        text.push_str(&line);
    }
    text + EXAMPLE_TAIL
}

/// TOML that can be used as a file.
fn as_file(settings: &Settings) -> String {
    let mut text = String::new();
    for setting in &settings.all {
        let key = setting.key();
        let source = match (setting.source, &settings.file) {
            (Source::File { line }, Some(file)) => format!("{}:{line}", file.path.display()),
            (source, _) => source.name().to_owned(),
        };
        let written = match &setting.value {
            Some(value) => {
                writeln!(
                    text,
                    "{key} = {} # {source}",
                    literal(&setting.flag, &in_force(setting, value))
                )
            }
            None => writeln!(text, "# {key} is not set"),
        };
        debug_assert!(written.is_ok(), "a String takes all that is written");
    }
    if let Some(file) = &settings.file {
        text.push('\n');
        text.push_str(&file.tables);
    }
    text
}

fn for_programs(setting: &Setting) -> Value {
    let line = if let Source::File { line } = setting.source { Some(line) } else { None };
    let value = setting.value.as_ref().map(|value| {
        let literal = literal(&setting.flag, &in_force(setting, value));
        serde_json::from_str(&literal).unwrap_or(Value::String(literal))
    });
    json!({
        "key": setting.key(),
        "value": value,
        "source": setting.source.name(),
        "line": line,
        "reloaded": reload::is_reloaded(&setting.key()),
    })
}

/// A path as it is used, whatever the folder it is read in.
fn in_force(setting: &Setting, value: &str) -> String {
    match Kind::of(&setting.flag) {
        Kind::Path => absolute(Path::new(value)).display().to_string(),
        _ => value.to_owned(),
    }
}

/// A value in a form that TOML and JSON have in common.
pub(super) fn literal(flag: &Arg, value: &str) -> String {
    match Kind::of(flag) {
        Kind::Number => value.to_owned(),
        // A flag may have it as `.5`, which is no number elsewhere.
        Kind::Fraction => value.parse().map_or_else(|_| quoted(value), |it: f64| it.to_string()),
        // A variable may have other words for it.
        Kind::Flag => crate::cli::parse_flag(value).is_ok_and(|is_on| is_on).to_string(),
        Kind::List => {
            let parts: Vec<_> = value.split(',').map(|part| quoted(part.trim())).collect();
            format!("[{}]", parts.join(", "))
        }
        Kind::Path | Kind::Text => quoted(value),
    }
}

/// A text in quotes, with the escapes that TOML and JSON have in common.
fn quoted(text: &str) -> String {
    // JSON allows this one as it is, and TOML does not.
    Value::String(text.to_owned()).to_string().replace('\u{7f}', "\\u007f")
}

/// `text` in lines of at most `columns` characters, broken at spaces.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { continue };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
