//! Training of a small tokenizer of LLaMA's kind.

use std::collections::HashSet;

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as DecoderSequence;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::replace::Replace;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{
    AddedToken, DecoderWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    SplitDelimiterBehavior, Tokenizer as Inner, Trainer,
};

use crate::error::{Error, Result};
use crate::tokenizer::{Tokenizer, failed};

const SPACE: char = '▁';
const UNKNOWN: &str = "<unk>";
const CONTROL: [&str; 3] = [UNKNOWN, "<s>", "</s>"];
/// Minimum vocabulary: control tokens, bytes, printable ASCII and the space.
const SMALLEST: usize = CONTROL.len() + 256 + 95;

/// Trains a byte-pair encoding on texts, in LLaMA's layout: `<unk>`, `<s>`, `</s>`, the 256 bytes
/// for characters outside the vocabulary, then characters and merges. Spaces are `▁`; words,
/// punctuation and digits are never merged with one another. The vocabulary is smaller than
/// requested if the texts have no more merges.
///
/// # Errors
/// When `vocab_size` is below 354, which control tokens, bytes, printable ASCII and the space take,
/// or when the training library fails.
pub fn train_tokenizer<T>(
    texts: impl IntoIterator<Item = T, IntoIter: Send>,
    vocab_size: usize,
) -> Result<Tokenizer>
where
    T: AsRef<str> + Send,
{
    if vocab_size < SMALLEST {
        let message = format!("vocabulary of {vocab_size} is too small, give at least {SMALLEST}");
        return Err(Error::tokenizer("training", message));
    }
    let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
    let reserved = CONTROL.into_iter().chain(bytes.iter().map(String::as_str));
    // The alphabet is limited, since byte fallback covers rare characters.
    let alphabet: HashSet<char> = (' '..='~').filter(|&c| c != ' ').chain([SPACE]).collect();
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .min_frequency(2)
        .vocab_size(vocab_size)
        .limit_alphabet(
            vocab_size
                .saturating_sub(CONTROL.len() + 256)
                .div_ceil(2)
                .max(95),
        )
        .initial_alphabet(alphabet)
        .special_tokens(
            reserved
                .map(|token| AddedToken::from(token, true))
                .collect(),
        )
        .build();
    let mut model = BPE::builder()
        .unk_token(UNKNOWN.into())
        .fuse_unk(true)
        .byte_fallback(true)
        .build()
        .map_err(failed("training"))?;
    let splitter = pre_tokenizer();
    trainer
        .feed(texts.into_iter(), |text| split(&splitter, text))
        .map_err(failed("training"))?;
    trainer.train(&mut model).map_err(failed("training"))?;

    // Only the control tokens are recognised in a text; a literal `<0x0A>` is six characters.
    let mut inner = Inner::new(model);
    inner.with_pre_tokenizer(Some(splitter));
    inner.with_decoder(Some(decoder()?));
    inner.add_special_tokens(&CONTROL.map(|token| AddedToken::from(token, true)));
    Ok(Tokenizer::new(inner))
}

fn pre_tokenizer() -> Sequence {
    Sequence::new(vec![
        // The scheme is `First`, because text after an added token does not begin a word.
        PreTokenizerWrapper::from(Metaspace::new(SPACE, PrependScheme::First, true)),
        PreTokenizerWrapper::from(Punctuation::new(SplitDelimiterBehavior::Isolated)),
        PreTokenizerWrapper::from(Digits::new(true)),
    ])
}

fn decoder() -> Result<DecoderSequence> {
    let space = Replace::new(SPACE.to_string(), " ").map_err(failed("training"))?;
    Ok(DecoderSequence::new(vec![
        DecoderWrapper::from(space),
        DecoderWrapper::from(ByteFallback::new()),
        DecoderWrapper::from(Fuse::new()),
        DecoderWrapper::from(Strip::new(' ', 1, 0)),
    ]))
}

fn split(splitter: &Sequence, text: &str) -> tokenizers::Result<Vec<String>> {
    let mut pieces = PreTokenizedString::from(text);
    splitter.pre_tokenize(&mut pieces)?;
    let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::None);
    Ok(splits
        .into_iter()
        .map(|(piece, ..)| piece.to_owned())
        .collect())
}
