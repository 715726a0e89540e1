//! The settings of a server from all their sources: the flag of a setting goes before its variable,
//! that before the file, and that before the default.
//!
//! There is one list of settings, the flags of `serve`, and one parser of their values, whatever the
//! source. Never names a setting.

mod file;
mod kind;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
pub(super) use file::{SettingsError, SettingsFile};
pub(super) use kind::Kind;

use super::Error;
use super::serve::ServeArgs;

/// The flag that names the file. It is no setting of the file itself.
const FILE_FLAG: &str = "config";

/// What the command line and the environment say.
#[derive(Clone, Debug)]
pub(super) struct Given(ArgMatches);

/// The settings in force.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) args: ServeArgs,
    pub(super) file: Option<SettingsFile>,
    /// In the order of `serve --help`.
    pub(super) all: Vec<Setting>,
}

/// A setting, and where its value comes from.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) flag: Arg,
    /// `None` if it is not set, and has no default that is the same everywhere.
    pub(super) value: Option<String>,
    pub(super) source: Source,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    File { line: usize },
    Environment,
    Flag,
}

impl Source {
    /// Its name for people and programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File { .. } => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

impl Setting {
    /// Its name in a file.
    pub(super) fn key(&self) -> String {
        key(&self.flag)
    }
}

impl Given {
    /// The settings, with those of the file as it is now.
    ///
    /// # Errors
    /// The file cannot be read, or has a setting that is refused.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        let file = self.file().map(|file| SettingsFile::read(&file)).transpose()?;
        let mut all = Vec::new();
        let mut line = vec![OsString::from("serve")];
        for flag in every_flag() {
            let (value, source) = self.value(&flag, file.as_ref());
            if source != Source::Default
                && let (Some(value), Some(long)) = (&value, flag.get_long())
            {
                let mut word = OsString::from(format!("--{long}="));
                word.push(value);
                line.push(word);
            }
            if is_setting(&flag) {
                let value = value.map(|value| value.to_string_lossy().into_owned());
                all.push(Setting { flag, value, source });
            }
        }
        // The environment was read by then.
        let parser = serve_command().mut_args(|flag| flag.env(None));
        let refused = |error: clap::Error| Error::Usage(error.to_string().trim_end().to_owned());
        let matches = parser.try_get_matches_from(line).map_err(refused)?;
        let args = ServeArgs::from_arg_matches(&matches).map_err(refused)?;
        Ok(Settings { args, file, all })
    }

    /// The file with settings, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.0.get_one::<PathBuf>(FILE_FLAG).cloned()
    }

    fn value(&self, flag: &Arg, file: Option<&SettingsFile>) -> (Option<OsString>, Source) {
        let id = flag.get_id().as_str();
        let source = match self.0.value_source(id) {
            Some(ValueSource::CommandLine) => Some(Source::Flag),
            Some(ValueSource::EnvVariable) => Some(Source::Environment),
            _ => None,
        };
        if let Some(source) = source {
            let raw = self.0.get_raw(id).and_then(Iterator::last);
            return (raw.map(ToOwned::to_owned), source);
        }
        if is_setting(flag)
            && let Some((value, line)) = file.and_then(|file| file.get(&key(flag)))
        {
            return (Some(value.into()), Source::File { line });
        }
        (flag.get_default_values().first().map(|it| OsString::from(it.clone())), Source::Default)
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        // With a value after `=`, so that a flag may also turn off what a file turns on.
        ServeArgs::augment_args(command).mut_args(|flag| match flag.get_action() {
            ArgAction::SetTrue => flag
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .value_name("true|false")
                .default_value("false")
                .default_missing_value("true")
                .hide_default_value(true),
            _ => flag,
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// All settings: the flags of `serve` that may be in a file.
pub(super) fn flags() -> Vec<Arg> {
    every_flag().into_iter().filter(is_setting).collect()
}

/// The name of a flag in a file: as that of its variable, and not with hyphens, which the tables of
/// the file do not have either.
pub(super) fn key(flag: &Arg) -> String {
    flag.get_long().unwrap_or_default().replace('-', "_")
}

/// Checks a value of a flag as the command line does.
///
/// # Errors
/// Why it is refused.
pub(super) fn check(flag: &Arg, value: &str) -> Result<(), String> {
    let word = format!("--{}={value}", flag.get_long().unwrap_or_default());
    let parser = Command::new("setting").no_binary_name(true).arg(flag.clone().env(None));
    parser.try_get_matches_from([word]).map(drop).map_err(|error| {
        if let Some(ContextValue::Strings(words)) = error.get(ContextKind::ValidValue)
            && !words.is_empty()
        {
            return format!("write one of {}", words.join(", "));
        }
        let why = std::error::Error::source(&error).map(ToString::to_string);
        why.unwrap_or_else(|| error.to_string())
    })
}

/// `path` without a meaning that depends on the folder of a process.
pub(super) fn absolute(path: &Path) -> PathBuf {
    // It fails for an empty path only, which stays what it is.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn serve_command() -> Command {
    Given::augment_args(Command::new("serve"))
}

fn every_flag() -> Vec<Arg> {
    serve_command().get_arguments().cloned().collect()
}

fn is_setting(flag: &Arg) -> bool {
    !flag.is_hide_set() && flag.get_id() != FILE_FLAG
}
