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
    /// # Shapes
    /// - tokens: `[batch, tokens, hidden]`
    /// - output: `[batch, tokens, hidden]`
    pub fn forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let start = (tokens, None);
        let (x, added) = self.blocks.iter().fold(start, |(x, added), block| {
            let [x, added] = block.step(x, added);
            (x, Some(added))
        });
        match added {
            Some(added) => add(added, x),
            None => x,
        }
    }
}
