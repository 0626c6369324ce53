//! Mono sound in memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::resample::resample;

/// One channel of sound; full scale is -1 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Waveform {
    /// Samples in order of time.
    pub samples: Vec<f32>,
    /// Sample rate in Hz.
    pub sample_rate: u32,
}

impl Waveform {
    /// Wraps samples that are already mono.
    pub fn new(samples: Vec<f32>, sample_rate: u32) -> Self {
        Self {
            samples,
            sample_rate,
        }
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate.max(1))
    }

    /// Converts the sound to another sample rate and removes everything above half the lower rate.
    /// The length is `len * sample_rate / self.sample_rate`, rounded up; there is no delay.
    ///
    /// # Errors
    /// When one of the two rates is outside 1000 to 768000 Hz.
    pub fn resampled(&self, sample_rate: u32) -> Result<Self> {
        let samples = resample(&self.samples, self.sample_rate, sample_rate)?;
        Ok(Self {
            samples,
            sample_rate,
        })
    }

    /// Content of a 16-bit mono WAV file. Samples beyond full scale are clipped.
    pub fn to_wav(&self) -> Vec<u8> {
        const HEADER: u32 = 36;
        // The format counts bytes in 32 bits: about 18 hours at 16 kHz.
        let most = ((u32::MAX - HEADER) / 2) as usize;
        let samples = &self.samples[..self.samples.len().min(most)];
        let data = samples.len() as u32 * 2;
        let mut wav = Vec::with_capacity(data as usize + 44);
        wav.extend_from_slice(b"RIFF");
        wav.extend_from_slice(&(HEADER + data).to_le_bytes());
        wav.extend_from_slice(b"WAVEfmt ");
        wav.extend_from_slice(&16u32.to_le_bytes());
        wav.extend_from_slice(&1u16.to_le_bytes()); // PCM
        wav.extend_from_slice(&1u16.to_le_bytes()); // channels
        wav.extend_from_slice(&self.sample_rate.to_le_bytes());
        wav.extend_from_slice(&self.sample_rate.saturating_mul(2).to_le_bytes());
        wav.extend_from_slice(&2u16.to_le_bytes()); // bytes a frame
        wav.extend_from_slice(&16u16.to_le_bytes()); // bits a sample
        wav.extend_from_slice(b"data");
        wav.extend_from_slice(&data.to_le_bytes());
        for sample in samples {
            // Decoders divide by 32768, so a sample read back differs by at most half a step.
            let value = (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16;
            wav.extend_from_slice(&value.to_le_bytes());
        }
        wav
    }

    /// Writes a 16-bit mono WAV file, see [`to_wav`](Self::to_wav).
    ///
    /// # Errors
    /// When the file cannot be created or written.
    pub fn save_wav(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let write = || {
            let mut file = BufWriter::new(File::create(path)?);
            file.write_all(&self.to_wav())?;
            file.flush()
        };
        write().map_err(|source| Error::Write {
            path: path.to_owned(),
            source,
        })
    }
}
