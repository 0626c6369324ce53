//! Conversion of a waveform to the encoder's input.

use burn::config::Config;
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::clips::ClipPlan;
use crate::error::{Error, Result, check_sizes};
use crate::fbank::{Fbank, FbankConfig};
use crate::resample::check_rate;
use crate::waveform::Waveform;

/// Configuration of [`AudioPreprocessor`]; the defaults are ImageBind's.
#[derive(Config, Debug)]
pub struct AudioPreprocessorConfig {
    /// Sample rate in Hz to which waveforms are converted.
    #[config(default = 16000)]
    pub sample_rate: u32,
    /// Number of mel filters, the height of the input.
    #[config(default = 128)]
    pub num_mel_bins: usize,
    /// Frames of a clip, the width of the input.
    #[config(default = 204)]
    pub target_length: usize,
    /// Number of clips of a sound.
    #[config(default = 3)]
    pub num_clips: usize,
    /// Length of a clip in seconds.
    #[config(default = 2.0)]
    pub clip_seconds: f64,
    /// Mean of the log energies, which is subtracted.
    #[config(default = -4.268)]
    pub mean: f32,
    /// Scale by which the log energies are divided.
    #[config(default = 9.138)]
    pub std: f32,
    /// Minimum length in seconds; shorter sounds are rejected.
    #[config(default = 0.1)]
    pub min_seconds: f64,
    /// Minimum distance of any sample from the mean; quieter sounds are rejected as silent. The
    /// default is -80 dB of full scale, three steps of a 16-bit recording. 0 accepts everything.
    #[config(default = 1e-4)]
    pub min_peak: f32,
    /// Reproduces the numbers of ImageBind's own data code: it subtracts the mean of a clip from
    /// the waveform in place, so that overlapping clips affect one another, and positions clips by
    /// seconds in floating point.
    #[config(default = false)]
    pub reproduce_authors: bool,
}

impl Default for AudioPreprocessorConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl AudioPreprocessorConfig {
    /// Checks that sounds can be processed.
    ///
    /// # Errors
    /// If there is no clip, filter or frame, a clip has no length, `std` is not positive, or the
    /// sample rate is below 1000, where a window of the filter bank has too few samples.
    pub fn validate(&self) -> Result<()> {
        check_sizes([
            ("num_mel_bins", self.num_mel_bins),
            ("target_length", self.target_length),
            ("num_clips", self.num_clips),
        ])?;
        let fail = |field, problem| Err(Error::Config { field, problem });
        let positive = [
            ("clip_seconds", self.clip_seconds),
            ("std", self.std.into()),
        ];
        for (field, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return fail(field, format!("is {value}: make it positive"));
            }
        }
        if self.sample_rate < 1000 {
            let problem = format!("is {}: make it 1000 or more", self.sample_rate);
            return fail("sample_rate", problem);
        }
        Ok(())
    }

    /// Checks that [`AudioPreprocessor::process`] accepts a sound, without computing features.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::Silent`], [`Error::NotFinite`] or [`Error::SampleRate`].
    pub fn check_sound(&self, waveform: &Waveform) -> Result<()> {
        let (min_seconds, min_peak) = (self.min_seconds, self.min_peak);
        if let Some(index) = waveform.samples.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite { index });
        }
        let seconds = waveform.seconds();
        if waveform.samples.is_empty() || seconds < min_seconds {
            return Err(Error::TooShort {
                seconds,
                min_seconds,
            });
        }
        let mean = mean(&waveform.samples);
        let peak = waveform
            .samples
            .iter()
            .map(|x| (x - mean).abs())
            .fold(0.0, f32::max);
        if peak < min_peak {
            return Err(Error::Silent { peak, min_peak });
        }
        check_rate(waveform.sample_rate)
    }
}

/// Features of one sound.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioFeatures {
    /// Values in row-major order.
    pub data: Vec<f32>,
    /// `[clips, 1, mel, frames]`
    pub shape: [usize; 4],
}

impl AudioFeatures {
    /// Copies the features to a device.
    ///
    /// # Shapes
    /// - output: `[clips, 1, mel, frames]`
    ///
    /// # Panics
    /// If `data` does not have as many values as `shape` requires.
    pub fn to_tensor<B: Backend>(&self, device: &B::Device) -> Tensor<B, 4> {
        Tensor::from_data(TensorData::new(self.data.clone(), self.shape), device)
    }
}

/// Converts a waveform to clips of normalised log-mel energies.
///
/// A sound shorter than a clip gives identical clips; its missing frames are zero *before*
/// normalisation, as ImageBind pads the last frames of every clip.
#[derive(Debug, Clone)]
pub struct AudioPreprocessor {
    config: AudioPreprocessorConfig,
    fbank: Fbank,
}

impl AudioPreprocessor {
    /// Prepares the filter bank.
    ///
    /// # Panics
    /// If [`AudioPreprocessorConfig::validate`] fails.
    pub fn new(config: AudioPreprocessorConfig) -> Self {
        if let Err(error) = config.validate() {
            panic!("{error}");
        }
        let fbank = FbankConfig::new()
            .with_sample_rate(config.sample_rate)
            .with_num_mel_bins(config.num_mel_bins)
            .init();
        Self { config, fbank }
    }

    /// Configuration of the preprocessor.
    pub fn config(&self) -> &AudioPreprocessorConfig {
        &self.config
    }

    /// Resamples, cuts clips and computes their features.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::Silent`], [`Error::NotFinite`] or [`Error::SampleRate`].
    ///
    /// # Panics
    /// If the configuration has no mel filter.
    pub fn process(&self, waveform: &Waveform) -> crate::Result<AudioFeatures> {
        let config = &self.config;
        config.check_sound(waveform)?;
        let mut samples = waveform.resampled(config.sample_rate)?.samples;
        let plan = ClipPlan {
            samples: samples.len(),
            clip: (config.clip_seconds * f64::from(config.sample_rate)) as usize,
            count: config.num_clips,
        };
        let starts = match config.reproduce_authors {
            true => plan.starts_by_seconds(config.sample_rate),
            false => plan.starts(),
        };
        let [mel, frames] = [config.num_mel_bins, config.target_length];
        let mut data = Vec::with_capacity(config.num_clips * mel * frames);
        for start in starts {
            let clip = start..samples.len().min(start + plan.clip);
            if config.reproduce_authors {
                subtract_mean(&mut samples[clip.clone()]);
                self.push_clip(&samples[clip], &mut data);
            } else {
                let mut copy = samples[clip].to_vec();
                subtract_mean(&mut copy);
                self.push_clip(&copy, &mut data);
            }
        }
        Ok(AudioFeatures {
            data,
            shape: [config.num_clips, 1, mel, frames],
        })
    }

    /// Appends the features `[mel, frames]` of one clip.
    fn push_clip(&self, clip: &[f32], data: &mut Vec<f32>) {
        let AudioPreprocessorConfig {
            num_mel_bins: mel,
            target_length,
            mean,
            std,
            ..
        } = self.config;
        let energies = self.fbank.compute(clip);
        let frames = energies.len() / mel;
        for bin in 0..mel {
            data.extend((0..target_length).map(|frame| {
                let energy = if frame < frames {
                    energies[frame * mel + bin]
                } else {
                    0.0
                };
                (energy - mean) / std
            }));
        }
    }
}

fn subtract_mean(samples: &mut [f32]) {
    let mean = mean(samples);
    samples.iter_mut().for_each(|x| *x -= mean);
}

fn mean(samples: &[f32]) -> f32 {
    let sum: f64 = samples.iter().map(|x| f64::from(*x)).sum();
    (sum / samples.len().max(1) as f64) as f32
}
