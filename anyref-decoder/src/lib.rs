//! From hidden states to masks: refocusing, SAM's prompt encoder and mask decoder, post-processing
//! to the picture's size, and COCO run-length encoding, on any burn backend.
//!
//! * [`refocus`]: adds to each object's state the mean of the states before it, weighted by its own
//!   last-layer attention.
//! * [`ObjectHead`]: converts a language model state to a prompt for the mask decoder.
//! * [`PromptEncoder`], [`MaskDecoder`]: SAM's, with points, boxes, masks and embeddings as
//!   prompts.
//! * [`Sam2MaskDecoder`]: SAM 2's, with the same prompt encoder
//!   ([`forward_padded`](PromptEncoder::forward_padded)).
//! * [`postprocess_masks`]: resizes low-resolution logits to the original picture.
//! * [`rle`]: masks as COCO strings.
//! * [`import`]: rename rules for official checkpoints.
//!
//! # Example
//!
//! ```
//! use anyref_decoder::{
//!     MaskDecoderConfig, MaskDecoderInput, ObjectHeadConfig, PromptEncoderConfig, PromptInput,
//!     postprocess_masks, rle::Rle,
//! };
//! use burn::tensor::{Distribution, Tensor};
//! # type B = burn_flex::Flex;
//!
//! let device = Default::default();
//! let head = ObjectHeadConfig::new(64, 32).init::<B>(&device);
//! let prompts = PromptEncoderConfig::nano(32, 8).init::<B>(&device);
//! let decoder = MaskDecoderConfig::nano(32).init::<B>(&device);
//!
//! // Two objects in one picture: the state of each becomes a prompt.
//! let states = Tensor::<B, 2>::random([2, 64], Distribution::Default, &device);
//! let picture = Tensor::random([1, 32, 8, 8], Distribution::Default, &device);
//! let embeddings = head.forward(states).unsqueeze_dim(1);
//! let prompt = prompts.forward(PromptInput::default().with_embeddings(embeddings));
//! let output = decoder.forward(MaskDecoderInput {
//!     image_embeddings: picture,
//!     image_pe: prompts.image_pe(),
//!     sparse: prompt.sparse,
//!     dense: prompt.dense,
//!     multimask_output: false,
//! });
//! let logits = postprocess_masks(output.low_res_masks, [96, 128], [48, 64], 128);
//! assert_eq!(logits.dims(), [2, 1, 48, 64]);
//!
//! let pixels = logits.slice([0..1]).greater_elem(0.0).into_data().iter::<bool>().collect::<Vec<_>>();
//! let mask = Rle::from_mask(&pixels, [48, 64])?;
//! assert_eq!(mask.to_mask(), pixels);
//! # Ok::<(), anyref_decoder::Error>(())
//! ```

#![recursion_limit = "256"]

pub mod import;
pub mod refocus;
pub mod rle;

mod error;
mod mask_decoder;
mod mlp;
mod object_head;
mod position;
mod postprocess;
mod prompt_encoder;
mod sam2;
mod two_way;
mod two_way_attention;
mod upscale;

pub use error::{Error, Result};
pub use mask_decoder::{MaskDecoder, MaskDecoderConfig, MaskDecoderInput, MaskDecoderOutput};
pub use mlp::{Mlp, MlpConfig};
pub use object_head::{ObjectHead, ObjectHeadConfig};
pub use position::{PositionEmbeddingRandom, PositionEmbeddingRandomConfig};
pub use postprocess::postprocess_masks;
pub use prompt_encoder::{
    MaskEmbedding, Points, PromptEmbeddings, PromptEncoder, PromptEncoderConfig, PromptInput,
};
pub use sam2::{
    Sam2MaskDecoder, Sam2MaskDecoderConfig, Sam2MaskDecoderInput, Sam2MaskDecoderOutput, Stability,
};
pub use two_way::{MlpBlock, TwoWayAttentionBlock, TwoWayTransformer, TwoWayTransformerConfig};
pub use two_way_attention::{DownsampleAttention, DownsampleAttentionConfig};
pub use upscale::{HighResolution, OutputUpscaling, OutputUpscalingConfig};

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
