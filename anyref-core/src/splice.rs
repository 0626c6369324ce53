//! Unified referring representation: text, picture and reference features in one sequence.

use anyref_llm::Llama;
use burn::tensor::{Bool, Int, Tensor, TensorData, backend::Backend};

use crate::layout::{Layout, Slot};

/// Features of references of every kind, in the language model's width.
#[derive(Debug, Clone)]
pub struct ReferenceBank<B: Backend> {
    parts: Vec<Tensor<B, 2>>,
    starts: Vec<usize>,
    lengths: Vec<usize>,
    rows: usize,
}

impl<B: Backend> Default for ReferenceBank<B> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            starts: Vec::new(),
            lengths: Vec::new(),
            rows: 0,
        }
    }
}

impl<B: Backend> ReferenceBank<B> {
    /// Adds references of the same kind and returns the index of the first.
    ///
    /// # Shapes
    /// - features: `[references, features of each, hidden]`
    pub fn push(&mut self, features: Tensor<B, 3>) -> usize {
        let [count, length, hidden] = features.dims();
        let first = self.starts.len();
        for index in 0..count {
            self.starts.push(self.rows + index * length);
            self.lengths.push(length);
        }
        self.rows += count * length;
        self.parts.push(features.reshape([count * length, hidden]));
        first
    }

    /// Number of references.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Returns whether there are no references.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Number of features of a reference.
    ///
    /// # Panics
    /// When the reference does not exist.
    pub fn length(&self, index: usize) -> usize {
        self.lengths[index]
    }
}

/// Batch of spliced sequences, padded to the longest.
#[derive(Debug, Clone)]
pub struct Spliced<B: Backend> {
    /// Embeddings of the sequences, `[rows, longest, hidden]`.
    pub embeddings: Tensor<B, 3>,
    /// Padding mask `[rows, past + longest]`, `true` = padding; `None` when no row is padded.
    pub padding: Option<Tensor<B, 2, Bool>>,
    /// Length of each row, without padding and past.
    pub lengths: Vec<usize>,
}

/// Builds the language model's input for `rows` that follow `past` cached positions.
///
/// Uses a single gather from a table of all token embeddings, picture and reference features, so
/// gradients reach each of them.
///
/// # Shapes
/// - image: `[rows, image tokens, hidden]`, each row's picture; layouts with image slots need it,
///   with a token for each slot
/// - output: `[rows, longest, hidden]`, shorter rows padded at the end, see [`Spliced`]
///
/// # Panics
/// When a layout names a reference that the bank lacks, or `image` has another number of rows or
/// another width. Image slots without `image` are not detected: they read other features, or beyond
/// the last, where the CPU's backend panics.
pub fn splice<B: Backend>(
    llm: &Llama<B>,
    rows: &[Layout],
    image: Option<Tensor<B, 3>>,
    bank: &ReferenceBank<B>,
    past: usize,
    device: &B::Device,
) -> Spliced<B> {
    splice_on(Side::Right, llm, rows, image, bank, past, device)
}

/// Builds the input like [`splice`], without pictures and with left padding, so that all rows end
/// together, as generation requires.
///
/// # Shapes
/// - output: `[rows, longest, hidden]`, shorter rows padded in front, see [`Spliced`]
///
/// # Panics
/// See [`splice`]; the layouts must have no image slots.
pub fn splice_left<B: Backend>(
    llm: &Llama<B>,
    rows: &[Layout],
    bank: &ReferenceBank<B>,
    past: usize,
    device: &B::Device,
) -> Spliced<B> {
    splice_on(Side::Left, llm, rows, None, bank, past, device)
}

/// Side on which shorter rows are padded.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

fn splice_on<B: Backend>(
    side: Side,
    llm: &Llama<B>,
    rows: &[Layout],
    image: Option<Tensor<B, 3>>,
    bank: &ReferenceBank<B>,
    past: usize,
    device: &B::Device,
) -> Spliced<B> {
    let longest = rows.iter().map(Layout::len).max().unwrap_or(0);
    let image_tokens = image.as_ref().map_or(0, |image| image.dims()[1]);
    let ids: Vec<i32> = rows
        .iter()
        .flat_map(Layout::slots)
        .filter_map(|slot| match slot {
            Slot::Token(id) => Some(*id as i32),
            _ => None,
        })
        .collect();
    let tokens = ids.len();
    let image_rows = rows.len() * image_tokens;

    let mut indices = Vec::with_capacity(rows.len() * longest);
    let mut next_token = 0;
    for (row, layout) in rows.iter().enumerate() {
        if side == Side::Left {
            indices.resize((row + 1) * longest - layout.len(), 0);
        }
        for slot in layout.slots() {
            indices.push(match *slot {
                Slot::Token(_) => {
                    next_token += 1;
                    next_token - 1
                }
                Slot::Image(patch) => tokens + row * image_tokens + patch,
                Slot::Reference { index, part } => tokens + image_rows + bank.starts[index] + part,
            } as i32);
        }
        indices.resize((row + 1) * longest, 0);
    }

    let embedded = llm
        .embed(Tensor::<B, 1, Int>::from_data(TensorData::new(ids, [tokens]), device).unsqueeze());
    let hidden = embedded.dims()[2];
    let mut table = vec![embedded.reshape([tokens, hidden])];
    if let Some(image) = image {
        table.push(image.reshape([image_rows, hidden]));
    }
    table.extend(bank.parts.iter().cloned());
    let table = if table.len() == 1 {
        table.remove(0)
    } else {
        Tensor::cat(table, 0)
    };
    let indices =
        Tensor::<B, 1, Int>::from_data(TensorData::new(indices, [rows.len() * longest]), device);
    let embeddings = table
        .select(0, indices)
        .reshape([rows.len(), longest, hidden]);

    let lengths: Vec<usize> = rows.iter().map(Layout::len).collect();
    let padding = lengths.iter().any(|&length| length < longest).then(|| {
        let mut padding = Vec::with_capacity(rows.len() * (past + longest));
        for &length in &lengths {
            let padded = match side {
                Side::Left => past..past + longest - length,
                Side::Right => past + length..past + longest,
            };
            padding.extend((0..past + longest).map(|position| padded.contains(&position)));
        }
        Tensor::from_data(
            TensorData::new(padding, [rows.len(), past + longest]),
            device,
        )
    });
    Spliced {
        embeddings,
        padding,
        lengths,
    }
}
