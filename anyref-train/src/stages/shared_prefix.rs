//! Sequences with a common beginning, which is read once.

use core::ops::Range;

use anyref_llm::{KvCache, Llama, LlamaInput, LlamaOutput};
use burn::module::Module;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Bool, Tensor};

use crate::run::gradient_checkpointing::{Chain, Entry, Segments, States};

/// Beginnings, one a picture, and what follows them, one a question.
#[derive(Debug)]
pub struct SharedPrefix<B: Backend> {
    /// What reads them.
    pub reader: PrefixReader<B>,
    /// Embeddings of the beginnings, `[pictures, past, hidden]`.
    pub prefix: Tensor<B, 3>,
    /// Embeddings of what follows, `[rows, length, hidden]`.
    pub rows: Tensor<B, 3>,
    /// What was computed before and is used after, beside what the language model makes of the rows.
    pub past: Vec<Tensor<B, 3>>,
}

/// What was read, and what went past.
#[derive(Debug)]
pub struct Read<B: Backend> {
    /// What the language model makes of the rows.
    pub output: LlamaOutput<B>,
    /// [`SharedPrefix::past`].
    pub past: Vec<Tensor<B, 3>>,
}

/// A language model that reads beginnings and what follows each.
#[derive(Debug, Clone)]
pub struct PrefixReader<B: Backend> {
    /// The language model.
    pub llm: Llama<B>,
    /// `[rows, past + length]`, `true` = padding; absent when there is none.
    pub padding: Option<Tensor<B, 2, Bool>>,
    /// The picture of each row.
    pub prefix_of: Vec<usize>,
}

impl<B: Backend> PrefixReader<B> {
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

    /// Reads the layers from `first` on, and the final norm.
    fn read_from(&self, first: usize, [prefix, rows]: [Tensor<B, 3>; 2]) -> LlamaOutput<B> {
        let layers = first..self.llm.model.layers.len();
        let (_, mut output) = self.read_layers(layers, prefix, rows);
        output.hidden = self.llm.model.norm.forward(output.hidden);
        output
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
}

impl<B: Backend> SharedPrefix<B> {
    /// Reads all.
    pub fn read(self) -> Read<B> {
        Read {
            output: self.reader.read_from(0, [self.prefix, self.rows]),
            past: self.past,
        }
    }
}

impl<B: AutodiffBackend> SharedPrefix<B> {
    /// The same, while of all layers but the last only the inputs are kept for the gradient, which the segments that
    /// come with it compute.
    pub fn read_in_segments(self) -> (Read<B>, Segments<B>) {
        let reader = self.reader;
        let entry = Entry {
            states: [self.prefix, self.rows],
            past: self.past,
        };
        let draws = reader.llm.has_dropout();
        let (segments, exit) = Segments::run(entry, reader.clone(), draws);
        let read = Read {
            output: reader.read_from(reader.links(), exit.states),
            past: exit.past,
        };
        (read, segments)
    }
}

/// All layers but the last, of which more than its output is wanted.
impl<B: AutodiffBackend> Chain<B> for PrefixReader<B> {
    fn links(&self) -> usize {
        self.llm.model.layers.len() - 1
    }

    fn forward(&self, link: usize, [prefix, rows]: States<B>) -> States<B> {
        let (prefix, output) = self.read_layers(link..link + 1, prefix, rows);
        [prefix, output.hidden]
    }

    fn untracked(&self) -> Self {
        Self {
            llm: self.llm.clone().no_grad(),
            ..self.clone()
        }
    }
}
