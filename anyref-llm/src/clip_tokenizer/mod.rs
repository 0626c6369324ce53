//! CLIP's byte-pair encoding, as used by ImageBind's text tower.
//!
//! ```text
//! " A Dog" ─cleaning─▶ "a dog" ─words─▶ "a", "dog" ─bytes, merges─▶ [320, 1929]
//!   ─start, end, padding─▶ [49406, 320, 1929, 49407, 0, 0, …]
//! ```

mod cleaning;
mod files;
mod words;

use std::path::Path;

use tokenizers::Model;
use tokenizers::models::bpe::BPE;

use crate::error::{Error, Result};
use crate::tokenizer::failed;
use crate::tokenizer::merges_file::Vocabulary;
use words::{END_OF_WORD, Words};

/// First token of every text.
pub const START_OF_TEXT: &str = "<|startoftext|>";
/// Last token of every text.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Padding id after the end of a text. It is the id of the real token `!`, but the tower ignores
/// that position.
const PADDING: u32 = 0;

/// CLIP's tokenizer, with the ids of ImageBind's `SimpleTokenizer`.
///
/// Texts are cleaned in the same steps: common Unicode damage is repaired, HTML entities are
/// decoded, white space becomes single spaces, and letters become lower case. Omitted are ftfy's
/// repairs beyond single characters (text decoded from the wrong encoding, terminal escapes) and
/// entities without their semicolon.
#[derive(Debug)]
pub struct ClipTokenizer {
    bpe: BPE,
    words: Words,
    start: u32,
    end: u32,
}

impl ClipTokenizer {
    /// Reads the vocabulary of a CLIP folder: `vocab.json` with `merges.txt`, or else vocabulary
    /// and merges of `tokenizer.json`.
    ///
    /// # Errors
    /// When the folder has neither, or the vocabulary cannot be read, lacks a byte or a special
    /// token, or does not end with the end-of-text token, by which the text tower finds it.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        Self::new(files::of_folder(folder.as_ref())?)
    }

    /// Returns whether the folder contains a vocabulary for [`from_folder`](Self::from_folder),
    /// valid or not.
    pub fn is_in_folder(folder: impl AsRef<Path>) -> bool {
        files::is_in_folder(folder.as_ref())
    }

    fn new(vocabulary: Vocabulary) -> Result<Self> {
        let words = Words::new();
        let problem =
            |message: String| Error::tokenizer(vocabulary.path.display().to_string(), message);
        let id = |token: &str| match vocabulary.ids.get(token) {
            Some(&id) => Ok(id),
            None => Err(problem(format!(
                "has no `{token}`; give the vocabulary of a CLIP folder"
            ))),
        };
        let (start, end) = (id(START_OF_TEXT)?, id(END_OF_TEXT)?);
        for byte in words.byte_characters() {
            id(&byte.to_string())?;
            id(&format!("{byte}{END_OF_WORD}"))?;
        }
        if let Some((token, other)) = vocabulary.ids.iter().find(|(_, other)| **other > end) {
            let message = format!(
                "`{END_OF_TEXT}` is {end} and `{token}` {other}: the end of text must come last; give CLIP's own vocabulary"
            );
            return Err(problem(message));
        }
        let bpe = BPE::builder()
            .vocab_and_merges(vocabulary.ids, vocabulary.merges)
            .end_of_word_suffix(END_OF_WORD.into())
            .build();
        let what = vocabulary.path.display().to_string();
        Ok(Self {
            bpe: bpe.map_err(failed(&what))?,
            words,
            start,
            end,
        })
    }

    /// Tokenizes a text between start and end tokens into at most `length` ids; a longer text loses
    /// its last tokens before the end. `length` is 77 for CLIP and ImageBind.
    ///
    /// # Errors
    /// When the tokenizer library fails.
    pub fn encode(&self, text: &str, length: usize) -> Result<Vec<u32>> {
        let mut ids = vec![self.start];
        let text = cleaning::clean(text);
        for word in self.words.of(&text) {
            if word == START_OF_TEXT || word == END_OF_TEXT {
                ids.push(if word == START_OF_TEXT {
                    self.start
                } else {
                    self.end
                });
                continue;
            }
            let pieces = self.bpe.tokenize(&self.words.bytes(word));
            let pieces = pieces.map_err(failed("encode"))?;
            ids.extend(pieces.iter().map(|piece| piece.id));
        }
        ids.truncate(length.saturating_sub(1));
        ids.push(self.end);
        Ok(ids)
    }

    /// Tokenizes like [`encode`](Self::encode), and pads to `length` with id 0.
    ///
    /// # Errors
    /// See [`encode`](Self::encode).
    pub fn encode_padded(&self, text: &str, length: usize) -> Result<Vec<u32>> {
        let mut ids = self.encode(text, length)?;
        ids.resize(length, PADDING);
        Ok(ids)
    }

    /// Size of the vocabulary, one more than the greatest id.
    pub fn vocab_size(&self) -> usize {
        self.end as usize + 1
    }
}
