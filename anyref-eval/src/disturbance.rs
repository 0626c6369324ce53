//! Degraded pictures and sounds, to measure the robustness of answers.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageFormat, RgbImage};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::case::EvalKind;

/// Degradation of the picture asked about, or of the sound that refers to an object in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disturbance {
    /// Gaussian blur of the picture with a standard deviation of 2 pixels.
    Blur,
    /// Gaussian noise on the picture with a standard deviation of 25 of 255 levels.
    Noise,
    /// JPEG compression of the picture at quality 15.
    Jpeg,
    /// Picture at half its brightness.
    Dark,
    /// Picture at one and a half times its brightness.
    Bright,
    /// Picture reduced to half its width and height and enlarged again.
    Small,
    /// White noise in the sound at a signal-to-noise ratio of 20 dB.
    Sound20,
    /// White noise in the sound at a signal-to-noise ratio of 10 dB.
    Sound10,
    /// White noise in the sound at a signal-to-noise ratio of 0 dB.
    Sound0,
}

impl Disturbance {
    /// All disturbances, those of pictures first.
    pub const ALL: [Self; 9] = [
        Self::Blur,
        Self::Noise,
        Self::Jpeg,
        Self::Dark,
        Self::Bright,
        Self::Small,
        Self::Sound20,
        Self::Sound10,
        Self::Sound0,
    ];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blur => "blur",
            Self::Noise => "noise",
            Self::Jpeg => "jpeg",
            Self::Dark => "dark",
            Self::Bright => "bright",
            Self::Small => "small",
            Self::Sound20 => "sound-20",
            Self::Sound10 => "sound-10",
            Self::Sound0 => "sound-0",
        }
    }

    /// Disturbance with the name `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Returns whether it applies to questions of a kind; of mixed questions only some have a
    /// sound.
    pub fn concerns(self, kind: EvalKind) -> bool {
        self.decibels().is_none() || kind == EvalKind::Audio
    }

    /// Signal-to-noise ratio in decibels, for disturbances of the sound.
    fn decibels(self) -> Option<f32> {
        match self {
            Self::Sound20 => Some(20.0),
            Self::Sound10 => Some(10.0),
            Self::Sound0 => Some(0.0),
            _ => None,
        }
    }

    /// Disturbs a picture; deterministic for a `seed`.
    pub fn picture(self, image: &RgbImage, seed: u64) -> RgbImage {
        let scaled = |factor: f32| each(image, |value| value * factor);
        match self {
            Self::Blur => imageops::blur(image, 2.0),
            Self::Noise => {
                let mut rng = SmallRng::seed_from_u64(seed);
                each(image, |value| value + 25.0 * normal(&mut rng))
            }
            Self::Jpeg => compressed(image, 15).unwrap_or_else(|| image.clone()),
            Self::Dark => scaled(0.5),
            Self::Bright => scaled(1.5),
            Self::Small => {
                let (width, height) = image.dimensions();
                let [half, tall] = [width, height].map(|side| (side / 2).max(1));
                let small = imageops::resize(image, half, tall, FilterType::Triangle);
                imageops::resize(&small, width, height, FilterType::Triangle)
            }
            Self::Sound20 | Self::Sound10 | Self::Sound0 => image.clone(),
        }
    }

    /// Disturbs a sound; deterministic for a `seed`.
    pub fn sound(self, samples: &[f32], seed: u64) -> Vec<f32> {
        let Some(decibels) = self.decibels() else {
            return samples.to_vec();
        };
        let power = samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32;
        let amplitude = (power * 10f32.powf(-decibels / 10.0)).sqrt();
        let mut rng = SmallRng::seed_from_u64(seed);
        let noisy = samples.iter().map(|s| s + amplitude * normal(&mut rng));
        noisy.collect()
    }
}

fn each(image: &RgbImage, mut change: impl FnMut(f32) -> f32) -> RgbImage {
    let mut changed = image.clone();
    for value in changed.iter_mut() {
        *value = change(f32::from(*value)).round().clamp(0.0, 255.0) as u8;
    }
    changed
}

fn compressed(image: &RgbImage, quality: u8) -> Option<RgbImage> {
    let mut bytes = Vec::new();
    image
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality))
        .ok()?;
    let decoded = image::load(Cursor::new(bytes), ImageFormat::Jpeg).ok()?;
    Some(decoded.into_rgb8())
}

/// Draws from the standard normal distribution (Box and Muller 1958).
fn normal(rng: &mut SmallRng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (core::f32::consts::TAU * rng.random::<f32>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> RgbImage {
        RgbImage::from_fn(48, 40, |x, y| {
            let edge = if x < 24 { 60 } else { 180 };
            image::Rgb([edge, 100, (4 * y) as u8])
        })
    }

    /// Mean and standard deviation of the differences.
    fn difference(a: impl Iterator<Item = f32>) -> [f32; 2] {
        let values: Vec<f32> = a.collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let spread = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>();
        [mean, (spread / values.len() as f32).sqrt()]
    }

    #[test]
    fn pictures_are_made_worse_by_as_much_as_is_said() {
        let image = picture();
        for one in Disturbance::ALL {
            let found = one.picture(&image, 3);
            assert_eq!(found.dimensions(), image.dimensions());
            assert_eq!(found == image, one.decibels().is_some(), "{}", one.name());
            assert_eq!(found, one.picture(&image, 3));
            assert_eq!(Disturbance::named(one.name()), Some(one));
        }
        let noise = Disturbance::Noise.picture(&image, 3);
        let red = noise
            .pixels()
            .zip(image.pixels())
            .map(|(a, b)| f32::from(a[1]) - f32::from(b[1]));
        let [mean, spread] = difference(red);
        assert!(
            mean.abs() < 2.0 && (spread - 25.0).abs() < 2.0,
            "{mean} {spread}"
        );
        assert_ne!(noise, Disturbance::Noise.picture(&image, 4));
        assert_eq!(
            Disturbance::Dark.picture(&image, 0).get_pixel(0, 0).0,
            [30, 50, 0]
        );
        assert_eq!(
            Disturbance::Bright.picture(&image, 0).get_pixel(40, 0).0,
            [255, 150, 0]
        );
        // An edge becomes a slope.
        let blurred = Disturbance::Blur.picture(&image, 0).get_pixel(24, 20)[0];
        assert!((100..180).contains(&blurred), "{blurred}");
    }

    #[test]
    fn noise_has_the_power_that_is_said() {
        let tone: Vec<f32> = (0..16_000).map(|i| 0.4 * (0.1 * i as f32).sin()).collect();
        let [_, loud] = difference(tone.iter().copied());
        for (one, decibels) in [
            (Disturbance::Sound20, 20.0),
            (Disturbance::Sound10, 10.0),
            (Disturbance::Sound0, 0.0),
        ] {
            let noisy = one.sound(&tone, 5);
            let [mean, spread] = difference(noisy.iter().zip(&tone).map(|(a, b)| a - b));
            let found = 20.0 * (loud / spread).log10();
            assert!(
                mean.abs() < 0.02 && (found - decibels).abs() < 0.3,
                "{found} dB"
            );
        }
        assert_eq!(Disturbance::Blur.sound(&tone, 5), tone);
        assert!(Disturbance::Sound0.concerns(EvalKind::Audio));
        assert!(!Disturbance::Sound0.concerns(EvalKind::Text));
        assert!(Disturbance::Blur.concerns(EvalKind::Audio));
    }
}
