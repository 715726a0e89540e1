//! Texts with and without visible characters.

use whimbrel::model::{PostText, TextError};

/// These characters are invisible, alone and together.
#[test]
fn invisible_texts_are_refused() {
    let invisible = [
        // White space.
        " ",
        "\t",
        "\n",
        "\r\n",
        "\u{a0}",
        "\u{1680}",
        "\u{2003}",
        "\u{2028}",
        "\u{2029}",
        "\u{202f}",
        "\u{205f}",
        "\u{3000}",
        "\u{85}",
        // Controls.
        "\u{1}",
        "\u{1b}",
        "\u{7f}",
        "\u{9f}",
        // Characters that join, separate, hide or reorder others.
        "\u{ad}",
        "\u{34f}",
        "\u{61c}",
        "\u{180e}",
        "\u{200b}",
        "\u{200c}",
        "\u{200d}",
        "\u{200e}",
        "\u{200f}",
        "\u{202a}",
        "\u{202e}",
        "\u{2060}",
        "\u{2061}",
        "\u{2064}",
        "\u{2065}",
        "\u{2066}",
        "\u{2069}",
        "\u{206f}",
        "\u{feff}",
        "\u{fff9}",
        "\u{fffb}",
        "\u{1bca0}",
        "\u{1d173}",
        // Selectors and tags.
        "\u{180b}",
        "\u{fe00}",
        "\u{fe0e}",
        "\u{fe0f}",
        "\u{e0001}",
        "\u{e0020}",
        "\u{e007f}",
        "\u{e0100}",
        "\u{e01ef}",
        "\u{e0fff}",
        // Fillers and blanks.
        "\u{115f}",
        "\u{1160}",
        "\u{3164}",
        "\u{ffa0}",
        "\u{17b4}",
        "\u{17b5}",
        "\u{2800}",
        "\u{13441}",
        "\u{16fe4}",
        "\u{1d159}",
    ];
    for text in invisible.iter().map(|&it| it.to_owned()).chain([invisible.concat()]) {
        assert_eq!(PostText::parse(&text), Err(TextError::Invisible), "{text:?}");
        assert!(PostText::parse(&format!("{text}x{text}")).is_ok(), "{text:?} next to a letter");
    }
}

/// These texts have visible characters.
#[test]
fn visible_texts_are_accepted() {
    let visible = [
        "a",
        "0",
        ".",
        "_",
        "\u{e9}",
        "\u{301}",
        "\u{5d0}",
        "\u{7528}",
        "\u{ac00}",
        "\u{1100}",
        "\u{1f426}",
        "\u{2764}\u{fe0f}",
        "1\u{fe0f}\u{20e3}",
        "\u{1f469}\u{200d}\u{1f680}",
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
        "\u{1f1e9}\u{1f1ea}",
        "\u{2801}",
        "\u{fffd}",
        "\u{6dd}",
        "\u{600}",
        "\u{a9}",
        "\u{20ac}",
        // Private-use characters, and characters of a later Unicode.
        "\u{f8ff}",
        "\u{1faff}",
        "\u{3fffd}",
    ];
    for text in visible {
        assert!(PostText::parse(text).is_ok(), "{text:?}");
    }
}
