//! Log-mel filter bank of Kaldi (`compute-fbank-feats`, `torchaudio.compliance.kaldi.fbank`).
//!
//! Steps for each frame: remove the mean, pre-emphasise, window, power spectrum, triangular mel
//! filters, natural logarithm. No dither, no energy, and only frames whose whole window fits.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Floor of the energies before the logarithm: f32's epsilon, as in Kaldi.
pub const ENERGY_FLOOR: f32 = f32::EPSILON;

/// Configuration of [`Fbank`].
#[derive(burn::config::Config, Debug)]
pub struct FbankConfig {
    /// Sample rate in Hz.
    #[config(default = 16000)]
    pub sample_rate: u32,
    /// Number of mel filters.
    #[config(default = 128)]
    pub num_mel_bins: usize,
    /// Window length in milliseconds.
    #[config(default = 25.0)]
    pub frame_length: f64,
    /// Distance between windows in milliseconds.
    #[config(default = 10.0)]
    pub frame_shift: f64,
    /// Lower edge of the first filter in Hz. The last one ends at half the sample rate.
    #[config(default = 20.0)]
    pub low_frequency: f64,
    /// Factor of the previous sample, which is subtracted from each sample.
    #[config(default = 0.97)]
    pub preemphasis: f64,
}

impl FbankConfig {
    /// Prepares window, filters and transform.
    ///
    /// # Panics
    /// If the window is shorter than two samples, the distance between windows is shorter than one,
    /// or `low_frequency` is negative or not below half the sample rate.
    pub fn init(&self) -> Fbank {
        let samples = |ms: f64| (f64::from(self.sample_rate) * ms * 0.001) as usize;
        let (length, shift) = (samples(self.frame_length), samples(self.frame_shift));
        assert!(
            length >= 2 && shift >= 1,
            "windows of {length} samples every {shift}"
        );
        let nyquist = f64::from(self.sample_rate) / 2.0;
        assert!(
            self.low_frequency >= 0.0 && self.low_frequency < nyquist,
            "low_frequency is outside of 0..{nyquist}"
        );
        let size = length.next_power_of_two();
        Fbank {
            shift,
            preemphasis: self.preemphasis,
            window: hanning(length),
            filters: self.filters(size),
            fft: RealFftPlanner::new().plan_fft_forward(size),
        }
    }

    /// Triangles of equal width on the mel scale, as weights of the bins that they cover.
    fn filters(&self, size: usize) -> Vec<Filter> {
        let nyquist = f64::from(self.sample_rate) / 2.0;
        let width = f64::from(self.sample_rate) / size as f64;
        let low = mel(self.low_frequency);
        let step = (mel(nyquist) - low) / (self.num_mel_bins + 1) as f64;
        (0..self.num_mel_bins)
            .map(|index| {
                let left = low + index as f64 * step;
                // Kaldi gives no weight to the bin at half the sample rate.
                let weights: Vec<f64> = (0..size / 2)
                    .map(|bin| {
                        let position = (mel(width * bin as f64) - left) / step;
                        position.min(2.0 - position).max(0.0)
                    })
                    .collect();
                let first = weights.iter().position(|weight| *weight > 0.0).unwrap_or(0);
                let last = weights.iter().rposition(|weight| *weight > 0.0);
                let weights = weights[first..last.map_or(first, |last| last + 1)].to_vec();
                Filter { first, weights }
            })
            .collect()
    }
}

/// Triangular filter.
#[derive(Debug, Clone)]
struct Filter {
    /// First bin with a weight.
    first: usize,
    weights: Vec<f64>,
}

/// Prepared filter bank; created with [`FbankConfig::init`].
///
/// Computes in f64, so that quiet bands beside loud ones keep their values.
#[derive(Clone)]
pub struct Fbank {
    shift: usize,
    preemphasis: f64,
    window: Vec<f64>,
    filters: Vec<Filter>,
    fft: Arc<dyn RealToComplex<f64>>,
}

impl std::fmt::Debug for Fbank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fbank")
            .field("window", &self.window.len())
            .field("shift", &self.shift)
            .field("fft", &self.fft.len())
            .field("mel_bins", &self.filters.len())
            .finish()
    }
}

impl Fbank {
    /// Number of frames of a sound with `samples` samples, counting those whose window fits.
    pub fn frames(&self, samples: usize) -> usize {
        match samples.checked_sub(self.window.len()) {
            Some(rest) => 1 + rest / self.shift,
            None => 0,
        }
    }

    /// Log energies, `[frames, mel_bins]` in row-major order.
    pub fn compute(&self, samples: &[f32]) -> Vec<f32> {
        let frames = self.frames(samples.len());
        let mut input = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut energies = Vec::with_capacity(frames * self.filters.len());
        for frame in 0..frames {
            let start = frame * self.shift;
            let source = &samples[start..start + self.window.len()];
            self.fill_window(source, &mut input);
            self.fft
                .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .expect("buffers were made by the transform");
            energies.extend(
                self.filters
                    .iter()
                    .map(|filter| filter.log_energy(&spectrum)),
            );
        }
        energies
    }

    /// Fills the buffer with one windowed frame, padded with zeros for the transform.
    fn fill_window(&self, source: &[f32], frame: &mut [f64]) {
        let mean = source.iter().map(|x| f64::from(*x)).sum::<f64>() / source.len() as f64;
        // The first sample also serves as its own predecessor.
        let mut previous = f64::from(source[0]) - mean;
        for ((out, sample), weight) in frame.iter_mut().zip(source).zip(&self.window) {
            let sample = f64::from(*sample) - mean;
            *out = (sample - self.preemphasis * previous) * weight;
            previous = sample;
        }
        frame[source.len()..].fill(0.0);
    }
}

impl Filter {
    fn log_energy(&self, spectrum: &[Complex<f64>]) -> f32 {
        let bins = &spectrum[self.first..self.first + self.weights.len()];
        let energy: f64 = bins
            .iter()
            .zip(&self.weights)
            .map(|(x, w)| x.norm_sqr() * w)
            .sum();
        energy.max(f64::from(ENERGY_FLOOR)).ln() as f32
    }
}

/// Hann window, `0.5 - 0.5 cos(2πi / (n - 1))`.
fn hanning(length: usize) -> Vec<f64> {
    let step = std::f64::consts::TAU / (length - 1) as f64;
    (0..length)
        .map(|i| 0.5 - 0.5 * (step * i as f64).cos())
        .collect()
}

/// Kaldi's mel scale.
fn mel(frequency: f64) -> f64 {
    1127.0 * (1.0 + frequency / 700.0).ln()
}
