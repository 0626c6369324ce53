//! Conversion of a SentencePiece model to a tokenizer with equal ids.

use std::cmp::Reverse;
use std::collections::HashMap;

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as DecoderSequence;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::prepend::Prepend;
use tokenizers::normalizers::replace::{Replace, ReplacePattern};
use tokenizers::normalizers::utils::Sequence;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence as SplitSequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper,
    SplitDelimiterBehavior, Tokenizer as Inner,
};

use super::SentencePieceConfig;
use super::proto::{Algorithm, Kind, Model, Piece};
use super::spare::is_spare;

const SPACE: char = '▁';
/// Maximum bytes of a piece that takes part in merges; SentencePiece's trainer stops at 16
/// characters.
const LONGEST: usize = 512;

/// Builds the tokenizer; the error names fault and remedy.
pub(super) fn tokenizer(model: &Model<'_>, config: SentencePieceConfig) -> Result<Inner, String> {
    let unknown = check(model)?;
    let mut inner = Inner::new(match model.algorithm {
        Algorithm::Bpe => ModelWrapper::from(bpe(model, unknown)?),
        _ => ModelWrapper::from(unigram(model, unknown)?),
    });
    let normalizers = normalizers(model, config).map_err(internal)?;
    if !normalizers.is_empty() {
        inner.with_normalizer(Some(Sequence::new(normalizers)));
    }
    let splitters = splitters(model, config).map_err(internal)?;
    if !splitters.is_empty() {
        inner.with_pre_tokenizer(Some(SplitSequence::new(splitters)));
    }
    inner.with_decoder(Some(decoder(model).map_err(internal)?));
    let tokens = |special: bool| -> Vec<AddedToken> {
        let kinds = match special {
            true => [Kind::Unknown, Kind::Control],
            false => [Kind::UserDefined; 2],
        };
        let found = model.pieces.iter().filter(|p| kinds.contains(&p.kind));
        found
            .map(|piece| AddedToken::from(piece.text, special).normalized(false))
            .collect()
    };
    inner.add_special_tokens(&tokens(true));
    inner.add_tokens(&tokens(false));
    Ok(inner)
}

/// Rejects features that would give other ids than SentencePiece. Returns the id of the unknown
/// piece.
fn check(model: &Model<'_>) -> Result<usize, String> {
    let unsupported = |what: &str| Err(format!("{what}; convert it to a tokenizer.json"));
    if let Some(name) = model.character_map {
        return unsupported(&format!("the character map `{name}` is not supported"));
    }
    if !matches!(model.algorithm, Algorithm::Bpe | Algorithm::Unigram) {
        return unsupported("models of whole words or characters are not supported");
    }
    if model.space_as_suffix || !model.escape_spaces {
        return unsupported("spaces other than `▁` before a word are not supported");
    }
    let mut ids = HashMap::with_capacity(model.pieces.len());
    let (mut unknown, mut bytes) = (None, 0);
    for (id, piece) in model.pieces.iter().enumerate() {
        let text = piece.text;
        if let Some(first) = ids.insert(text, id) {
            return Err(format!(
                "not a SentencePiece model: pieces {first} and {id} are both {text:?}; download it again"
            ));
        }
        match piece.kind {
            // Only a text that spells it out would lead to it.
            Kind::Unused if !is_spare(text) => {
                return unsupported(&format!("the unused piece {text:?} is not supported"));
            }
            Kind::UserDefined if text.contains(SPACE) => {
                return unsupported(&format!(
                    "the piece {text:?} with a space of its own is not supported"
                ));
            }
            Kind::Normal if text.len() > LONGEST => {
                return unsupported(&format!("piece {id} is longer than {LONGEST} bytes"));
            }
            Kind::Unknown if unknown.replace(id).is_some() => {
                return Err(
                    "not a SentencePiece model: two unknown pieces; download it again".into(),
                );
            }
            Kind::Byte => bytes += 1,
            _ => {}
        }
    }
    if model.byte_fallback && bytes != 256 {
        return Err(format!(
            "not a SentencePiece model: {bytes} byte pieces, not 256; download it again"
        ));
    }
    unknown.ok_or_else(|| "not a SentencePiece model: no unknown piece; download it again".into())
}

fn bpe(model: &Model<'_>, unknown: usize) -> Result<BPE, String> {
    let id = |(id, piece): (usize, &Piece<'_>)| (piece.text.to_owned(), id as u32);
    let vocab: Vocab = model.pieces.iter().enumerate().map(id).collect();
    BPE::builder()
        .vocab_and_merges(vocab, merges(&model.pieces))
        .unk_token(model.pieces[unknown].text.to_owned())
        .fuse_unk(true)
        .byte_fallback(model.byte_fallback)
        .build()
        .map_err(internal)
}

/// Merges that lead to each piece, in order of descending score. SentencePiece merges any two
/// neighbours that form the piece with the best score; a table of merges must list all ways to form
/// each piece.
fn merges(pieces: &[Piece<'_>]) -> Merges {
    let normal = |piece: &Piece<'_>| piece.kind == Kind::Normal;
    let ids: HashMap<&str, usize> = pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| normal(piece))
        .map(|(id, piece)| (piece.text, id))
        .collect();
    let mut all = Vec::new();
    for piece in pieces.iter().filter(|piece| normal(piece)) {
        let halves = piece
            .text
            .char_indices()
            .skip(1)
            .map(|(at, _)| piece.text.split_at(at));
        let mut ways: Vec<_> = halves
            .filter_map(|(left, right)| Some((*ids.get(left)?, *ids.get(right)?, left, right)))
            .collect();
        ways.sort_unstable();
        all.extend(
            ways.into_iter()
                .map(|(.., left, right)| (piece.score, left, right)),
        );
    }
    let lengths = |left: &str, right: &str| (left.chars().count(), right.chars().count());
    // Ties are ordered as in transformers' converter.
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    for equals in all.chunk_by_mut(|a, b| a.0 == b.0) {
        equals.sort_by_cached_key(|(_, left, right)| Reverse(lengths(left, right)));
    }
    all.into_iter()
        .map(|(_, left, right)| (left.to_owned(), right.to_owned()))
        .collect()
}

fn unigram(model: &Model<'_>, unknown: usize) -> Result<Unigram, String> {
    let scored = |piece: &Piece<'_>| (piece.text.to_owned(), f64::from(piece.score));
    let vocab = model.pieces.iter().map(scored).collect();
    Unigram::from(vocab, Some(unknown), model.byte_fallback).map_err(internal)
}

/// Splitters of a text. A unigram model would otherwise match the byte piece `<0x0A>` where the
/// text spells it out.
fn splitters(
    model: &Model<'_>,
    config: SentencePieceConfig,
) -> tokenizers::Result<Vec<PreTokenizerWrapper>> {
    let mut splitters = Vec::new();
    if !config.legacy {
        let scheme = match model.dummy_prefix {
            true => PrependScheme::First,
            false => PrependScheme::Never,
        };
        splitters.push(Metaspace::new(SPACE, scheme, false).into());
    }
    if model.algorithm == Algorithm::Unigram && model.byte_fallback {
        let spelled = SplitPattern::Regex("<0x(?=[0-9A-F]{2}>)".into());
        let behavior = SplitDelimiterBehavior::MergedWithPrevious;
        splitters.push(Split::new(spelled, behavior, false)?.into());
    }
    Ok(splitters)
}

fn normalizers(
    model: &Model<'_>,
    config: SentencePieceConfig,
) -> tokenizers::Result<Vec<NormalizerWrapper>> {
    let mut normalizers = Vec::new();
    if model.remove_extra_spaces {
        // At the end, SentencePiece also treats a literal `▁` as a space.
        for (pattern, content) in [(r"\A +", ""), (r"[ ▁]+\z", ""), (" {2,}", " ")] {
            let pattern = ReplacePattern::Regex(pattern.into());
            normalizers.push(Replace::new(pattern, content)?.into());
        }
    }
    if config.legacy {
        if model.dummy_prefix {
            normalizers.push(Prepend::new(SPACE.into()).into());
        }
        normalizers.push(Replace::new(" ", SPACE)?.into());
    }
    Ok(normalizers)
}

fn decoder(model: &Model<'_>) -> tokenizers::Result<DecoderSequence> {
    let mut decoders = vec![
        DecoderWrapper::from(Replace::new(SPACE.to_string(), " ")?),
        DecoderWrapper::from(ByteFallback::new()),
        DecoderWrapper::from(Fuse::new()),
    ];
    if model.dummy_prefix {
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    Ok(DecoderSequence::new(decoders))
}

/// Creates the error for a part that the library rejects although it was checked above.
fn internal(error: tokenizers::Error) -> String {
    format!("{error}; convert it to a tokenizer.json")
}
