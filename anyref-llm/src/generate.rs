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
    let mut generation = Generation::start(model, input, config).await?;
    while let Some(chosen) = generation.step().await? {
        for (row, token) in chosen {
            if on_token(row, token).is_break() {
                generation.end(row);
            }
        }
    }
    Ok(generation.output())
}

/// Generation token by token, for callers that need the states in between; the others call
/// [`generate_async`].
#[derive(Debug)]
pub struct Generation<'a, B: Backend> {
    model: &'a Llama<B>,
    config: &'a GenerationConfig,
    cache: KvCache<B>,
    offset: usize,
    first: Vec<usize>,
    hidden: Vec<Tensor<B, 3>>,
    query: Vec<Tensor<B, 4>>,
    samplers: Vec<Sampler>,
    tokens: Vec<Vec<u32>>,
    finish: Vec<Option<FinishReason>>,
    /// State that predicts each row's next token, `[batch, 1, hidden]`.
    state: Tensor<B, 3>,
    /// Tokens that were chosen last, until they are read.
    chosen: Option<Vec<u32>>,
    /// Number of tokens that each row may still have.
    left: usize,
}

impl<'a, B: Backend> Generation<'a, B> {
    /// Reads a prompt.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the prompt has no position; also see [`Llama::forward`].
    pub async fn start(
        model: &'a Llama<B>,
        input: GenerationInput<B>,
        config: &'a GenerationConfig,
    ) -> Result<Self> {
        let [batch, length, _] = input.embeddings.dims();
        let mut cache = input.cache.unwrap_or_else(|| model.new_cache());
        let offset = cache.len();
        let first = last_columns(input.padding.as_ref(), [batch, length], offset).await?;
        let prompt = LlamaInput::new(input.embeddings).with_padding(input.padding);
        let output = model.read(prompt, &mut cache);
        Ok(Self {
            model,
            config,
            cache,
            offset,
            hidden: vec![output.hidden.clone()],
            query: vec![output.query],
            samplers: (0..batch).map(|row| Sampler::new(config, row)).collect(),
            tokens: vec![Vec::new(); batch],
            finish: vec![None; batch],
            state: columns(output.hidden, &first),
            first,
            chosen: None,
            left: longest_answer(model, config, offset + length),
        })
    }

    /// Reads the tokens chosen before, and chooses the next one of each running row. Returns the
    /// index and the token of each row that did not meet a stop token; `None` once no row runs.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn step(&mut self) -> Result<Option<Vec<(usize, u32)>>> {
        if self.left == 0 || self.finish.iter().all(Option::is_some) {
            return Ok(None);
        }
        if let Some(chosen) = self.chosen.take() {
            let (device, shape) = (self.state.device(), [chosen.len(), 1]);
            let padding = ended_padding(&self.finish, &self.cache, &device);
            let cache = &mut self.cache;
            let output = read_tokens(self.model, chosen, shape, padding, cache, &device);
            self.hidden.push(output.hidden.clone());
            self.query.push(output.query);
            self.state = output.hidden;
        }
        let logits = self.model.logits(self.state.clone());
        let chosen = choose(logits, self.config, &mut self.samplers).await?;
        self.left -= 1;
        let mut new = Vec::with_capacity(chosen.len());
        for (row, &token) in chosen.iter().enumerate() {
            if self.finish[row].is_some() {
                continue;
            }
            if self.config.stop_tokens.contains(&token) {
                self.finish[row] = Some(FinishReason::Stop);
                continue;
            }
            self.tokens[row].push(token);
            new.push((row, token));
        }
        self.chosen = Some(chosen);
        Ok(Some(new))
    }

    /// Ends a row with [`FinishReason::Cancelled`].
    pub fn end(&mut self, row: usize) {
        self.finish[row] = Some(FinishReason::Cancelled);
    }

    /// Tokens of each row so far, without the stop token.
    pub fn tokens(&self) -> &[Vec<u32>] {
        &self.tokens
    }

    /// Number of tokens of a row that were read, so that [`output`](Self::output) has the states
    /// which they have as inputs.
    pub fn read(&self, row: usize) -> usize {
        let length = self.tokens[row].len();
        match self.finish[row] {
            Some(FinishReason::Stop) => length,
            Some(FinishReason::Length | FinishReason::Cancelled) => length.saturating_sub(1),
            None => length.min(self.hidden.len() - 1),
        }
    }

    /// All that was generated so far. Rows that still run have [`FinishReason::Length`].
    pub fn output(&self) -> GenerationOutput<B> {
        let finish = self.finish.iter();
        GenerationOutput {
            tokens: self.tokens.clone(),
            finish: finish
                .map(|reason| reason.unwrap_or(FinishReason::Length))
                .collect(),
            first: self.first.clone(),
            hidden: Tensor::cat(self.hidden.clone(), 1),
            key: last_key(&self.cache, &self.query[0]),
            query: Tensor::cat(self.query.clone(), 2),
            offset: self.offset,
            cache: self.cache.clone(),
        }
    }
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

/// Keys of the last layer, in the type of its queries.
pub(crate) fn last_key<B: Backend>(cache: &KvCache<B>, query: &Tensor<B, 4>) -> Tensor<B, 4> {
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
