//! Cleaning of texts before tokenization.
//!
//! The steps follow the order of ImageBind's code: ftfy's repair of single characters, HTML
//! entities, white space, lower case.

use html_escape::decode_html_entities;
use unicode_normalization::UnicodeNormalization;

/// Characters of Windows-1252 at 0x80 to 0x9F, where Unicode has control characters; five positions
/// are unassigned.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Cleans a text: lower case, without redundant white space, HTML entities and unusual forms of
/// characters.
pub(super) fn clean(text: &str) -> String {
    // ftfy takes angle brackets as a sign that entities are literal.
    let text = match text.contains('<') {
        true => mended(text),
        false => mended(&decode_html_entities(text)),
    };
    let decoded = decode_html_entities(&text);
    let text = decode_html_entities(&decoded);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// Applies ftfy's repairs of single characters, and composes characters (NFC).
fn mended(text: &str) -> String {
    let plain = text.chars().flat_map(plain_forms).filter_map(printable);
    plain.nfc().collect()
}

/// Expands Latin ligatures, and converts wide and narrow forms to their normal width.
fn plain_forms(character: char) -> impl Iterator<Item = char> {
    let character = match character {
        '\u{80}'..='\u{9f}' => WINDOWS_1252[character as usize - 0x80],
        _ => character,
    };
    let (one, compatible) = match character {
        '\u{132}' | '\u{133}' | '\u{149}' | '\u{1c4}'..='\u{1cc}' | '\u{1f1}'..='\u{1f3}' => {
            (None, Some(character))
        }
        // The long s of this ligature is kept.
        '\u{fb05}' => (Some('\u{17f}'), Some('t')),
        '\u{fb00}'..='\u{fb06}' | '\u{3000}' | '\u{ff01}'..='\u{ffef}' => (None, Some(character)),
        _ => (Some(character), None),
    };
    one.into_iter().chain(compatible.into_iter().nfkc())
}

/// Replaces quotation marks by straight ones, and removes control characters.
fn printable(character: char) -> Option<char> {
    match character {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => Some('\''),
        '\u{201c}'..='\u{201f}' => Some('"'),
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' => None,
        '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' => None,
        _ => Some(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_read_as_often_as_the_reference_reads_them() {
        assert_eq!(clean("R&amp;amp;B"), "r&b");
        // Four levels of escaping are one too many.
        assert_eq!(clean("&amp;amp;amp;lt;"), "&lt;");
        // After an angle bracket, only two levels.
        assert_eq!(clean("< &amp;amp;lt;"), "< &lt;");
    }

    #[test]
    fn odd_forms_become_plain_ones() {
        assert_eq!(clean("ﬁre Ｗｉｎｄ “it’s”"), "fire wind \"it's\"");
        assert_eq!(clean("cafe\u{301}\u{feff} \u{85}"), "café …");
        assert_eq!(clean(" ΣΑΣ\u{a0}\t ΣΑ "), "σας σα");
    }
}
