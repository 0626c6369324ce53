//! Sounds that the preprocessor accepts, and the position of clips in them.

mod common;

use anyref_audio::{AudioPreprocessor, AudioPreprocessorConfig, Error, Waveform};
use common::{tone, worst};

const CLIP: usize = 128 * 204;

fn preprocessor() -> AudioPreprocessor {
    AudioPreprocessor::new(AudioPreprocessorConfig::new())
}

#[test]
fn silence_is_refused_at_any_offset() {
    for level in [0.0, 0.3, -1.0] {
        let waveform = Waveform::new(vec![level; 16_000], 16_000);
        let error = preprocessor().process(&waveform).unwrap_err();
        assert!(matches!(error, Error::Silent { .. }), "{error}");
        assert!(error.to_string().contains("silent"));
    }
    let quiet = tone(440.0, 16_000, 1.0).iter().map(|x| x * 1e-4).collect();
    assert!(
        preprocessor()
            .process(&Waveform::new(quiet, 16_000))
            .is_err()
    );
}

#[test]
fn quiet_sound_is_accepted() {
    let quiet = tone(440.0, 16_000, 1.0).iter().map(|x| x * 1e-3).collect();
    preprocessor()
        .process(&Waveform::new(quiet, 16_000))
        .unwrap();
}

#[test]
fn a_tenth_of_a_second_is_enough_and_10_ms_are_not() {
    for rate in [8_000, 16_000, 44_100, 48_000] {
        let short = Waveform::new(tone(440.0, rate, 0.01), rate);
        let error = preprocessor().process(&short).unwrap_err();
        assert!(matches!(error, Error::TooShort { .. }), "{error}");
        assert!(error.to_string().contains("0.1 s are needed"), "{error}");
        let enough = Waveform::new(tone(440.0, rate, 0.1), rate);
        let features = preprocessor().process(&enough).unwrap();
        assert_eq!(features.data.len(), 3 * CLIP);
        assert!(features.data.iter().all(|x| x.is_finite()));
    }
    let empty = Waveform::new(vec![], 16_000);
    assert!(matches!(
        preprocessor().process(&empty),
        Err(Error::TooShort { .. })
    ));
}

#[test]
fn samples_that_are_no_numbers_are_refused() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut samples = tone(440.0, 16_000, 1.0);
        samples[77] = bad;
        let error = preprocessor()
            .process(&Waveform::new(samples, 16_000))
            .unwrap_err();
        assert!(matches!(error, Error::NotFinite { index: 77 }), "{error}");
    }
}

#[test]
fn a_bad_rate_is_refused() {
    let waveform = Waveform::new(tone(440.0, 16_000, 1.0), 0);
    assert!(matches!(
        preprocessor().process(&waveform),
        Err(Error::SampleRate { .. })
    ));
}

#[test]
fn a_sound_is_checked_without_its_features_as_with_them() {
    let (config, good) = (AudioPreprocessorConfig::new(), tone(440.0, 16_000, 1.0));
    let sound = |samples: &[f32], rate| Waveform::new(samples.to_vec(), rate);
    config.check_sound(&sound(&good, 16_000)).unwrap();
    for bad in [
        sound(&[0.1; 16_000], 16_000),
        sound(&good[..160], 16_000),
        sound(&[], 16_000),
        sound(&[f32::NAN; 16_000], 16_000),
        sound(&good, 500),
    ] {
        let said = config.check_sound(&bad).unwrap_err().to_string();
        let refused = preprocessor().process(&bad).unwrap_err();
        assert_eq!(said, refused.to_string());
    }
    // The limits come from the configuration.
    let lax = config.with_min_peak(0.0).with_min_seconds(0.0);
    lax.check_sound(&sound(&[0.1; 160], 16_000)).unwrap();
}

#[test]
fn short_sounds_give_one_clip_three_times_padded_with_zero_energy() {
    let features = preprocessor()
        .process(&Waveform::new(tone(440.0, 16_000, 0.5), 16_000))
        .unwrap();
    assert_eq!(features.data[..CLIP], features.data[CLIP..2 * CLIP]);
    assert_eq!(features.data[..CLIP], features.data[2 * CLIP..]);
    // 8000 samples are 48 frames; 4.268 / 9.138 is the normalised zero.
    for row in features.data[..CLIP].chunks(204) {
        assert!(row[48..].iter().all(|x| (x - 0.467_061).abs() < 1e-5));
        assert!((row[47] - 0.467_061).abs() > 1e-3);
    }
}

#[test]
fn a_clip_is_the_sound_of_its_two_seconds() {
    let sound: Vec<f32> = (0..80_000u64)
        .map(|i| ((i * i * 37 % 9_973) as f32 / 9_973.0 - 0.5) * 0.4)
        .collect();
    let whole = preprocessor()
        .process(&Waveform::new(sound.clone(), 16_000))
        .unwrap();
    for (index, start) in [0, 24_000, 48_000].into_iter().enumerate() {
        let part = Waveform::new(sound[start..start + 32_000].to_vec(), 16_000);
        let part = preprocessor().process(&part).unwrap();
        let clip = &whole.data[index * CLIP..][..CLIP];
        assert_eq!(worst(clip, &part.data[..CLIP]), 0.0);
    }
}

#[test]
fn other_rates_give_nearly_the_same_features() {
    let reference = preprocessor()
        .process(&Waveform::new(tone(1e3, 16_000, 2.0), 16_000))
        .unwrap();
    let other = preprocessor()
        .process(&Waveform::new(tone(1e3, 48_000, 2.0), 48_000))
        .unwrap();
    // The loudest band; far from the tone there is only rounding noise.
    let loudest = |data: &[f32]| data[..CLIP].iter().copied().fold(f32::MIN, f32::max);
    assert!((loudest(&reference.data) - loudest(&other.data)).abs() < 1e-3);
}
