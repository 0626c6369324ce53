//! Memory of answers, computed from a model's sizes.

use anyref_llm::LlamaConfig;
use anyref_ops::CacheType;
use anyref_vision::region_encoder::RegionEncoderConfig;
use anyref_vision::sam::SamVisionConfig;
use anyref_vision::sam2::Sam2VisionConfig;
use burn::tensor::DType;

use crate::tower::TiledTowerConfig;

/// Copies of the residual stream that a layer holds at a time: input, normalised input, query, key,
/// value and output of the attention.
const STREAMS: usize = 6;
/// Feed-forward activations that a layer holds at a time: gate, up and their product.
const FEED_FORWARD: usize = 3;

/// Activations of a layer of SAM's image encoder at a time: input, normalised input, query, key,
/// value and output of the attention.
const SAM_STREAMS: usize = 6;
/// Feed-forward activations of SAM's image encoder at a time, before and after the activation
/// function.
const SAM_FEED_FORWARD: usize = 2;

/// Copies of a region encoder's finest level at a time: as it was, with its neighbours' channels,
/// convolved and normalised.
const FUSED_AT_ONCE: usize = 4;

/// Positions of one row of a batch, including padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowLength {
    /// Positions that were read before (the picture).
    pub(crate) prefix: usize,
    /// Positions of the question.
    pub(crate) question: usize,
    /// Maximum tokens of the answer.
    pub(crate) answer: usize,
}

/// Bytes of the keys and values of one row of `positions`, kept in a type where `dtype` is
/// computed.
pub(crate) fn cache_bytes(
    llm: &LlamaConfig,
    positions: usize,
    dtype: DType,
    cache_type: CacheType,
) -> u64 {
    let values = 2 * llm.num_hidden_layers * llm.kv_heads() * llm.head_width();
    cache_type.bytes(values as u64 * positions as u64, dtype)
}

/// Maximum bytes for generating an answer in one row: its keys and values with a copy of one
/// layer's, which grows, the states and queries kept for its masks, and the activations of the
/// question in one layer.
pub(crate) fn answer_bytes(
    llm: &LlamaConfig,
    row: RowLength,
    dtype: DType,
    cache_type: CacheType,
) -> u64 {
    let layers = llm.num_hidden_layers.max(1) as u64;
    let positions = row.prefix + row.question + row.answer;
    let cache = cache_bytes(llm, positions, dtype, cache_type);
    let query = llm.num_attention_heads * llm.head_width();
    let kept = (row.question + row.answer) * (llm.hidden_size + query);
    let streams = STREAMS * llm.hidden_size + FEED_FORWARD * llm.intermediate_size;
    let scores = llm.num_attention_heads * (row.prefix + row.question);
    let activations = row.question * (streams + scores) + llm.vocab_size;
    cache + cache / layers + dtype.size() as u64 * (kept + activations) as u64
}

/// Bytes of the activations of SAM's image encoder, in its largest layer.
pub(crate) fn encoding_bytes(sam: &SamVisionConfig, dtype: DType) -> u64 {
    let patches = (sam.image_size / sam.patch_size.max(1)).pow(2);
    let widths = SAM_STREAMS * sam.hidden_size + SAM_FEED_FORWARD * sam.mlp_dim;
    dtype.size() as u64 * patches as u64 * widths as u64
}

/// Bytes that a region encoder takes for one picture: its levels, which are kept, the tower's
/// states that they are made of, and the finest level as it is fused, in single precision.
pub(crate) fn region_bytes(config: &RegionEncoderConfig, patches: usize, dtype: DType) -> u64 {
    let cells = (0..config.num_levels).map(|level| patches * config.fineness(level).pow(2));
    let kept = cells.sum::<usize>() + patches * config.num_levels;
    let finest = patches * config.fineness(0).pow(2);
    let width = config.embed_dim as u64;
    width * (dtype.size() * kept + FUSED_AT_ONCE * DType::F32.size() * finest) as u64
}

/// Bytes of the activations of SAM 2's image encoder: its largest stage, the stages' outputs and
/// the pyramid's levels.
pub(crate) fn sam2_encoding_bytes(sam: &Sam2VisionConfig, dtype: DType) -> u64 {
    let trunk = &sam.backbone_config;
    let side = sam.image_size / trunk.patch_stride[0].max(1);
    let stages = trunk.embed_dim_per_stage.iter().enumerate();
    let (mut most, mut kept) = (0, 0);
    for (stage, &width) in stages {
        let cells = (side >> stage).pow(2);
        // The first block of a stage still has the previous stage's cells.
        let inside = if stage == 0 { cells } else { 4 * cells };
        most = most
            .max(inside * SAM_STREAMS * width + cells * SAM_FEED_FORWARD * trunk.mlp_dim(width));
        kept += cells * (width + sam.fpn_hidden_size);
    }
    dtype.size() as u64 * (most + kept) as u64
}

/// Bytes of the activations of a tower over tiles, in the layer that has most.
pub(crate) fn tiles_bytes(tower: &TiledTowerConfig, dtype: DType) -> u64 {
    let encoder = &tower.encoder;
    let tokens = tower.most_squares() * (encoder.num_patches() + 1);
    let widths = SAM_STREAMS * encoder.hidden_size + SAM_FEED_FORWARD * encoder.intermediate_size;
    dtype.size() as u64 * tokens as u64 * widths as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyRefConfig, KNOWN_MODELS};

    fn row(question: usize) -> RowLength {
        RowLength {
            prefix: 300,
            question,
            answer: 48,
        }
    }

    #[test]
    fn the_cache_of_a_llama_is_half_a_megabyte_a_position_in_half_precision() {
        let llm = LlamaConfig::llama_7b();
        // 2 * 32 layers * 4096 values of 2 bytes.
        let bytes = |positions, dtype, cache| cache_bytes(&llm, positions, dtype, cache);
        assert_eq!(bytes(1, DType::F16, CacheType::F32), 524_288);
        assert_eq!(bytes(10, DType::F32, CacheType::F32), 10_485_760);
        assert_eq!(bytes(10, DType::F32, CacheType::Bf16), 5_242_880);
        // 34 bytes for 32 values.
        assert_eq!(bytes(1, DType::F32, CacheType::Q8_0), 278_528);
    }

    #[test]
    fn longer_questions_wider_types_and_larger_models_take_more() {
        let nano = AnyRefConfig::nano().llm;
        let plain = |llm: &LlamaConfig, row, dtype| answer_bytes(llm, row, dtype, CacheType::F32);
        let bytes = |question| plain(&nano, row(question), DType::F32);
        assert!(bytes(50) < bytes(51));
        // Scores grow with the square of the length.
        assert!(bytes(200) - bytes(100) > bytes(100) - bytes(1));
        assert_eq!(plain(&nano, row(50), DType::F16) * 2, bytes(50));
        let large = plain(&LlamaConfig::llama_7b(), row(50), DType::F32);
        assert!(large > 400_000_000, "{large}");
        let cache = |cache_type| cache_bytes(&nano, 398, DType::F32, cache_type);
        assert!(bytes(50) > cache(CacheType::F32));
        let half = answer_bytes(&nano, row(50), DType::F32, CacheType::F16);
        assert!(bytes(50) - half > cache(CacheType::F32) / 2);
    }

    #[test]
    fn the_table_of_models_says_what_sam_2_is_reckoned_to_take() {
        for (size, config) in Sam2VisionConfig::published() {
            let name = format!("SAM 2.1 Hiera {size}");
            let known = KNOWN_MODELS.iter().find(|model| model.name == name);
            let known = known.unwrap_or_else(|| panic!("{name}"));
            let reckoned = known.download + sam2_encoding_bytes(&config, DType::F32);
            let share = known.memory as f64 / reckoned as f64;
            assert!((0.97..1.03).contains(&share), "{name}: {reckoned}");
        }
    }
}
