//! Generation for a batch of rows, padded on either side.

use core::ops::ControlFlow;

use burn::tensor::{Bool, Int, Tensor, TensorData, backend::Backend, read_sync};

use crate::cache::KvCache;
use crate::error::Result;
use crate::model::{Llama, LlamaInput, Read};
use crate::padding::no_padding;
use crate::sampling::{GenerationConfig, Sampler};

/// Input of [`generate_async`] and of the other functions that continue a prompt.
#[derive(Debug, Clone)]
pub struct GenerationInput<B: Backend> {
    /// Prompt, `[batch, length, hidden]`.
    pub embeddings: Tensor<B, 3>,
    /// Padding mask `[batch, past + length]`, `true` = padding, on either side.
    pub padding: Option<Tensor<B, 2, Bool>>,
    /// Keys and values of the positions before the prompt.
    pub cache: Option<KvCache<B>>,
}

impl<B: Backend> GenerationInput<B> {
    /// Creates a prompt of `embeddings`, `[batch, length, hidden]`, without padding and without
    /// past.
    pub fn new(embeddings: Tensor<B, 3>) -> Self {
        Self {
            embeddings,
            padding: None,
            cache: None,
        }
    }

    /// Length of a prompt that must be one row without padding.
    ///
    /// # Panics
    /// When the prompt has no position, several rows, or padding.
    pub(crate) fn single_row(&self) -> usize {
        let [rows, length, _] = self.embeddings.dims();
        let read_before = self.cache.as_ref().and_then(KvCache::padding);
        assert!(
            rows == 1 && length > 0 && self.padding.is_none() && read_before.is_none(),
            "a prompt of one row without padding"
        );
        length
    }

    /// Sets [`padding`](Self::padding).
    pub fn with_padding(mut self, padding: Option<Tensor<B, 2, Bool>>) -> Self {
        self.padding = padding;
        self
    }

    /// Sets [`cache`](Self::cache).
    pub fn with_cache(mut self, cache: Option<KvCache<B>>) -> Self {
        self.cache = cache;
        self
    }
}

/// Reason for the end of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// Stop token was generated.
    Stop,
    /// `max_new_tokens` or the model's longest sequence was reached.
    Length,
    /// Callback cancelled generation.
    Cancelled,
}

/// Output of [`generate_async`]. The columns of `hidden` and `query` are the prompt's positions,
/// then one for each generated token that was fed back; the last token was not.
#[derive(Debug, Clone)]
pub struct GenerationOutput<B: Backend> {
    /// Generated tokens of each row, without the stop token.
    pub tokens: Vec<Vec<u32>>,
    /// Reason for the end of each row.
    pub finish: Vec<FinishReason>,
    /// Column of `hidden` whose state predicted the first token, for each row: the last position of
    /// the prompt that is not padding. The state that predicted token `k > 0` is in column `prompt
    /// length + k - 1`.
    pub first: Vec<usize>,
    /// Last hidden states after the final norm, `[batch, T, hidden]`.
    pub hidden: Tensor<B, 3>,
    /// Queries of the last layer, `[batch, heads, T, head_dim]`.
    pub query: Tensor<B, 4>,
    /// Keys of the last layer, `[batch, kv_heads, past + T, head_dim]`.
    pub key: Tensor<B, 4>,
    /// Length of the past: column `c` of `hidden` is column `offset + c` of `key`.
    pub offset: usize,
    /// Keys and values of all positions, from which generation can continue. Columns after the end
    /// of a row are its padding.
    pub cache: KvCache<B>,
}

/// Generates until each row meets a stop token, its maximum length, or a break of the callback.
/// `on_token` receives the index of a row and each of its tokens, without the stop token. A break
/// ends that row with [`FinishReason::Cancelled`] after the token it received; other rows continue.
///
/// The device is awaited once for each step and never blocks the thread, so the function also works
/// where a device cannot be read synchronously, as in a browser. Use a backend without autodiff
/// unless gradients through the states are wanted.
///
/// # Errors
/// When the device fails.
///
/// # Panics
/// When the prompt has no position; also see [`Llama::forward`].
pub async fn generate_async<B: Backend>(
    model: &Llama<B>,
    input: GenerationInput<B>,
    config: &GenerationConfig,
    mut on_token: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<GenerationOutput<B>> {
    let [batch, length, _] = input.embeddings.dims();
    let device = input.embeddings.device();
    let mut cache = input.cache.unwrap_or_else(|| model.new_cache());
    let offset = cache.len();
    let first = last_columns(input.padding.as_ref(), [batch, length], offset).await?;
    let prompt = LlamaInput::new(input.embeddings).with_padding(input.padding);
    let output = model.read(prompt, &mut cache);
    let mut hidden = vec![output.hidden.clone()];
    let mut query = vec![output.query];

    let mut samplers: Vec<_> = (0..batch).map(|row| Sampler::new(config, row)).collect();
    let mut tokens = vec![Vec::new(); batch];
    let mut finish = vec![None; batch];
    let limit = longest_answer(model, config, offset + length);
    let mut state = columns(output.hidden, &first);
    for step in 0..limit {
        let chosen = choose(model.logits(state), config, &mut samplers).await?;
        for (row, &token) in chosen.iter().enumerate() {
            if finish[row].is_some() {
                continue;
            }
            if config.stop_tokens.contains(&token) {
                finish[row] = Some(FinishReason::Stop);
                continue;
            }
            tokens[row].push(token);
            if on_token(row, token).is_break() {
                finish[row] = Some(FinishReason::Cancelled);
            }
        }
        if step + 1 == limit || finish.iter().all(Option::is_some) {
            break;
        }
        let padding = ended_padding(&finish, &cache, &device);
        let output = read_tokens(model, chosen, [batch, 1], padding, &mut cache, &device);
        hidden.push(output.hidden.clone());
        query.push(output.query);
        state = output.hidden;
    }
    Ok(GenerationOutput {
        tokens,
        finish: finish
            .into_iter()
            .map(|reason| reason.unwrap_or(FinishReason::Length))
            .collect(),
        first,
        hidden: Tensor::cat(hidden, 1),
        key: last_key(&cache, &query[0]),
        query: Tensor::cat(query, 2),
        offset,
        cache,
    })
}

/// Runs [`generate_async`] on the calling thread, which waits for the device.
///
/// # Errors
/// See [`generate_async`].
///
/// # Panics
/// See [`generate_async`]; also in a browser, on a backend that cannot be read synchronously.
pub fn generate<B: Backend>(
    model: &Llama<B>,
    input: GenerationInput<B>,
    config: &GenerationConfig,
    on_token: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<GenerationOutput<B>> {
    read_sync(generate_async(model, input, config, on_token))
}

/// Reads given continuations of a prompt of one row, one row each. The output equals that of
/// [`generate_async`] if it had generated them and stopped after each.
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

/// Keys of the last layer, in the type of its queries.
fn last_key<B: Backend>(cache: &KvCache<B>, query: &Tensor<B, 4>) -> Tensor<B, 4> {
    let key = cache.last_key().expect("a prompt was read");
    match key.dtype() == query.dtype() {
        true => key,
        false => key.cast(query.dtype()),
    }
}

/// Reads tokens, `[batch, length]` in row-major order, after the cached positions.
pub(crate) fn read_tokens<B: Backend>(
    model: &Llama<B>,
    tokens: Vec<u32>,
    shape: [usize; 2],
    padding: Option<Tensor<B, 2, Bool>>,
    cache: &mut KvCache<B>,
    device: &B::Device,
) -> Read<B> {
    let ids: Vec<i64> = tokens.into_iter().map(i64::from).collect();
    let ids = Tensor::<B, 2, Int>::from_data(TensorData::new(ids, shape), device);
    let next = LlamaInput::new(model.embed(ids)).with_padding(padding);
    model.read(next, cache)
}

/// Maximum number of tokens that can follow `length` positions; the last one is not fed back.
pub(crate) fn longest_answer<B: Backend>(
    model: &Llama<B>,
    config: &GenerationConfig,
    length: usize,
) -> usize {
    match model.max_positions() {
        Some(max) if length > max => 0,
        Some(max) => config.max_new_tokens.min(max - length + 1),
        None => config.max_new_tokens,
    }
}

/// Last column of each row that is not padding.
async fn last_columns<B: Backend>(
    padding: Option<&Tensor<B, 2, Bool>>,
    [batch, length]: [usize; 2],
    offset: usize,
) -> Result<Vec<usize>> {
    let Some(padding) = padding else {
        return Ok(vec![length - 1; batch]);
    };
    let padding = padding.to_data_async().await?;
    let padding: Vec<bool> = padding.iter::<bool>().collect();
    let last = |row: &[bool]| {
        row[offset..]
            .iter()
            .rposition(|&padded| !padded)
            .unwrap_or(length - 1)
    };
    Ok(padding.chunks(offset + length).map(last).collect())
}

/// Selects one column of each row, `[batch, 1, hidden]`.
fn columns<B: Backend>(hidden: Tensor<B, 3>, columns: &[usize]) -> Tensor<B, 3> {
    let [batch, length, width] = hidden.dims();
    if columns.iter().all(|&column| column == length - 1) {
        return hidden.narrow(1, length - 1, 1);
    }
    let indices = columns
        .iter()
        .enumerate()
        .map(|(row, column)| (row * length + column) as i64);
    let indices = TensorData::new(indices.collect::<Vec<_>>(), [batch]);
    let indices = Tensor::<B, 1, Int>::from_data(indices, &hidden.device());
    hidden
        .reshape([batch * length, width])
        .select(0, indices)
        .reshape([batch, 1, width])
}

/// Chooses the next token of each row. Greedy decoding reads one number for each row from the
/// device; only sampling reads the logits.
async fn choose<B: Backend>(
    logits: Tensor<B, 3>,
    config: &GenerationConfig,
    samplers: &mut [Sampler],
) -> Result<Vec<u32>> {
    let [batch, _, vocab] = logits.dims();
    let logits = logits.reshape([batch, vocab]);
    if config.is_greedy() {
        let tokens = logits.argmax(1).into_data_async().await?;
        return Ok(tokens.iter::<u32>().collect());
    }
    let logits = logits.into_data_async().await?;
    let logits: Vec<f32> = logits.iter::<f32>().collect();
    let rows = logits.chunks(vocab).zip(samplers);
    Ok(rows.map(|(row, sampler)| sampler.sample(row)).collect())
}

/// Padding of the next column, which only running rows fill, or `None` while all rows run.
fn ended_padding<B: Backend>(
    finish: &[Option<FinishReason>],
    cache: &KvCache<B>,
    device: &B::Device,
) -> Option<Tensor<B, 2, Bool>> {
    if finish.iter().all(Option::is_none) {
        return None;
    }
    let batch = finish.len();
    let ended: Vec<bool> = finish.iter().map(Option::is_some).collect();
    let ended = Tensor::<B, 2, Bool>::from_data(TensorData::new(ended, [batch, 1]), device);
    let past = cache
        .padding()
        .unwrap_or_else(|| no_padding(batch, cache.len(), device));
    Some(Tensor::cat(vec![past, ended], 1))
}
