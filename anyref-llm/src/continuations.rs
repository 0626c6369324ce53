//! Given continuations of a prompt, read as if they had been generated.

use burn::tensor::{Bool, Tensor, TensorData, backend::Backend};

use crate::generate::{FinishReason, GenerationInput, GenerationOutput, last_key, read_tokens};
use crate::model::{Llama, LlamaInput};

/// Reads given continuations of a prompt of one row, one row each. The output equals that of
/// [`generate_async`](crate::generate_async) if it had generated them and stopped after each.
///
/// # Panics
/// When the prompt has no position, several rows, or padding, also in its cache, or when there is
/// no continuation; also see [`Llama::forward`].
pub fn read_continuations<B: Backend>(
    model: &Llama<B>,
    input: GenerationInput<B>,
    continuations: &[Vec<u32>],
) -> GenerationOutput<B> {
    let length = input.single_row();
    assert!(!continuations.is_empty(), "a continuation to be read");
    let (count, device) = (continuations.len(), input.embeddings.device());
    let mut cache = input.cache.unwrap_or_else(|| model.new_cache());
    let offset = cache.len();
    let prompt = model.read(LlamaInput::new(input.embeddings), &mut cache);
    let mut cache = cache.repeat(count);
    let [_, heads, _, head_dim] = prompt.query.dims();
    let width = prompt.hidden.dims()[2];
    let mut hidden = prompt.hidden.expand([count, length, width]);
    let mut query = prompt.query.expand([count, heads, length, head_dim]);
    // The last token of each is not fed back.
    let read = |tokens: &Vec<u32>| tokens.len().saturating_sub(1);
    let longest = continuations.iter().map(read).max().unwrap_or(0);
    if longest > 0 {
        let begun = offset + length;
        let (mut ids, mut padding) = (Vec::new(), Vec::new());
        for tokens in continuations {
            let own = read(tokens);
            ids.extend_from_slice(&tokens[..own]);
            ids.resize(ids.len() + longest - own, 0);
            padding.extend((0..begun + longest).map(|column| column >= begun + own));
        }
        let padded = padding.contains(&true);
        let padding = padded.then(|| {
            let padding = TensorData::new(padding, [count, begun + longest]);
            Tensor::<B, 2, Bool>::from_data(padding, &device)
        });
        let output = read_tokens(model, ids, [count, longest], padding, &mut cache, &device);
        hidden = Tensor::cat(vec![hidden, output.hidden], 1);
        query = Tensor::cat(vec![query, output.query], 2);
    }
    GenerationOutput {
        tokens: continuations.to_vec(),
        finish: vec![FinishReason::Stop; count],
        first: vec![length - 1; count],
        hidden,
        key: last_key(&cache, &query),
        query,
        offset,
        cache,
    }
}
