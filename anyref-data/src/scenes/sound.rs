//! Sounds of objects: loading at 16 kHz, and the transformations of training and validation.

use std::path::Path;

use rand::Rng;

use super::error::{Error, Result};

/// Sample rate of every sound in Hz.
pub const SAMPLE_RATE: u32 = 16_000;
/// Longest sound kept, in samples: six seconds, as three clips of two seconds hold.
const LONGEST: usize = 6 * SAMPLE_RATE as usize;
/// Shortest sound returned, in samples.
const SHORTEST: usize = SAMPLE_RATE as usize / 4;

/// Reads a sound, resamples it to 16 kHz mono and normalises its peak to one half.
///
/// # Errors
/// When the file cannot be read or decoded, exceeds the decoder's limit, or has a sample rate
/// outside of 1000 to 768000 Hz.
pub(crate) fn load(path: &Path) -> Result<Vec<f32>> {
    let mut samples = anyref_audio::Waveform::open(path)
        .and_then(|waveform| waveform.resampled(SAMPLE_RATE))
        .map_err(|e| Error::Sound {
            path: path.to_owned(),
            reason: e.to_string(),
        })?
        .samples;
    samples.truncate(LONGEST);
    let peak = samples.iter().fold(0.0f32, |m, s| m.max(s.abs()));
    if peak > 0.0 {
        samples.iter_mut().for_each(|s| *s *= 0.5 / peak);
    }
    Ok(samples)
}

/// Augments a recording: offset, gain and noise. Training also tilts the spectrum and adds an echo;
/// with `held_out` the recording is instead played at another speed and muffled, with low-frequency
/// noise, none of which training applies.
pub fn vary(samples: &[f32], held_out: bool, rng: &mut impl Rng) -> Vec<f32> {
    let lead = rng.random_range(0..SAMPLE_RATE as usize / 3);
    let cut = (samples.len() as f32 * rng.random_range(0.0..0.15)) as usize;
    let mut out = vec![0.0; lead];
    out.extend_from_slice(&samples[cut..]);
    if held_out {
        out = faster(&out, rng.random_range(0.93..1.07));
        let cutoff: f32 = rng.random_range(3000.0..7000.0);
        low_pass(&mut out, cutoff / SAMPLE_RATE as f32);
    } else {
        if rng.random_bool(0.5) {
            tilt(&mut out, rng.random_range(-0.7..0.7));
        }
        if rng.random_bool(0.5) {
            let delay = rng.random_range(SAMPLE_RATE / 40..SAMPLE_RATE / 6) as usize;
            echo(&mut out, delay, rng.random_range(0.1..0.5));
        }
    }
    out.truncate(LONGEST);
    if out.len() < SHORTEST {
        out.resize(SHORTEST, 0.0);
    }
    let gain = 10f32.powf(rng.random_range(-12.0..6.0) / 20.0);
    let rms = (out.iter().map(|s| s * s).sum::<f32>() / out.len() as f32).sqrt();
    let quiet = if held_out {
        rng.random_range(12.0..20.0)
    } else {
        rng.random_range(10.0..45.0)
    };
    let level = rms * 10f32.powf(-quiet / 20.0);
    let mut rumble = 0.0;
    for sample in &mut out {
        // A uniform deviate of unit variance.
        let white = rng.random_range(-1.732..1.732f32);
        let noise = if held_out {
            rumble = 0.9 * rumble + 0.436 * white;
            rumble
        } else {
            white
        };
        *sample = ((*sample + level * noise) * gain).clamp(-1.0, 1.0);
    }
    out
}

/// Speeds up by `rate`, with linear interpolation.
fn faster(samples: &[f32], rate: f32) -> Vec<f32> {
    let length = (samples.len() as f32 / rate) as usize;
    (0..length)
        .map(|i| {
            let at = i as f32 * rate;
            let k = at as usize;
            let here = samples.get(k).copied().unwrap_or(0.0);
            let next = samples.get(k + 1).copied().unwrap_or(here);
            here + (next - here) * (at - k as f32)
        })
        .collect()
}

/// One-pole low-pass filter; `cutoff` in cycles a sample.
fn low_pass(samples: &mut [f32], cutoff: f32) {
    let keep = (-std::f32::consts::TAU * cutoff).exp();
    let mut state = 0.0;
    for sample in samples {
        state = keep * state + (1.0 - keep) * *sample;
        *sample = state;
    }
}

/// Adds `amount` times the previous sample: above 0 favours low frequencies, below 0 high ones.
fn tilt(samples: &mut [f32], amount: f32) {
    let mut before = 0.0;
    for sample in samples {
        let now = *sample;
        *sample = (now + amount * before) / (1.0 + amount.abs());
        before = now;
    }
}

/// Adds an echo with `delay` in samples, repeated with a factor of `gain`.
fn echo(samples: &mut [f32], delay: usize, gain: f32) {
    for at in delay..samples.len() {
        samples[at] += gain * samples[at - delay];
    }
}
