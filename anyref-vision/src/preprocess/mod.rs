//! Conversion of picture files to the pixels of each tower, on the host and deterministic.

mod clip;
mod imagenet;
mod jpeg;
mod open;
mod pixels;
mod resample;
mod sam;
mod sam2;
mod tiles;

pub use clip::{ClipPreprocessor, ClipResize, squared};
pub use open::{MAX_PIXELS, MAX_SIDE, decode_image, decode_mask, open_image, open_mask};
pub use pixels::PixelValues;
pub use resample::{Filter, resize};
pub use sam::{SamPixels, SamPreprocessor};
pub use sam2::Sam2Preprocessor;
pub use tiles::TilePreprocessor;
