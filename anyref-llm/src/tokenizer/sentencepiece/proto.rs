//! Content of a `tokenizer.model` (`sentencepiece_model.proto` of
//! <https://github.com/google/sentencepiece>).

use anyref_weights::protobuf::{Fields, Malformed};

/// A SentencePiece model, as far as its tokens depend on it.
#[derive(Debug)]
pub(super) struct Model<'a> {
    /// The pieces; the index is the id.
    pub(super) pieces: Vec<Piece<'a>>,
    /// How pieces are chosen.
    pub(super) algorithm: Algorithm,
    /// Whether characters without a piece become their bytes.
    pub(super) byte_fallback: bool,
    /// Whether the space of a word stands at its end.
    pub(super) space_as_suffix: bool,
    /// The character map's name; without a map, characters stay what they are.
    pub(super) character_map: Option<&'a str>,
    /// Whether a text begins with a space that is not there.
    pub(super) dummy_prefix: bool,
    /// Whether spaces at the ends and repeated ones are dropped.
    pub(super) remove_extra_spaces: bool,
    /// Whether a space becomes `▁`.
    pub(super) escape_spaces: bool,
}

/// A piece of a vocabulary.
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
    /// Stands for what is not known.
    Unknown,
    /// Never text, like `<s>`.
    Control,
    /// Always whole.
    UserDefined,
    /// In the vocabulary, but not used.
    Unused,
    /// One byte.
    Byte,
}

impl Kind {
    /// Kind of a number of the format.
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

/// How pieces are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// The likeliest pieces.
    Unigram,
    /// Merges, the best first.
    Bpe,
    /// Whole words.
    Word,
    /// Characters.
    Character,
}

impl<'a> Model<'a> {
    /// Reads a serialised `ModelProto`. Absent fields have the format's defaults, unknown ones are skipped.
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
