//! Byte-level merges, introduced by GPT-2 and used by Qwen 2.

use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{ModelWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer as Inner};

/// Word pattern of Llama 3, from its `tokenizer.json`.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Word pattern of Qwen 2, from its `tokenizer.json`.
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Splitting of a text into words before merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Splitter {
    Gpt2,
    /// Splits off each digit, then splits like GPT-2.
    Digits,
    Llama3,
    Qwen2,
}

impl Splitter {
    /// Splitting of a transformers tokenizer, by its class (`tokenizer_class`).
    pub(super) fn of_class(class: &str) -> Option<Self> {
        match class.strip_suffix("Fast").unwrap_or(class) {
            "Qwen2Tokenizer" => Some(Self::Qwen2),
            "GPT2Tokenizer" => Some(Self::Gpt2),
            _ => None,
        }
    }
}

/// Creates a tokenizer of these merges, without begin or end tokens.
pub(super) fn tokenizer(
    vocabulary: Vocab,
    merges: Merges,
    splitter: Splitter,
) -> Result<Inner, String> {
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .ignore_merges(splitter == Splitter::Llama3)
        .build()
        .map_err(|error| error.to_string())?;
    let mut inner = Inner::new(ModelWrapper::from(model));
    let splitters = splitters(splitter).map_err(|error| error.to_string())?;
    inner.with_pre_tokenizer(Some(Sequence::new(splitters)));
    inner.with_decoder(Some(ByteLevel::new(false, true, true)));
    Ok(inner)
}

/// Adds composition of characters (NFC), which transformers applies for Qwen 2 and llama.cpp does
/// not.
pub(super) fn compose_characters(inner: &mut Inner) {
    inner.with_normalizer(Some(NFC));
}

fn splitters(splitter: Splitter) -> tokenizers::Result<Vec<PreTokenizerWrapper>> {
    let words = |pattern: &str| {
        let pattern = SplitPattern::Regex(pattern.into());
        Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
    };
    let (plain, gpt2) = (
        ByteLevel::new(false, true, false),
        ByteLevel::new(false, true, true),
    );
    Ok(match splitter {
        Splitter::Gpt2 => vec![gpt2.into()],
        Splitter::Digits => vec![Digits::new(true).into(), gpt2.into()],
        Splitter::Llama3 => vec![words(LLAMA_3)?.into(), plain.into()],
        Splitter::Qwen2 => vec![words(QWEN_2)?.into(), plain.into()],
    })
}
