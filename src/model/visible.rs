//! Which characters leave a mark that a reader sees. Never says how one looks.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Format characters that are drawn all the same: signs that are written around numbers
/// (`Prepended_Concatenation_Mark` of Unicode's PropList).
const DRAWN_FORMATS: [(char, char); 7] = [
    ('\u{600}', '\u{605}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
];

/// What is not drawn although its category is one of drawn characters: the rest of Unicode's
/// `Default_Ignorable_Code_Point` (joiners, Hangul fillers, variation selectors, tags, and the
/// places kept free for such), and letters and signs whose glyph is empty.
const BLANKS: [(char, char); 14] = [
    ('\u{34f}', '\u{34f}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2065}', '\u{2065}'),
    // Braille without a dot.
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    // Khitan filler, hieroglyphic blanks, null notehead.
    ('\u{13441}', '\u{13442}'),
    ('\u{16fe4}', '\u{16fe4}'),
    ('\u{1d159}', '\u{1d159}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether `text` has a character that a reader sees.
///
/// White space, controls, what only changes other characters' form or direction, and blanks are
/// not seen. A character that this version's tables do not have yet counts as seen: it may be a
/// new letter or emoji.
pub(super) fn has_visible(text: &str) -> bool {
    text.chars().any(is_visible)
}

/// Whether `character` is a mark on the letter before it, as accents and vowel signs are.
pub(super) fn is_mark(character: char) -> bool {
    !character.is_ascii() && character.general_category_group() == GeneralCategoryGroup::Mark
}

fn is_visible(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_graphic();
    }
    let is_in = |ranges: &[(char, char)]| {
        ranges.iter().any(|&(first, last)| (first..=last).contains(&character))
    };
    match character.general_category() {
        GeneralCategory::Control
        | GeneralCategory::SpaceSeparator
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => false,
        GeneralCategory::Format => is_in(&DRAWN_FORMATS),
        _ => !is_in(&BLANKS),
    }
}
