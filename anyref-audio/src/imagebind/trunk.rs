//! Stack of the blocks of a tower.

use anyref_ops::add;
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::block::{Block, BlockConfig};

/// Configuration of [`Trunk`].
#[derive(Config, Debug)]
pub struct TrunkConfig {
    /// Configuration of each block.
    pub block: BlockConfig,
    /// Number of blocks.
    pub num_blocks: usize,
}

impl TrunkConfig {
    /// Creates the blocks.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Trunk<B> {
        Trunk {
            blocks: (0..self.num_blocks)
                .map(|_| self.block.init(device))
                .collect(),
        }
    }
}

/// Stack of blocks.
///
/// Should be created with [`TrunkConfig`].
#[derive(Module, Debug)]
pub struct Trunk<B: Backend> {
    /// Blocks, first to last.
    pub blocks: Vec<Block<B>>,
}

impl<B: Backend> Trunk<B> {
    /// Applies all blocks in order.
    ///
    /// # Shapes
    /// - tokens: `[batch, tokens, hidden]`
    /// - output: `[batch, tokens, hidden]`
    pub fn forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let [_, count, _] = tokens.dims();
        self.forward_first(tokens, count)
    }

    /// Computes the output of the first `count` tokens, without causal masks: the last block leaves
    /// out what the others alone need.
    ///
    /// # Shapes
    /// - tokens: `[batch, tokens, hidden]`
    /// - output: `[batch, count, hidden]`
    pub(super) fn forward_first(&self, tokens: Tensor<B, 3>, count: usize) -> Tensor<B, 3> {
        let [_, all, _] = tokens.dims();
        let last = self.blocks.len().saturating_sub(1);
        let blocks = self.blocks.iter().enumerate();
        let (x, added) = blocks.fold((tokens, None), |(x, added), (index, block)| {
            let count = if index == last { count } else { all };
            let [x, added] = block.step_first(x, added, count);
            (x, Some(added))
        });
        match added {
            Some(added) => add(added, x),
            None => x.narrow(1, 0, count),
        }
    }
}
