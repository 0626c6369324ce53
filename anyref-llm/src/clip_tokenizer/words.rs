//! Splitting of a cleaned text into words, and of a word into one printable character for each
//! byte.

use regex::Regex;

/// Suffix of a token that ends a word.
pub(super) const END_OF_WORD: &str = "</w>";
/// Published pattern: special tokens, endings of English contractions, letters, single digits, and
/// runs of other characters.
const PATTERN: &str = r"(?i)<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Splitter of texts.
#[derive(Debug)]
pub(super) struct Words {
    pattern: Regex,
    /// Character of each byte.
    characters: [char; 256],
}

impl Words {
    pub(super) fn new() -> Self {
        let pattern = Regex::new(PATTERN).expect("the pattern is a constant");
        let mut characters = ['\0'; 256];
        let mut next = 256;
        for byte in 0..=255_u8 {
            let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            characters[usize::from(byte)] = if printable {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1).expect("characters from 256 on are letters")
            };
        }
        Self {
            pattern,
            characters,
        }
    }

    /// Characters that stand for bytes.
    pub(super) fn byte_characters(&self) -> [char; 256] {
        self.characters
    }

    /// Splits a text into words.
    pub(super) fn of<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> {
        self.pattern.find_iter(text).map(|found| found.as_str())
    }

    /// Converts a word to one character for each of its bytes.
    pub(super) fn bytes(&self, word: &str) -> String {
        let bytes = word.bytes();
        bytes
            .map(|byte| self.characters[usize::from(byte)])
            .collect()
    }
}
