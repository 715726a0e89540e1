//! The file with settings: TOML, a line for each setting, and after them the tables about who may
//! call. A mistake is refused with its line. Never holds a secret, only paths of files with secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{Kind, absolute, check, flags, key};
use crate::auth;
use crate::runtime::files::{self, FileError};

/// The tables about who may call.
const TABLES: [&str; 2] = ["issuer", "certificate"];
/// A known key that is less alike is no suggestion: the value at which clap suggests a flag.
const ALIKE_MIN: f64 = 0.7;

/// A file with settings, all of which were accepted.
#[derive(Clone, Debug)]
pub(in crate::cli) struct SettingsFile {
    pub(in crate::cli) path: PathBuf,
    /// By key: the value as a flag would have it, and its line.
    values: BTreeMap<String, (String, usize)>,
    /// Who may call, if the file says so.
    pub(in crate::cli) callers: Option<auth::Settings>,
    /// The lines of the tables.
    pub(in crate::cli) tables: String,
}

/// Why a file with settings is refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot use the settings: {0}")]
    Read(#[from] FileError),
    /// A line of it is refused.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The problem, and what to write.
        problem: String,
    },
    /// Its tables about who may call are refused.
    #[error("{}: {source}", path.display())]
    Callers {
        /// The file.
        path: PathBuf,
        /// The setting and its problem.
        source: auth::SettingsError,
    },
}

impl SettingsFile {
    pub(super) fn read(path: &Path) -> Result<Self, SettingsError> {
        let bytes = files::read(path)?;
        let refused = |line, problem| SettingsError::Line { path: path.to_owned(), line, problem };
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = line_at(&bytes, error.valid_up_to());
            refused(line, "this is no text in UTF-8".to_owned())
        })?;
        let line = |at: usize| line_at(text.as_bytes(), at);
        let parsed = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            refused(line(at), error.message().to_owned())
        })?;
        let folder = absolute(path).parent().unwrap_or(path).to_owned();
        let known = flags();
        let mut values = BTreeMap::new();
        let mut tables_at = None;
        for (name, value) in parsed.get_ref() {
            let at = line(name.span().start);
            let name = name.get_ref().as_ref();
            if TABLES.contains(&name) {
                if !text.lines().nth(at - 1).is_some_and(|it| it.trim_start().starts_with("[[")) {
                    return Err(refused(at, format!("{name}: write it as tables, [[{name}]]")));
                }
                tables_at = Some(tables_at.map_or(at, |first: usize| first.min(at)));
                continue;
            }
            let Some(flag) = known.iter().find(|flag| key(flag) == name) else {
                return Err(refused(at, unknown(name, &known)));
            };
            let kind = Kind::of(flag);
            let value = value_text(kind, value.get_ref(), &folder)
                .and_then(|text| check(flag, &text).map(|()| text))
                .map_err(|problem| refused(at, format!("{name}: {problem}")))?;
            values.insert(name.to_owned(), (value, at));
        }
        let callers = tables_at.map(|_| auth::Settings::parse_among_others(text, &folder));
        let refused = |source| SettingsError::Callers { path: path.to_owned(), source };
        let callers = callers.transpose().map_err(refused)?;
        let tables = text.lines().skip(tables_at.map_or(usize::MAX, |first| first - 1));
        let tables = tables.map(|line| format!("{line}\n")).collect();
        Ok(Self { path: path.to_owned(), values, callers, tables })
    }

    /// The value of `key`, and its line.
    pub(super) fn get(&self, key: &str) -> Option<(&str, usize)> {
        self.values.get(key).map(|(value, line)| (value.as_str(), *line))
    }
}

/// The line of the byte `at`, from 1.
fn line_at(text: &[u8], at: usize) -> usize {
    1 + text[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

/// Why a key is refused, with the nearest known one.
fn unknown(name: &str, known: &[clap::Arg]) -> String {
    let lowered = name.to_ascii_lowercase().replace('-', "_");
    let lowered = lowered.strip_prefix("whimbrel_").unwrap_or(&lowered);
    let keys = known.iter().map(key).chain(TABLES.map(str::to_owned));
    let alike = keys.map(|key| (strsim::jaro_winkler(lowered, &key), key));
    let nearest = alike.max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((alike, nearest)) if alike >= ALIKE_MIN => {
            format!("{name} is no setting; the nearest is {nearest}")
        }
        _ => format!("{name} is no setting: `whimbrel config example` lists them"),
    }
}

/// A value as a flag would have it. Relative paths are relative to `folder`, so that they mean the
/// same wherever the server is started.
fn value_text(kind: Kind, value: &DeValue<'_>, folder: &Path) -> Result<String, String> {
    let wrong = || format!("write {}, and no {}", kind.wanted(), value.type_str());
    match (kind, value) {
        (Kind::Flag, DeValue::Boolean(is_on)) => Ok(is_on.to_string()),
        (Kind::Fraction, DeValue::Float(number)) => Ok(number.as_str().to_owned()),
        (Kind::Number | Kind::Fraction, DeValue::Integer(number)) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            parsed.map(|number| number.to_string()).map_err(|_| "it is too large".to_owned())
        }
        (Kind::Path, DeValue::String(path)) if path.is_empty() => Err(wrong()),
        (Kind::Path, DeValue::String(path)) => Ok(folder.join(path.as_ref()).display().to_string()),
        (Kind::Text | Kind::List, DeValue::String(text)) => Ok(text.to_string()),
        (Kind::List, DeValue::Array(parts)) => {
            let texts: Option<Vec<&str>> =
                parts.iter().map(|part| part.get_ref().as_str()).collect();
            Ok(texts.ok_or_else(wrong)?.join(","))
        }
        _ => Err(wrong()),
    }
}
