//! CLIP vision tower, InternViT, SAM and SAM 2 image encoders, their preprocessing, RoIAlign and a
//! region encoder, on any burn backend.
//!
//! ```text
//! file ── preprocess::open_image ──► RgbImage
//!   ├─ ClipPreprocessor ─► [3, 224, 224]   ─ ClipVisionModel::features ─► [b, 256, 1024]
//!   │    ─ Projector ─► [b, 256, 4096]
//!   ├─ TilePreprocessor ─► tiles of [3, 448, 448] ─ InternVisionModel::features
//!   │    ─ InternVlProjector ─► [tiles, tokens, hidden]
//!   ├─ SamPreprocessor  ─► [3, 1024, 1024] ─ SamImageEncoder::forward  ─► [b, 256, 64, 64]
//!   └─ Sam2Preprocessor ─► [3, 1024, 1024] ─ Sam2ImageEncoder::forward ─► [b, 256, 64, 64]
//!        and two finer levels
//! ```
//!
//! Fields are named as in the checkpoints; [`import`] has the remaining renames.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use anyref_vision::clip::ClipVisionConfig;
//! use anyref_vision::preprocess::{ClipPreprocessor, PixelValues};
//! use burn_flex::Flex;
//!
//! let device = Default::default();
//! let config = ClipVisionConfig::tiny();
//! let model = config.init::<Flex>(&device);
//!
//! let picture = image::RgbImage::from_pixel(60, 40, image::Rgb([200, 30, 30]));
//! let pixels = ClipPreprocessor::new(config.image_size).process(&picture);
//! let features = model.features(PixelValues::batch(&[pixels], &device), -2);
//! assert_eq!(features.dims(), [1, config.num_patches(), config.hidden_size]);
//! # }
//! ```

#![recursion_limit = "256"]

pub mod clip;
mod error;
pub mod import;
pub mod internvit;
mod patch_embedding;
pub mod preprocess;
pub mod projector;
pub mod region_encoder;
mod resize_corners;
pub mod roi_align;
pub mod sam;
pub mod sam2;
mod tower_sizes;

pub use error::{Error, Result};

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
