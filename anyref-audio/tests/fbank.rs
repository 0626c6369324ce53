//! Filter bank and feature clips compared with torchaudio and with ImageBind's order of operations.

mod common;

use anyref_audio::fbank::FbankConfig;
use anyref_audio::{AudioPreprocessor, AudioPreprocessorConfig, Waveform};
use common::{Fixture, worst};

const NAMES: [&str; 3] = ["long", "odd", "short"];

fn waveform(fixture: &Fixture, name: &str) -> Waveform {
    Waveform::new(fixture.i16s(&format!("{name}.waveform")), 16_000)
}

/// Selects every `rows`-th row and `columns`-th column.
fn thin(data: &[f32], width: usize, rows: usize, columns: usize) -> Vec<f32> {
    data.chunks(width)
        .step_by(rows)
        .flat_map(|row| row.iter().copied().step_by(columns))
        .collect()
}

#[test]
fn filter_bank_equals_torchaudio() {
    let fixture = Fixture::open("fbank.safetensors");
    for name in NAMES {
        let mut samples = waveform(&fixture, name).samples;
        samples.truncate(32_000);
        let mean = samples.iter().sum::<f32>() / samples.len() as f32;
        samples.iter_mut().for_each(|x| *x -= mean);
        let energies = FbankConfig::new().init().compute(&samples);
        let ours = thin(&energies, 128, 11, 7);
        let error = worst(&ours, &fixture.f32s(&format!("{name}.fbank")));
        println!("{name}: {error:e}");
        assert!(error <= 1e-3, "{name}: {error}");
    }
}

#[test]
fn clips_equal_imagebinds() {
    let fixture = Fixture::open("fbank.safetensors");
    for (key, reproduce) in [("authors", true), ("copied", false)] {
        let config = AudioPreprocessorConfig::new().with_reproduce_authors(reproduce);
        let preprocessor = AudioPreprocessor::new(config);
        for name in NAMES {
            let features = preprocessor.process(&waveform(&fixture, name)).unwrap();
            assert_eq!(features.shape, [3, 1, 128, 204]);
            let ours: Vec<f32> = features
                .data
                .chunks(128 * 204)
                .flat_map(|clip| thin(clip, 204, 7, 5))
                .collect();
            let error = worst(&ours, &fixture.f32s(&format!("{name}.{key}")));
            println!("{name}.{key}: {error:e}");
            assert!(error <= 1e-3, "{name}.{key}: {error}");
        }
    }
}

#[test]
fn aliasing_is_visible_in_the_reference() {
    // Ensures that the switch above makes a difference.
    let fixture = Fixture::open("fbank.safetensors");
    let difference = worst(&fixture.f32s("odd.authors"), &fixture.f32s("odd.copied"));
    assert!(difference > 1e-2, "{difference}");
}

#[test]
fn frames_are_those_whose_window_fits() {
    let fbank = FbankConfig::new().init();
    for (samples, frames) in [
        (0, 0),
        (399, 0),
        (400, 1),
        (559, 1),
        (560, 2),
        (32_000, 198),
    ] {
        assert_eq!(fbank.frames(samples), frames);
        assert_eq!(fbank.compute(&vec![0.1; samples]).len(), frames * 128);
    }
}

#[test]
fn a_constant_has_the_floor_everywhere() {
    let energies = FbankConfig::new().init().compute(&[0.5; 1600]);
    assert!(
        energies
            .iter()
            .all(|x| (x - f32::EPSILON.ln()).abs() < 1e-5)
    );
}
