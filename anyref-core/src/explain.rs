//! Attention of every `<obj>` of an answer, and its mask with and without refocusing.

use anyref_decoder::refocus::{ObjectToken, object_attention};
use burn::tensor::backend::Backend;

use crate::generation::Generated;
use crate::layout::Slot;
use crate::picture::Picture;
use crate::read::read;
use crate::{AnyRef, Mask, Result};

/// Attention of an `<obj>` state in the last layer, averaged over heads. The shares of patches,
/// words and references sum to 1.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// Share of each patch of the picture, row by row; of a picture in tiles with the shares of the
    /// tiles' patches there.
    pub patches: Vec<f32>,
    /// Patches along one side of the picture.
    pub side: usize,
    /// Words of question and answer, in order, up to the `<obj>`.
    pub words: Vec<Word>,
    /// Share of each reference other than text, in the order of their positions in the question.
    pub references: Vec<f32>,
    /// Mask from the state alone.
    pub before: Mask,
    /// Mask from the refocused state, which is the answer's.
    pub after: Mask,
}

/// Token that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// Token as text; special tokens by their names.
    pub text: String,
    /// Share of the attention.
    pub attention: f32,
    /// Weight in the refocusing correction of the state that generated the word; for the words
    /// since the answer's start, or since the previous `<obj>`, these sum to 1.
    pub refocus: f32,
}

/// Explains every `<obj>` of a single generated answer, which has the masks `after`.
pub(crate) async fn explain<B: Backend>(
    anyref: &AnyRef<B>,
    picture: &Picture<B>,
    generated: &Generated<B>,
    after: &[Mask],
) -> Result<Vec<Explanation>> {
    let Some(answer) = generated.answers.first().filter(|a| !a.objects.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut before = anyref.masks(&[picture], generated, 0.0, |_| false).await?;
    let before = before.pop().transpose()?.unwrap_or_default();
    let query = anyref.object_queries(generated, &answer.objects);
    let attention = object_attention(query, generated.output.key.clone(), &answer.objects);
    let [_, keys] = attention.dims();
    let attention = read(attention).await?.convert::<f32>();
    let attention: Vec<f32> = attention.iter::<f32>().collect();

    let [_, tokens, _] = picture.features.tokens.dims();
    let cells = picture_cells(anyref, picture, tokens);
    let mut slots = anyref.opening(tokens)?.slots().to_vec();
    slots.extend_from_slice(answer.question.slots());
    slots.extend(answer.tokens.iter().copied().map(Slot::Token));
    let masks = before.into_iter().zip(after.iter().cloned());
    answer
        .objects
        .iter()
        .zip(attention.chunks_exact(keys))
        .zip(masks)
        .map(|((object, shares), (before, after))| {
            let mut explanation = Explanation {
                patches: vec![0.0; anyref.config.vision_tower.square_tokens()],
                side: anyref.config.vision_tower.grid_size(),
                words: Vec::new(),
                references: Vec::new(),
                before,
                after,
            };
            explanation.share_out(anyref, &slots, &cells, shares, object)?;
            Ok(explanation)
        })
        .collect()
}

/// Patch of the whole picture that each of its tokens shows: the tokens of tiles lie where the tile
/// does, those of the last square, which shows the whole, in their order.
fn picture_cells<B: Backend>(
    anyref: &AnyRef<B>,
    picture: &Picture<B>,
    tokens: usize,
) -> Vec<usize> {
    let tower = &anyref.config.vision_tower;
    let (side, square) = (tower.grid_size(), tower.square_tokens());
    let tiles = tower.tiled().filter(|_| tokens > square);
    let tiles = tiles.and_then(|tiles| tiles.preprocessor().ok());
    let Some(tiles) = tiles else {
        return (0..tokens).collect();
    };
    let (width, height) = picture.size();
    let [columns, rows] = tiles.grid(width, height);
    let cell = |token: usize| {
        let (tile, place) = (token / square, token % square);
        if tile == columns * rows {
            return place;
        }
        let row = ((tile / columns) * side + place / side) / rows;
        let column = ((tile % columns) * side + place % side) / columns;
        (row * side + column).min(square - 1)
    };
    (0..tokens).map(cell).collect()
}

impl Explanation {
    /// Share of the attention to the picture.
    pub fn picture(&self) -> f32 {
        self.patches.iter().sum()
    }

    fn share_out<B: Backend>(
        &mut self,
        anyref: &AnyRef<B>,
        slots: &[Slot],
        cells: &[usize],
        shares: &[f32],
        object: &ObjectToken,
    ) -> Result<()> {
        let span = object.span();
        let total: f32 = shares[span.clone()].iter().sum();
        // References follow the order of the question, each contiguous.
        let mut last = None;
        for (position, (slot, &share)) in slots.iter().zip(shares).enumerate() {
            match *slot {
                Slot::Image(patch) => self.patches[cells[patch]] += share,
                Slot::Reference { index, .. } => {
                    if last != Some(index) {
                        self.references.push(0.0);
                        last = Some(index);
                    }
                    if let Some(reference) = self.references.last_mut() {
                        *reference += share;
                    }
                }
                Slot::Token(id) if position <= object.position => self.words.push(Word {
                    text: anyref.tokenizer.decode_with_special(&[id])?,
                    attention: share,
                    // A token was generated by the state before it.
                    refocus: match position.checked_sub(1) {
                        Some(writer) if span.contains(&writer) && total > 0.0 => {
                            shares[writer] / total
                        }
                        _ => 0.0,
                    },
                }),
                Slot::Token(_) => {}
            }
        }
        Ok(())
    }
}
