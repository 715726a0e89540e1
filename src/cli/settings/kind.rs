//! What a setting holds, by the type that its flag is parsed to. Never parses a value.

use std::any::TypeId;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Arg;

use crate::config::{Networks, Origins};

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
    Flag,
    Number,
    /// A number that need not be whole.
    Fraction,
    Path,
    /// Texts that a flag separates by commas.
    List,
    Text,
}

impl Kind {
    pub(in crate::cli) fn of(flag: &Arg) -> Self {
        let parsed = flag.get_value_parser().type_id();
        let is = |types: &[TypeId]| types.iter().any(|it| parsed == *it);
        if is(&[TypeId::of::<bool>()]) {
            Self::Flag
        } else if is(&[TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<NonZeroUsize>()]) {
            Self::Number
        } else if is(&[TypeId::of::<f64>()]) {
            Self::Fraction
        } else if is(&[TypeId::of::<PathBuf>()]) {
            Self::Path
        } else if is(&[TypeId::of::<Networks>(), TypeId::of::<Origins>()]) {
            Self::List
        } else {
            Self::Text
        }
    }

    /// What to write in a file.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Number => "a whole number",
            Self::Fraction => "a number",
            Self::Path => "the path of a file or folder, in quotes",
            Self::List => "a list of texts, such as [\"10.0.0.0/8\"]",
            Self::Text => "a text in quotes",
        }
    }
}
