//! ImageBind on any burn backend: audio embeddings of sound files, and text embeddings of token
//! ids.
//!
//! ```text
//! file ──Waveform::open──▶ mono samples ──AudioPreprocessor::process──▶ [3, 1, 128, 204]
//!      ──ImageBindAudio::forward──▶ [1, 3, 1024]
//! ```
//!
//! * [`Waveform`]: decoding (WAV, FLAC, Ogg Vorbis, MP3), down-mix, resampling, WAV writing.
//! * [`AudioPreprocessor`]: three clips of two seconds, each a Kaldi log-mel filter bank.
//! * [`ImageBindAudio`]: the audio transformer of ImageBind with its head and scaling, and
//!   [`ImageBindText`], the text tower that its embeddings are comparable with;
//!   [`imagebind::import`] maps the names of `imagebind_huge.pth`.
//!
//! ```
//! use anyref_audio::{AudioPreprocessor, AudioPreprocessorConfig, ImageBindAudioConfig, Waveform};
//! use burn_flex::Flex;
//!
//! # fn main() -> anyref_audio::Result<()> {
//! // A second of a 440 Hz tone; `Waveform::open("dog.ogg")?` reads a file.
//! let samples = (0..44_100).map(|i| (i as f32 * 0.0627).sin() * 0.3).collect();
//! let waveform = Waveform::new(samples, 44_100);
//!
//! let features = AudioPreprocessor::new(AudioPreprocessorConfig::new()).process(&waveform)?;
//! assert_eq!(features.shape, [3, 1, 128, 204]);
//!
//! let device = Default::default();
//! let encoder = ImageBindAudioConfig::tiny().init::<Flex>(&device);
//! let embeddings = encoder.forward(features.to_tensor(&device).unsqueeze());
//! assert_eq!(embeddings.dims(), [1, 3, 32]);
//! # Ok(())
//! # }
//! ```

#![recursion_limit = "256"]

mod clips;
mod decode;
mod error;
pub mod fbank;
pub mod imagebind;
mod preprocess;
mod resample;
mod waveform;

pub use decode::{DecodeOptions, Downmix};
pub use error::{Error, Result};
pub use imagebind::{ImageBindAudio, ImageBindAudioConfig, ImageBindText, ImageBindTextConfig};
pub use preprocess::{AudioFeatures, AudioPreprocessor, AudioPreprocessorConfig};
pub use waveform::Waveform;

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
