//! Sequences with a common prefix, which is read once.

use core::ops::Range;

use anyref_llm::{KvCache, Llama, LlamaInput, LlamaOutput};
use burn::module::Module;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Bool, Tensor};

use crate::gradient_checkpointing::{Boundary, Checkpointed, Layers, States};

/// Prefixes, one a picture, and the rows that follow them, one a question.
#[derive(Debug)]
pub(super) struct SharedPrefix<B: Backend> {
    /// Reader with the language model.
    pub(super) reader: PrefixReader<B>,
    /// Embeddings of the prefixes, `[pictures, prefix, hidden]`.
    pub(super) prefix: Tensor<B, 3>,
    /// Embeddings of the rows, `[rows, length, hidden]`.
    pub(super) rows: Tensor<B, 3>,
    /// Tensors computed before the language model and used after it, beside its output.
    pub(super) skip: Vec<Tensor<B, 3>>,
}

/// Output of the language model, and the tensors that skip it.
#[derive(Debug)]
pub(super) struct PrefixOutput<B: Backend> {
    /// Output for the rows.
    pub(super) output: LlamaOutput<B>,
    /// Tensors of [`SharedPrefix::skip`].
    pub(super) skip: Vec<Tensor<B, 3>>,
}

/// Language model that reads prefixes and the rows of each.
#[derive(Debug, Clone)]
pub(super) struct PrefixReader<B: Backend> {
    /// The language model.
    pub(super) llm: Llama<B>,
    /// Mask of padding of the prefixes, `[pictures, prefix]`, `true` for padding; `None` without
    /// padding.
    pub(super) prefix_padding: Option<Tensor<B, 2, Bool>>,
    /// Mask of padding, `[rows, prefix + length]`; `None` where rows have none of their own.
    pub(super) padding: Option<Tensor<B, 2, Bool>>,
    /// Index of the picture of each row.
    pub(super) prefix_of: Vec<usize>,
}

impl<B: Backend> PrefixReader<B> {
    /// Runs a range of layers; returns the output for the prefixes, and for the rows.
    fn read_layers(
        &self,
        layers: Range<usize>,
        prefix: Tensor<B, 3>,
        rows: Tensor<B, 3>,
    ) -> (Tensor<B, 3>, LlamaOutput<B>) {
        let mut cache = KvCache::new(layers.len());
        let llm = &self.llm;
        let prefix = LlamaInput::new(prefix).with_padding(self.prefix_padding.clone());
        let read = llm.forward_layers(layers.clone(), prefix, Some(&mut cache));
        let mut cache = self.repeated(&cache);
        let input = LlamaInput::new(rows).with_padding(self.padding.clone());
        let output = llm.forward_layers(layers, input, Some(&mut cache));
        (read.hidden, output)
    }

    /// Runs the layers from `first` on, and the final norm.
    fn read_from(&self, first: usize, [prefix, rows]: [Tensor<B, 3>; 2]) -> LlamaOutput<B> {
        let layers = first..self.llm.model.layers.len();
        let (_, mut output) = self.read_layers(layers, prefix, rows);
        output.hidden = self.llm.model.norm.forward(output.hidden);
        output
    }

    /// Cache of each picture, repeated for each of its rows.
    fn repeated(&self, cache: &KvCache<B>) -> KvCache<B> {
        let each = self.prefix_of.len() / cache.batch();
        let even = |(row, &picture): (usize, &usize)| picture == row / each;
        match each > 0 && self.prefix_of.iter().enumerate().all(even) {
            true => cache.repeat(each),
            false => cache.select(&self.prefix_of),
        }
    }
}

impl<B: Backend> SharedPrefix<B> {
    /// Runs all layers.
    pub(super) fn read(self) -> PrefixOutput<B> {
        PrefixOutput {
            output: self.reader.read_from(0, [self.prefix, self.rows]),
            skip: self.skip,
        }
    }
}

impl<B: AutodiffBackend> SharedPrefix<B> {
    /// Runs all layers with gradient checkpointing: only the inputs of all layers but the last are
    /// kept for the backward pass.
    pub(super) fn read_checkpointed(self) -> (PrefixOutput<B>, Checkpointed<B>) {
        let reader = self.reader;
        let input = Boundary {
            states: [self.prefix, self.rows],
            skip: self.skip,
        };
        let draws = reader.llm.has_dropout();
        let (checkpointed, boundary) = Checkpointed::forward(input, reader.clone(), draws);
        let output = PrefixOutput {
            output: reader.read_from(reader.count(), boundary.states),
            skip: boundary.skip,
        };
        (output, checkpointed)
    }
}

/// All layers but the last, whose queries and keys are needed too.
impl<B: AutodiffBackend> Layers<B> for PrefixReader<B> {
    fn count(&self) -> usize {
        self.llm.model.layers.len() - 1
    }

    fn forward(&self, layer: usize, [prefix, rows]: States<B>) -> States<B> {
        let (prefix, output) = self.read_layers(layer..layer + 1, prefix, rows);
        [prefix, output.hidden]
    }

    fn no_grad(&self) -> Self {
        Self {
            llm: self.llm.clone().no_grad(),
            ..self.clone()
        }
    }
}
