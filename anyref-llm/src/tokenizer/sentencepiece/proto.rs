//! Content of a `tokenizer.model` (`sentencepiece_model.proto` of
//! <https://github.com/google/sentencepiece>).

use anyref_weights::protobuf::{Fields, Malformed};

/// Parts of a SentencePiece model on which its tokens depend.
#[derive(Debug)]
pub(super) struct Model<'a> {
    /// Pieces; the index is the id.
    pub(super) pieces: Vec<Piece<'a>>,
    /// Selection of pieces.
    pub(super) algorithm: Algorithm,
    /// Splits characters without a piece into bytes.
    pub(super) byte_fallback: bool,
    /// Places the space of a word at its end.
    pub(super) space_as_suffix: bool,
    /// Name of the character map; without a map, characters are unchanged.
    pub(super) character_map: Option<&'a str>,
    /// Prepends a space to a text.
    pub(super) dummy_prefix: bool,
    /// Removes repeated spaces and those at the ends.
    pub(super) remove_extra_spaces: bool,
    /// Replaces spaces by `▁`.
    pub(super) escape_spaces: bool,
}

/// Piece of a vocabulary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// Purpose of a piece; the numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Part of words.
    Normal,
    /// Placeholder for unknown text.
    Unknown,
    /// Control token that is never text, such as `<s>`.
    Control,
    /// Piece that is never split.
    UserDefined,
    /// Piece that is not used.
    Unused,
    /// Single byte.
    Byte,
}

impl Kind {
    /// Looks up a kind by its number in the format.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

/// Selection of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// Likeliest pieces.
    Unigram,
    /// Merges in order of score.
    Bpe,
    /// Whole words.
    Word,
    /// Characters.
    Character,
}

impl<'a> Model<'a> {
    /// Parses a serialised `ModelProto`. Absent fields have the format's defaults, unknown ones are
    /// skipped.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut model = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            space_as_suffix: false,
            character_map: None,
            dummy_prefix: true,
            remove_extra_spaces: true,
            escape_spaces: true,
        };
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => model.pieces.push(Piece::read(value.bytes()?)?),
                (2, value) => model.read_trainer(value.bytes()?)?,
                (3, value) => model.read_normalizer(value.bytes()?)?,
                _ => {}
            }
        }
        match model.pieces.is_empty() {
            true => Err(Malformed("it has no pieces")),
            false => Ok(model),
        }
    }

    fn read_trainer(&mut self, message: &[u8]) -> Result<(), Malformed> {
        for field in Fields::new(message) {
            match field? {
                (3, value) => {
                    self.algorithm = match value.integer()? {
                        1 => Algorithm::Unigram,
                        2 => Algorithm::Bpe,
                        3 => Algorithm::Word,
                        4 => Algorithm::Character,
                        _ => return Err(Malformed("its model type is unknown")),
                    }
                }
                (24, value) => self.space_as_suffix = value.flag()?,
                (35, value) => self.byte_fallback = value.flag()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let (mut name, mut mapped) = ("unnamed", false);
        for field in Fields::new(message) {
            match field? {
                (1, value) => name = value.text()?,
                (2, value) => mapped = !value.bytes()?.is_empty(),
                (3, value) => self.dummy_prefix = value.flag()?,
                (4, value) => self.remove_extra_spaces = value.flag()?,
                (5, value) => self.escape_spaces = value.flag()?,
                _ => {}
            }
        }
        self.character_map = mapped.then_some(name);
        Ok(())
    }
}

impl<'a> Piece<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut piece = Self {
            text: "",
            score: 0.0,
            kind: Kind::Normal,
        };
        for field in Fields::new(message) {
            match field? {
                (1, value) => piece.text = value.text()?,
                (2, value) => piece.score = value.float()?,
                (3, value) => {
                    let kind = Kind::from_number(value.integer()?);
                    piece.kind = kind.ok_or(Malformed("a piece is of unknown type"))?;
                }
                _ => {}
            }
        }
        if piece.text.is_empty() {
            return Err(Malformed("a piece is empty"));
        }
        if !piece.score.is_finite() {
            return Err(Malformed("a score is not finite"));
        }
        Ok(piece)
    }
}
