//! Hyper-parameters of SAM 2's image encoder.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::check;

/// Name of the encoder in errors.
const SAM2: &str = "SAM 2";

/// Maximum blocks of a trunk; the largest published one has 48.
const MAX_BLOCKS: usize = 1024;
/// Maximum width, head count, window or picture side of a trunk.
const MAX_SIZE: usize = 1 << 16;

/// Configuration of a [`Hiera`](super::Hiera) trunk. Reads the `backbone_config` of transformers'
/// `config.json`; missing fields default to Hiera tiny.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HieraConfig {
    /// Channels of the picture.
    pub num_channels: usize,
    /// Height and width of the patch embedding's kernel; patches overlap.
    pub patch_kernel_size: [usize; 2],
    /// Distance between patches in pixels.
    pub patch_stride: [usize; 2],
    /// Zero padding around the picture in pixels.
    pub patch_padding: [usize; 2],
    /// Pooling factors of the queries in the first block of a stage.
    pub query_stride: [usize; 2],
    /// Rows and columns of the position table that is stretched over the whole picture.
    pub window_positional_embedding_background_size: [usize; 2],
    /// Number of stages after the first whose first block pools its queries.
    pub num_query_pool_stages: usize,
    /// Blocks of each stage.
    pub blocks_per_stage: Vec<usize>,
    /// Width of each stage.
    pub embed_dim_per_stage: Vec<usize>,
    /// Heads of each stage.
    pub num_attention_heads_per_stage: Vec<usize>,
    /// Side of the windows of each stage, in cells.
    pub window_size_per_stage: Vec<usize>,
    /// Blocks that attend to the whole picture.
    pub global_attention_blocks: Vec<usize>,
    /// Ratio of the width inside the feed-forward layers to the width of the stage.
    pub mlp_ratio: f64,
    /// Term added to the variance in the normalisations.
    pub layer_norm_eps: f64,
}

impl Default for HieraConfig {
    fn default() -> Self {
        Self {
            num_channels: 3,
            patch_kernel_size: [7, 7],
            patch_stride: [4, 4],
            patch_padding: [3, 3],
            query_stride: [2, 2],
            window_positional_embedding_background_size: [7, 7],
            num_query_pool_stages: 3,
            blocks_per_stage: vec![1, 2, 7, 2],
            embed_dim_per_stage: vec![96, 192, 384, 768],
            num_attention_heads_per_stage: vec![1, 2, 4, 8],
            window_size_per_stage: vec![8, 4, 14, 7],
            global_attention_blocks: vec![5, 7, 9],
            mlp_ratio: 4.0,
            layer_norm_eps: 1e-6,
        }
    }
}

/// Position and sizes of one block of a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockSizes {
    /// Width of the input.
    pub(super) dim: usize,
    /// Width of the output.
    pub(super) dim_out: usize,
    /// Heads of the attention.
    pub(super) heads: usize,
    /// Side of the windows; 0 for the whole picture.
    pub(super) window: usize,
    /// Pools the queries.
    pub(super) pools: bool,
}

impl HieraConfig {
    /// Sizes of the blocks, first to last. The first block of a stage uses the windows of the
    /// previous stage, whose grid it reads.
    pub(super) fn blocks(&self) -> Vec<BlockSizes> {
        let mut blocks = Vec::new();
        for (stage, &count) in self.blocks_per_stage.iter().enumerate() {
            for block in 0..count {
                let from = if block == 0 {
                    stage.saturating_sub(1)
                } else {
                    stage
                };
                let global = self.global_attention_blocks.contains(&blocks.len());
                blocks.push(BlockSizes {
                    dim: self.embed_dim_per_stage[from],
                    dim_out: self.embed_dim_per_stage[stage],
                    heads: self.num_attention_heads_per_stage[stage],
                    window: if global {
                        0
                    } else {
                        self.window_size_per_stage[from]
                    },
                    pools: block == 0 && (1..=self.num_query_pool_stages).contains(&stage),
                });
            }
        }
        blocks
    }

    /// Width inside the feed-forward layers of a stage with this width.
    pub fn mlp_dim(&self, width: usize) -> usize {
        (width as f64 * self.mlp_ratio) as usize
    }
}

/// Configuration of a [`Sam2ImageEncoder`](super::Sam2ImageEncoder). Reads the `vision_config` of
/// transformers' `config.json`; missing fields default to Hiera tiny.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sam2VisionConfig {
    /// Configuration of the trunk.
    pub backbone_config: HieraConfig,
    /// Side of the picture, in pixels.
    pub image_size: usize,
    /// Widths of the stages, last to first.
    pub backbone_channel_list: Vec<usize>,
    /// Width of the pyramid's levels.
    pub fpn_hidden_size: usize,
    /// Side of the kernel that projects a stage to that width; only 1 is supported.
    pub fpn_kernel_size: usize,
    /// Stride of the neck's convolutions; only 1 is supported.
    pub fpn_stride: usize,
    /// Padding of the neck's convolutions; only 0 is supported.
    pub fpn_padding: usize,
    /// Levels, counted from the finest, that add the next coarser level.
    pub fpn_top_down_levels: Vec<usize>,
    /// Number of finest levels that are returned; coarser ones are dropped (`scalp`).
    pub num_feature_levels: usize,
}

impl Default for Sam2VisionConfig {
    fn default() -> Self {
        Self {
            backbone_config: HieraConfig::default(),
            image_size: 1024,
            backbone_channel_list: vec![768, 384, 192, 96],
            fpn_hidden_size: 256,
            fpn_kernel_size: 1,
            fpn_stride: 1,
            fpn_padding: 0,
            fpn_top_down_levels: vec![2, 3],
            num_feature_levels: 3,
        }
    }
}

impl Sam2VisionConfig {
    /// Neck of the published sizes over a trunk.
    fn of_trunk(backbone_config: HieraConfig) -> Self {
        let mut widths = backbone_config.embed_dim_per_stage.clone();
        widths.reverse();
        Self {
            backbone_channel_list: widths,
            backbone_config,
            ..Self::default()
        }
    }

    /// Hiera tiny.
    pub fn hiera_tiny() -> Self {
        Self::default()
    }

    /// Hiera small.
    pub fn hiera_small() -> Self {
        Self::of_trunk(HieraConfig {
            blocks_per_stage: vec![1, 2, 11, 2],
            global_attention_blocks: vec![7, 10, 13],
            ..HieraConfig::default()
        })
    }

    /// Hiera base-plus.
    pub fn hiera_base_plus() -> Self {
        Self::of_trunk(HieraConfig {
            blocks_per_stage: vec![2, 3, 16, 3],
            embed_dim_per_stage: vec![112, 224, 448, 896],
            num_attention_heads_per_stage: vec![2, 4, 8, 16],
            global_attention_blocks: vec![12, 16, 20],
            window_positional_embedding_background_size: [14, 14],
            ..HieraConfig::default()
        })
    }

    /// Hiera large.
    pub fn hiera_large() -> Self {
        Self::of_trunk(HieraConfig {
            blocks_per_stage: vec![2, 6, 36, 4],
            embed_dim_per_stage: vec![144, 288, 576, 1152],
            num_attention_heads_per_stage: vec![2, 4, 8, 16],
            window_size_per_stage: vec![8, 4, 16, 8],
            global_attention_blocks: vec![23, 33, 43],
            ..HieraConfig::default()
        })
    }

    /// Published sizes with their names, smallest first.
    pub fn published() -> [(&'static str, Self); 4] {
        [
            ("tiny", Self::hiera_tiny()),
            ("small", Self::hiera_small()),
            ("base-plus", Self::hiera_base_plus()),
            ("large", Self::hiera_large()),
        ]
    }

    /// Configuration with a few thousand parameters, for tests and examples.
    pub fn tiny() -> Self {
        Self {
            image_size: 128,
            fpn_hidden_size: 16,
            ..Self::of_trunk(HieraConfig {
                window_positional_embedding_background_size: [3, 3],
                blocks_per_stage: vec![1, 2, 3, 1],
                embed_dim_per_stage: vec![8, 16, 32, 64],
                num_attention_heads_per_stage: vec![1, 2, 4, 8],
                window_size_per_stage: vec![8, 4, 6, 3],
                global_attention_blocks: vec![4],
                mlp_ratio: 2.0,
                ..HieraConfig::default()
            })
        }
    }

    /// Checks that the encoder can be built.
    ///
    /// # Errors
    /// When lists differ in length, a size is 0 or does not divide another, a block or level does
    /// not exist, or the pyramid has an unsupported form.
    pub fn validate(&self) -> Result<()> {
        let trunk = &self.backbone_config;
        let stages = trunk.blocks_per_stage.len();
        let lists = [
            ("embed_dim_per_stage", &trunk.embed_dim_per_stage),
            (
                "num_attention_heads_per_stage",
                &trunk.num_attention_heads_per_stage,
            ),
            ("window_size_per_stage", &trunk.window_size_per_stage),
            ("blocks_per_stage", &trunk.blocks_per_stage),
            ("backbone_channel_list", &self.backbone_channel_list),
        ];
        for (field, list) in lists {
            check(SAM2, field, list.len() == stages && stages > 0, || {
                format!("has {} entries for {stages} stages", list.len())
            })?;
            let right = list.iter().all(|size| (1..=MAX_SIZE).contains(size));
            check(SAM2, field, right, || {
                format!("is {list:?}: make each 1 to {MAX_SIZE}")
            })?;
        }
        let count = trunk
            .blocks_per_stage
            .iter()
            .fold(0_usize, |sum, &blocks| sum.saturating_add(blocks));
        check(SAM2, "blocks_per_stage", count <= MAX_BLOCKS, || {
            format!("asks for {count} blocks: {MAX_BLOCKS} at most are built")
        })?;
        let sizes = [
            ("image_size", self.image_size),
            ("fpn_hidden_size", self.fpn_hidden_size),
            ("num_channels", trunk.num_channels),
            ("patch_kernel_size", trunk.patch_kernel_size[0]),
            ("patch_kernel_size", trunk.patch_kernel_size[1]),
        ];
        for (field, size) in sizes {
            check(SAM2, field, (1..=MAX_SIZE).contains(&size), || {
                format!("is {size}: make it 1 to {MAX_SIZE}")
            })?;
        }
        let [rows, columns] = trunk.window_positional_embedding_background_size;
        check(
            SAM2,
            "window_positional_embedding_background_size",
            (1..=MAX_SIZE).contains(&rows) && (1..=MAX_SIZE).contains(&columns),
            || format!("is [{rows}, {columns}]: make both 1 to {MAX_SIZE}"),
        )?;
        for (&width, &heads) in trunk
            .embed_dim_per_stage
            .iter()
            .zip(&trunk.num_attention_heads_per_stage)
        {
            check(
                SAM2,
                "embed_dim_per_stage",
                width.is_multiple_of(heads),
                || format!("has {width}, which its {heads} heads do not divide"),
            )?;
        }
        check(
            SAM2,
            "mlp_ratio",
            (0.0..1e3).contains(&trunk.mlp_ratio)
                && trunk
                    .embed_dim_per_stage
                    .iter()
                    .all(|&width| trunk.mlp_dim(width) > 0),
            || format!("is {}: make it 1 to 1000", trunk.mlp_ratio),
        )?;
        let global = &trunk.global_attention_blocks;
        check(
            SAM2,
            "global_attention_blocks",
            global.iter().all(|&block| block < count),
            || format!("is {global:?}: keep below the number of blocks, {count}"),
        )?;
        check(
            SAM2,
            "num_query_pool_stages",
            trunk.num_query_pool_stages + 1 == stages,
            || {
                format!(
                    "is {}: every stage after the first pools, {}",
                    trunk.num_query_pool_stages,
                    stages - 1
                )
            },
        )?;
        check(SAM2, "query_stride", trunk.query_stride == [2, 2], || {
            format!(
                "is {:?}: [2, 2] alone is supported, as the pyramid's levels are twice as fine",
                trunk.query_stride
            )
        })?;
        let [stride, across] = trunk.patch_stride;
        check(SAM2, "patch_stride", stride > 0 && stride == across, || {
            format!("is {:?}: make it square and above 0", trunk.patch_stride)
        })?;
        let patches = |axis: usize| {
            let kernel = trunk.patch_kernel_size[axis];
            let padded = trunk.patch_padding[axis]
                .checked_mul(2)
                .and_then(|padding| padding.checked_add(self.image_size));
            padded.and_then(|padded| Some(padded.checked_sub(kernel)? / stride + 1))
        };
        let whole = self.image_size / stride;
        let fits = (0..2).all(|axis| patches(axis) == Some(whole));
        check(SAM2, "patch_padding", fits, || {
            format!(
                "is {:?}: with this kernel and stride it does not make {whole} patches a side",
                trunk.patch_padding
            )
        })?;
        for block in trunk.blocks().iter().filter(|block| block.pools) {
            check(
                SAM2,
                "window_size_per_stage",
                block.window.is_multiple_of(2),
                || format!("has {}, which pooling by 2 does not divide", block.window),
            )?;
        }
        let widths = &self.backbone_channel_list;
        check(
            SAM2,
            "backbone_channel_list",
            widths.iter().eq(trunk.embed_dim_per_stage.iter().rev()),
            || {
                format!(
                    "is {widths:?}: make it embed_dim_per_stage, {:?}, backwards",
                    trunk.embed_dim_per_stage
                )
            },
        )?;
        let kernel = [self.fpn_kernel_size, self.fpn_stride, self.fpn_padding];
        check(SAM2, "fpn_kernel_size", kernel == [1, 1, 0], || {
            format!("with stride and padding is {kernel:?}: [1, 1, 0] alone is supported")
        })?;
        let levels = self.num_feature_levels;
        check(
            SAM2,
            "num_feature_levels",
            levels == 3 && levels <= stages,
            || format!("is {levels}: the mask decoder takes 3, of {stages} stages"),
        )?;
        let coarsest = stride
            .checked_shl(stages as u32 - 1)
            .filter(|&cell| cell > 0 && cell <= self.image_size);
        let window = trunk.window_size_per_stage[0];
        let side = self.image_size / stride;
        check(
            SAM2,
            "image_size",
            coarsest.is_some_and(|cell| self.image_size.is_multiple_of(cell))
                && side.is_multiple_of(window),
            || {
                format!(
                    "is {}: make it a multiple of the coarsest cell, {stride} pixels doubled by \
                     each stage after the first, and of {window} patches",
                    self.image_size
                )
            },
        )
    }

    /// Cells along one side of the level that the mask decoder attends to.
    ///
    /// # Panics
    /// When `patch_stride` is 0.
    pub fn grid_size(&self) -> usize {
        let side = self.image_size / self.backbone_config.patch_stride[0];
        side >> (self.num_feature_levels - 1)
    }
}
