//! Quality of the resampler.

mod common;

use anyref_audio::{Error, Waveform};
use common::{amplitude, rms, tone};

fn to_16k(samples: Vec<f32>, sample_rate: u32) -> Waveform {
    Waveform::new(samples, sample_rate)
        .resampled(16_000)
        .unwrap()
}

const RATES: [u32; 10] = [
    8_000, 11_025, 12_000, 22_050, 32_000, 44_100, 48_000, 96_000, 7_919, 192_000,
];

#[test]
fn a_tone_keeps_frequency_phase_and_level() {
    for rate in RATES {
        let out = to_16k(tone(1_000.0, rate, 1.0), rate).samples;
        let expected = tone(1_000.0, 16_000, 1.0);
        assert_eq!(out.len(), 16_000, "{rate}");
        // The tone starts and ends abruptly, which rings for some milliseconds.
        let middle = 1_600..14_400;
        let difference: Vec<f32> = out[middle.clone()]
            .iter()
            .zip(&expected[middle])
            .map(|(a, b)| a - b)
            .collect();
        let error = 20.0 * (rms(&difference) / rms(&expected)).log10();
        println!("{rate}: error {error:.1} dB");
        assert!(error < -80.0, "{rate}: {error} dB");
    }
}

#[test]
fn the_passband_is_flat_up_to_7_khz() {
    for rate in [44_100, 48_000, 32_000] {
        for frequency in [50.0, 3_000.0, 6_000.0, 7_000.0] {
            let out = to_16k(tone(frequency, rate, 1.0), rate).samples;
            let level = 20.0 * (amplitude(&out[1_600..14_400], 16_000, frequency) / 0.5).log10();
            println!("{rate} {frequency}: {level:.4} dB");
            assert!(level.abs() < 0.05, "{rate} {frequency}: {level} dB");
        }
    }
}

#[test]
fn nothing_is_folded_back() {
    for (rate, frequencies) in [
        (44_100, vec![8_500.0, 10_000.0, 15_000.0, 20_000.0]),
        (48_000, vec![8_500.0, 12_000.0, 23_000.0]),
        (96_000, vec![9_000.0, 30_000.0, 47_000.0]),
    ] {
        for frequency in frequencies {
            let out = to_16k(tone(frequency, rate, 1.0), rate).samples;
            let level = 20.0 * (rms(&out[1_600..14_400]) / rms(&tone(1e3, 16_000, 1.0))).log10();
            println!("{rate} {frequency}: {level:.1} dB");
            assert!(level < -80.0, "{rate} {frequency}: {level} dB");
        }
    }
}

#[test]
fn length_follows_the_ratio_and_nothing_is_shifted() {
    for rate in RATES {
        for samples in [1, 2, 777, 12_345] {
            let length = (samples as u64 * 16_000).div_ceil(u64::from(rate)) as usize;
            assert_eq!(to_16k(vec![0.1; samples], rate).samples.len(), length);
        }
        // An impulse stays where it is.
        let mut impulse = vec![0.0; rate as usize];
        impulse[rate as usize / 2] = 1.0;
        let out = to_16k(impulse, rate).samples;
        let peak = (0..out.len())
            .max_by(|a, b| out[*a].total_cmp(&out[*b]))
            .unwrap();
        let expected = f64::from(rate / 2) * 16_000.0 / f64::from(rate);
        assert!((peak as f64 - expected).abs() <= 0.5, "{rate}: {peak}");
    }
}

#[test]
fn the_same_rate_copies() {
    let waveform = Waveform::new(tone(440.0, 16_000, 0.1), 16_000);
    assert_eq!(waveform.resampled(16_000).unwrap(), waveform);
    assert!(to_16k(vec![], 44_100).samples.is_empty());
}

#[test]
fn impossible_rates_are_refused() {
    for rate in [0, 1, 999, 768_001, u32::MAX] {
        let error = Waveform::new(vec![0.1; 100], rate)
            .resampled(16_000)
            .unwrap_err();
        assert!(matches!(error, Error::SampleRate { sample_rate } if sample_rate == rate));
    }
}
