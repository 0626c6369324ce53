//! Decoding of every format, and handling of broken files.

mod common;

use anyref_audio::Waveform;
use anyref_audio::{AudioPreprocessor, AudioPreprocessorConfig, DecodeOptions, Downmix, Error};
use common::{amplitude, path, tone, worst};

/// File, sample rate and tolerance of the levels.
const SOUNDS: [(&str, u32, f64); 12] = [
    ("u8.wav", 8_000, 0.01),
    ("s16.wav", 8_000, 0.002),
    ("s24.wav", 8_000, 0.002),
    ("s32.wav", 8_000, 0.002),
    ("f32.wav", 8_000, 0.002),
    ("f64.wav", 8_000, 0.002),
    ("mulaw.wav", 8_000, 0.02),
    ("piped.wav", 8_000, 0.002),
    ("s16.flac", 44_100, 0.002),
    ("s24.flac", 48_000, 0.002),
    ("vorbis.ogg", 44_100, 0.02),
    ("lame.mp3", 44_100, 0.02),
];

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path("sounds").join(name)).unwrap()
}

fn levels(waveform: &Waveform) -> [f64; 2] {
    // Lossy formats smear the edges.
    let samples = &waveform.samples[waveform.samples.len() / 8..waveform.samples.len() * 7 / 8];
    [440.0, 880.0].map(|frequency| amplitude(samples, waveform.sample_rate, frequency))
}

#[test]
fn both_channels_are_heard_in_every_format() {
    for (name, rate, slack) in SOUNDS {
        let waveform = Waveform::open(path("sounds").join(name)).unwrap();
        assert_eq!(waveform.sample_rate, rate, "{name}");
        assert!(
            (waveform.seconds() - 0.4).abs() < 0.03,
            "{name}: {} s",
            waveform.seconds()
        );
        let [left, right] = levels(&waveform);
        println!("{name}: {:.4} s, {left:.4} {right:.4}", waveform.seconds());
        assert!(
            (left - 0.25).abs() < slack && (right - 0.25).abs() < slack,
            "{left} {right}"
        );
        AudioPreprocessor::new(AudioPreprocessorConfig::new())
            .process(&waveform)
            .unwrap();
    }
}

#[test]
fn the_first_channel_can_be_taken_alone() {
    let options = DecodeOptions {
        downmix: Downmix::First,
        ..Default::default()
    };
    for name in ["s16.wav", "s16.flac", "vorbis.ogg"] {
        let waveform = Waveform::decode_with(&bytes(name), name, &options).unwrap();
        let [left, right] = levels(&waveform);
        assert!(
            (left - 0.5).abs() < 0.02 && right < 0.02,
            "{name}: {left} {right}"
        );
    }
}

#[test]
fn six_channels_become_one() {
    let waveform = Waveform::open(path("sounds").join("surround.flac")).unwrap();
    let [level, _] = levels(&waveform);
    assert!((level - 0.5).abs() < 0.005, "{level}");
    assert!((waveform.seconds() - 0.4).abs() < 1e-3);
}

#[test]
fn a_written_wav_reads_back() {
    let mut waveform = Waveform::new(tone(440.0, 22_050, 0.2), 22_050);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tone.wav");
    waveform.save_wav(&file).unwrap();
    let back = Waveform::open(&file).unwrap();
    assert_eq!(back.sample_rate, 22_050);
    assert!(worst(&back.samples, &waveform.samples) <= 0.5 / 32768.0);
    // An independent reader agrees on the header.
    let spec = hound::WavReader::open(&file).unwrap().spec();
    assert_eq!(
        (spec.channels, spec.bits_per_sample, spec.sample_rate),
        (1, 16, 22_050)
    );
    waveform.samples = vec![-3.0, -1.0, 1.0, 3.0, f32::NAN];
    let back = Waveform::decode(&waveform.to_wav(), "loud.wav")
        .unwrap()
        .samples;
    assert_eq!(
        back,
        [-1.0, -1.0, 32767.0 / 32768.0, 32767.0 / 32768.0, 0.0]
    );
    assert!(matches!(
        waveform.save_wav(folder.path().join("no/such/x.wav")),
        Err(Error::Write { .. })
    ));
}

#[test]
fn a_wrong_extension_does_not_matter() {
    for (name, rate, _) in SOUNDS {
        for hint in ["x.mp3", "x.wav", "x", ""] {
            assert_eq!(
                Waveform::decode(&bytes(name), hint).unwrap().sample_rate,
                rate,
                "{name}"
            );
        }
    }
}

#[test]
fn missing_empty_and_foreign_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.wav");
    let error = Waveform::open(&missing).unwrap_err();
    assert!(matches!(error, Error::Read { .. }) && error.to_string().contains("missing.wav"));
    assert!(matches!(
        Waveform::open(folder.path()),
        Err(Error::Read { .. })
    ));
    let empty = folder.path().join("empty.wav");
    std::fs::write(&empty, b"").unwrap();
    let error = Waveform::open(&empty).unwrap_err();
    assert!(matches!(error, Error::Empty { .. }) && error.to_string().contains("0 bytes"));
    assert!(matches!(
        Waveform::decode(b"", "x.wav"),
        Err(Error::Empty { .. })
    ));
    for (contents, name) in [
        (b"just some words, not a sound".repeat(100), "notes.txt"),
        (b"\x89PNG\r\n\x1a\n".repeat(50), "picture.wav"),
        (b"x".to_vec(), "x.mp3"),
        (bytes("opus.ogg"), "opus.ogg"),
        (bytes("adpcm.wav"), "adpcm.wav"),
    ] {
        let error = Waveform::decode(&contents, name).unwrap_err();
        let message = error.to_string();
        println!("{message}");
        assert!(matches!(error, Error::Unsupported { .. }), "{message}");
        assert!(
            message.contains(name) && message.contains("convert it to WAV"),
            "{message}"
        );
    }
}

#[test]
fn files_that_are_cut_short_are_refused() {
    for (name, _, _) in SOUNDS {
        let whole = bytes(name);
        for share in [1, 2, 5, 10, 30, 50, 90] {
            let cut = &whole[..whole.len() * share / 100];
            let result = Waveform::decode(cut, name);
            // A WAV from a pipe and a streamed Ogg do not announce their length, so the available
            // part is read. MP3 announces whole blocks, the last of which may be missing.
            let open_ended = matches!(name, "piped.wav" | "vorbis.ogg" | "lame.mp3");
            match result {
                Ok(waveform) => {
                    assert!(open_ended, "{name} at {share} % was accepted");
                    assert!(waveform.seconds() < 0.45);
                }
                Err(error) => println!("{name} at {share} %: {error}"),
            }
        }
    }
    let error = Waveform::decode(&bytes("s16.wav")[..6_000], "s16.wav").unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
}

/// Removes the frame that announces the number of frames.
fn without_info(mp3: &[u8]) -> Vec<u8> {
    let after = |from: usize, mark: &[u8]| {
        let found = mp3[from..]
            .windows(mark.len())
            .position(|bytes| bytes == mark);
        from + found.unwrap()
    };
    let first = after(0, b"\xff\xfb");
    let info = after(first, b"Info");
    mp3[after(info, b"\xff\xfb")..].to_vec()
}

/// MP3 files of streams and of old encoders do not announce their length.
#[test]
fn an_mp3_without_a_length_is_heard_whole() {
    let frames = without_info(&bytes("lame.mp3"));
    let tag = [&b"APETAGEX"[..], &[0u8; 60_000]].concat();
    for tail in [Vec::new(), tag] {
        let file = [&frames[..], &tail].concat();
        let waveform = Waveform::decode(&file, "stream.mp3").unwrap();
        let seconds = waveform.seconds();
        assert!((seconds - 0.42).abs() < 0.03, "{seconds} s");
        let [left, right] = levels(&waveform);
        assert!(
            (left - 0.25).abs() < 0.03 && (right - 0.25).abs() < 0.03,
            "{left} {right}"
        );
    }
    // The first frames, of silence, are five times as large as the others.
    let mut silent = b"\xff\xfb\xe0\x44".to_vec();
    silent.resize(1044, 0);
    let mixed = [silent.repeat(17), frames.repeat(10)].concat();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mixed.mp3");
    std::fs::write(&file, &mixed).unwrap();
    let waveform = Waveform::open(&file).unwrap();
    assert!(waveform.seconds() > 4.4, "{} s", waveform.seconds());
}

/// An announced length is still compared with the content.
#[test]
fn an_mp3_that_announces_its_length_must_have_it() {
    let whole = bytes("lame.mp3");
    let info = whole.len() - without_info(&whole).len();
    let error = Waveform::decode(&whole[..info + 1500], "cut.mp3").unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
}

#[test]
fn a_header_without_samples_is_refused() {
    let wav = Waveform::new(vec![], 16_000).to_wav();
    let error = Waveform::decode(&wav, "none.wav").unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn a_sample_rate_of_zero_is_refused() {
    let mut wav = bytes("s16.wav");
    wav[24..28].fill(0);
    let error = Waveform::decode(&wav, "zero.wav").unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn long_sounds_are_refused_and_the_limit_can_be_moved() {
    let wav = Waveform::new(vec![0.1; 1_000 * 601], 1_000).to_wav();
    let error = Waveform::decode(&wav, "long.wav").unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error}");
    let options = DecodeOptions {
        max_seconds: 700.0,
        ..Default::default()
    };
    let waveform = Waveform::decode_with(&wav, "long.wav", &options).unwrap();
    assert_eq!(waveform.samples.len(), 601_000);
    let wav = Waveform::new(vec![0.1; 1_000 * 600], 1_000).to_wav();
    Waveform::decode(&wav, "just-right.wav").unwrap();
}

#[test]
fn hostile_bytes_never_panic() {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let names =
        SOUNDS
            .iter()
            .map(|(name, ..)| *name)
            .chain(["opus.ogg", "adpcm.wav", "surround.flac"]);
    for name in names {
        let whole = bytes(name);
        for round in 0..150 {
            let mut broken = whole.clone();
            // Headers hold most of the numbers.
            let reach = if round % 3 == 0 {
                broken.len()
            } else {
                broken.len().min(120)
            };
            for _ in 0..1 + random(12) {
                let at = random(reach);
                broken[at] = [0, 0xFF, 0x7F, 0x80, random(256) as u8][random(5)];
            }
            if round % 5 == 0 {
                broken.truncate(1 + random(whole.len()));
            }
            if let Ok(waveform) = Waveform::decode(&broken, name) {
                assert!(!waveform.samples.is_empty());
                let _ = AudioPreprocessor::new(AudioPreprocessorConfig::new()).process(&waveform);
            }
        }
    }
    for size in [1, 2, 3, 4, 12, 44, 100, 5_000] {
        for _ in 0..50 {
            let noise: Vec<u8> = (0..size).map(|_| random(256) as u8).collect();
            let _ = Waveform::decode(&noise, "noise");
            for magic in [
                &b"RIFF\xff\xff\xff\xffWAVE"[..],
                b"fLaC",
                b"OggS\0\x02",
                b"ID3\x04",
                b"\xff\xfb\x90",
            ] {
                let mut bytes = magic.to_vec();
                bytes.extend_from_slice(&noise);
                let _ = Waveform::decode(&bytes, "noise");
            }
        }
    }
}
