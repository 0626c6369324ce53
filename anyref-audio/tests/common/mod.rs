//! Reader of the fixtures.
#![allow(dead_code)] // each test file uses its share

use std::path::PathBuf;

use safetensors::SafeTensors;

/// Path of a file in `tests/fixtures`.
pub fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name]
        .iter()
        .collect()
}

/// Safetensors file of reference numbers.
pub struct Fixture(Vec<u8>);

impl Fixture {
    pub fn open(name: &str) -> Self {
        Self(std::fs::read(path(name)).unwrap())
    }

    fn map<const N: usize>(&self, tensor: &str, read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(tensor).unwrap();
        view.data()
            .chunks_exact(N)
            .map(|bytes| read(bytes.try_into().unwrap()))
            .collect()
    }

    pub fn f32s(&self, tensor: &str) -> Vec<f32> {
        self.map(tensor, f32::from_le_bytes)
    }

    /// 16-bit samples, scaled to full scale 1.
    pub fn i16s(&self, tensor: &str) -> Vec<f32> {
        self.map(tensor, |bytes| {
            f32::from(i16::from_le_bytes(bytes)) / 32768.0
        })
    }

    pub fn shape(&self, tensor: &str) -> Vec<usize> {
        SafeTensors::deserialize(&self.0)
            .unwrap()
            .tensor(tensor)
            .unwrap()
            .shape()
            .to_vec()
    }
}

/// Largest difference.
pub fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// Tone of amplitude 0.5.
pub fn tone(frequency: f64, sample_rate: u32, seconds: f64) -> Vec<f32> {
    let step = std::f64::consts::TAU * frequency / f64::from(sample_rate);
    (0..(seconds * f64::from(sample_rate)) as usize)
        .map(|i| (0.5 * (step * i as f64).sin()) as f32)
        .collect()
}

/// Amplitude of one frequency, over a Hann window.
pub fn amplitude(samples: &[f32], sample_rate: u32, frequency: f64) -> f64 {
    let step = std::f64::consts::TAU * frequency / f64::from(sample_rate);
    let turn = std::f64::consts::TAU / samples.len() as f64;
    let (mut re, mut im) = (0.0, 0.0);
    for (i, x) in samples.iter().enumerate() {
        let weight = 1.0 - (turn * i as f64).cos();
        re += f64::from(*x) * weight * (step * i as f64).cos();
        im += f64::from(*x) * weight * (step * i as f64).sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

pub fn rms(samples: &[f32]) -> f64 {
    (samples.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}
