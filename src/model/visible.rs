//! Visible characters, by Unicode's tables. Never depends on a font.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Format characters that are drawn: signs around numbers (`Prepended_Concatenation_Mark` of
/// Unicode's PropList).
const DRAWN_FORMATS: [(char, char); 7] = [
    ('\u{600}', '\u{605}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
];

/// Characters that are not drawn although their category is one of drawn characters: the rest of
/// Unicode's `Default_Ignorable_Code_Point` (joiners, Hangul fillers, variation selectors, tags,
/// and code points reserved for such), and letters and signs with an empty glyph.
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

/// Whether `text` has a visible character.
///
/// White space, control characters, characters that only change the form or direction of others,
/// and blanks are invisible. A character that the tables of this version lack is visible: it may be
/// a new letter or emoji.
pub(super) fn has_visible(text: &str) -> bool {
    text.chars().any(is_visible)
}

/// Whether `character` belongs to the letter before it, as an accent or a vowel sign does
/// (Unicode's category `Mark`).
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
