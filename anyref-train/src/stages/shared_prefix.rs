//! Sequences with a common beginning, which is read once.

use core::ops::Range;

use anyref_llm::{KvCache, Llama, LlamaInput, LlamaOutput};
use burn::module::Module;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Bool, Tensor};

use crate::run::segments::{Chain, Segments, States};

/// Beginnings, one a picture, and what follows them, one a question.
#[derive(Debug, Clone)]
pub struct SharedPrefix<B: Backend> {
    /// What reads them.
    pub llm: Llama<B>,
    /// Embeddings of the beginnings, `[pictures, past, hidden]`.
    pub prefix: Tensor<B, 3>,
    /// Embeddings of what follows, `[rows, length, hidden]`.
    pub rows: Tensor<B, 3>,
    /// `[rows, past + length]`, `true` = padding; absent when there is none.
    pub padding: Option<Tensor<B, 2, Bool>>,
    /// The picture of each row.
    pub prefix_of: Vec<usize>,
}

impl<B: Backend> SharedPrefix<B> {
    /// Reads all, and gives what the language model makes of the rows.
    pub fn read(self) -> LlamaOutput<B> {
        let layers = 0..self.llm.model.layers.len();
        let Self { prefix, rows, .. } = self.clone();
        let (_, output) = self.read_layers(layers, prefix, rows);
        self.finished(output)
    }

    /// Reads through some layers; gives what comes out for the beginnings, and for the rows.
    fn read_layers(
        &self,
        layers: Range<usize>,
        prefix: Tensor<B, 3>,
        rows: Tensor<B, 3>,
    ) -> (Tensor<B, 3>, LlamaOutput<B>) {
        let mut cache = KvCache::new(layers.len());
        let llm = &self.llm;
        let read = llm.forward_layers(layers.clone(), LlamaInput::new(prefix), Some(&mut cache));
        let mut cache = self.repeated(&cache);
        let input = LlamaInput::new(rows).with_padding(self.padding.clone());
        let output = llm.forward_layers(layers, input, Some(&mut cache));
        (read.hidden, output)
    }

    /// What was read of each picture, once for each of its rows.
    fn repeated(&self, cache: &KvCache<B>) -> KvCache<B> {
        let each = self.prefix_of.len() / cache.batch();
        let even = |(row, &picture): (usize, &usize)| picture == row / each;
        match each > 0 && self.prefix_of.iter().enumerate().all(even) {
            true => cache.repeat(each),
            false => cache.select(&self.prefix_of),
        }
    }

    fn finished(&self, mut output: LlamaOutput<B>) -> LlamaOutput<B> {
        output.hidden = self.llm.model.norm.forward(output.hidden);
        output
    }
}

impl<B: AutodiffBackend> SharedPrefix<B> {
    /// The same, while of all layers but the last only the inputs are kept for the gradient, which the segments that
    /// come with it compute.
    pub fn read_in_segments(self) -> (LlamaOutput<B>, Segments<B>) {
        let entry = [self.prefix.clone(), self.rows.clone()];
        let mut untracked = self.clone();
        untracked.llm = untracked.llm.no_grad();
        let draws = self.llm.has_dropout();
        let chain = Box::new(self.clone());
        let (segments, [prefix, rows]) = Segments::run(entry, chain, &untracked, draws);
        let last = self.links();
        let (_, output) = self.read_layers(last..last + 1, prefix, rows);
        (self.finished(output), segments)
    }
}

/// All layers but the last, of which more than its output is wanted.
impl<B: AutodiffBackend> Chain<B> for SharedPrefix<B> {
    fn links(&self) -> usize {
        self.llm.model.layers.len() - 1
    }

    fn forward(&self, link: usize, [prefix, rows]: States<B>) -> States<B> {
        let (prefix, output) = self.read_layers(link..link + 1, prefix, rows);
        [prefix, output.hidden]
    }
}
