//! Names for sounds compared with the published formulas (`fixtures/export_sounds.py`).

use std::f32::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

use anyref_audio::{AudioFeatures, Waveform};
use anyref_core::official::{
    Published, audio_config, audio_options, compare, has_text, text_config, text_options,
};
use anyref_core::sound_labels::SOUND_PROMPT;
use anyref_core::{SoundLabeller, SoundLabellerFiles, SoundLabellerOptions, SoundVocabulary};
use anyref_llm::clip_tokenizer::ClipTokenizer;
use anyref_ops::testing::max_abs_error;
use anyref_weights::load_module;
use anyref_weights::testing::Fixture;
use burn::tensor::{Int, Tensor, TensorData};

use crate::common::TestBackend;
use crate::parts::published;

/// Labels of the exporter.
const LABELS: [&str; 6] = [
    "Dog",
    "Cat",
    "Male speech, man speaking",
    "Police car (siren)",
    "Wind noise (microphone)",
    "Violin",
];

type B = TestBackend;

fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-llm/tests/fixtures/clip")
}

fn files() -> SoundLabellerFiles {
    SoundLabellerFiles {
        imagebind: published("sounds/imagebind.pth"),
        clip: clip(),
    }
}

fn expected() -> Fixture {
    Fixture::open(published("sounds/expected.safetensors"))
}

fn vocabulary() -> SoundVocabulary {
    SoundVocabulary::new(LABELS).unwrap()
}

fn labeller(vocabulary: SoundVocabulary, options: &SoundLabellerOptions) -> SoundLabeller<B> {
    SoundLabeller::open(&files(), vocabulary, options, &Default::default()).unwrap()
}

/// Sounds of the fixture; each value of `coarse` fills 16 bins and 17 frames.
fn clips() -> Tensor<B, 5> {
    let coarse = expected().tensor::<B, 5>("coarse", &Default::default());
    repeat_each(repeat_each(coarse, 3, 16), 4, 17)
}

/// Repeats each value of a dimension `times` times in succession.
fn repeat_each(tensor: Tensor<B, 5>, dim: usize, times: usize) -> Tensor<B, 5> {
    let length = tensor.dims()[dim] * times;
    let places = (0..length).map(|place| (place / times) as i64).collect();
    let places = TensorData::new::<i64, _>(places, [length]);
    let places = Tensor::<B, 1, Int>::from_data(places, &tensor.device());
    tensor.select(dim, places)
}

fn sounds() -> Vec<AudioFeatures> {
    clips()
        .iter_dim(0)
        .map(|sound| AudioFeatures {
            data: sound.into_data().to_vec().unwrap(),
            shape: [3, 1, 128, 204],
        })
        .collect()
}

/// Chirp of this many seconds.
fn chirp(seconds: f32) -> Waveform {
    let count = (seconds * 16_000.0) as usize;
    let at = |i: usize| i as f32 / 16_000.0;
    let turns = |i| (300.0 + 900.0 * at(i)) * at(i);
    let samples = (0..count).map(|i| (turns(i) * TAU).sin() * 0.4);
    Waveform::new(samples.collect(), 16_000)
}

fn refused(files: &SoundLabellerFiles, vocabulary: SoundVocabulary) -> String {
    let options = SoundLabellerOptions::default();
    let opened = SoundLabeller::<B>::open(files, vocabulary, &options, &Default::default());
    let error = opened.unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn prompts_embeddings_and_logits_are_those_of_the_published_formulas() {
    let (device, expected) = (Default::default(), expected());
    let imagebind = Published::open(&files().imagebind).unwrap();
    let config = text_config(&imagebind).unwrap();
    assert_eq!((config.context_length, config.num_hidden_layers), (77, 2));
    assert!((config.logit_scale - 9.0).abs() < 1e-5);

    let tokenizer = ClipTokenizer::from_folder(clip()).unwrap();
    let prompts = expected.int_tensor::<B, 2>("prompts", &device);
    let ids: Vec<u32> = prompts.to_data().iter().collect();
    let encode = |label| tokenizer.encode_padded(&SOUND_PROMPT.replace("{}", label), 77);
    let found: Vec<u32> = LABELS
        .into_iter()
        .flat_map(|l| encode(l).unwrap())
        .collect();
    assert_eq!(found, ids);

    let mut tower = config.init::<B>(&device);
    load_module(&mut tower, &imagebind.checkpoint, &text_options()).unwrap();
    let texts = tower.forward(prompts);
    let error = max_abs_error(&texts, &expected.tensor("texts", &device));
    println!("texts: {error:e}");
    assert!(error <= 1e-4, "{error}");

    let mut encoder = audio_config(&imagebind).unwrap().encoder.init::<B>(&device);
    load_module(&mut encoder, &imagebind.checkpoint, &audio_options()).unwrap();
    let sounds = encoder.embed_sounds(clips());
    let error = max_abs_error(&sounds, &expected.tensor("sounds", &device));
    println!("sounds: {error:e}");
    assert!(error <= 1e-4, "{error}");
    let logits = sounds.matmul(texts.transpose());
    let error = max_abs_error(&logits, &expected.tensor("logits", &device));
    println!("logits: {error:e}");
    assert!(error <= 1e-4, "{error}");
}

#[test]
fn the_likeliest_labels_are_those_of_the_published_formulas() {
    let ranked = labeller(vocabulary(), &SoundLabellerOptions::default())
        .label_features(&sounds())
        .unwrap();
    let best: Vec<_> = ranked.iter().map(|ranking| ranking.best().index).collect();
    assert_eq!(best, [2, 4, 4, 2]);
    let logits: Vec<f64> = expected().data("logits").iter().collect();
    for (ranking, logits) in ranked.iter().zip(logits.chunks(LABELS.len())) {
        let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
        let mut order: Vec<usize> = (0..LABELS.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let found: Vec<_> = ranking.labels().iter().map(|label| label.index).collect();
        assert_eq!(found, order);
        for label in ranking.labels() {
            assert_eq!(label.label, LABELS[label.index]);
            let probability = logits[label.index].exp() / total;
            assert!((f64::from(label.probability) - probability).abs() < 1e-4);
            assert!(label.similarity.abs() <= 1.0);
        }
    }
}

#[test]
fn another_label_is_another_embedding_and_prompts_count() {
    let ask = |labels: [&str; 2], prompt: &str| {
        let options = SoundLabellerOptions {
            prompt: prompt.into(),
            ..SoundLabellerOptions::default()
        };
        let vocabulary = SoundVocabulary::new(labels).unwrap();
        let ranked = labeller(vocabulary, &options).label_features(&sounds()[..1]);
        let mut labels = ranked.unwrap()[0].labels().to_vec();
        labels.sort_by_key(|label| label.index);
        labels
            .into_iter()
            .map(|label| label.similarity)
            .collect::<Vec<_>>()
    };
    let first = ask(["Dog", "Cat"], SOUND_PROMPT);
    let second = ask(["Dog", "Violin"], SOUND_PROMPT);
    assert_eq!(first[0], second[0]);
    assert!((first[1] - second[1]).abs() > 1e-3, "{first:?} {second:?}");
    let other = ask(["Dog", "Cat"], "the sound of a {}");
    assert!((first[0] - other[0]).abs() > 1e-3, "{first:?} {other:?}");
}

#[test]
fn a_waveform_is_labelled_as_its_features_are() {
    let labeller = labeller(vocabulary(), &SoundLabellerOptions::default());
    let sound = chirp(3.1);
    let features = labeller.preprocessor().process(&sound).unwrap();
    let expected = labeller.label_features(&[features]).unwrap().remove(0);
    assert_eq!(labeller.label(&sound).unwrap(), expected);
    // The authors' subtraction has an effect where clips overlap.
    assert!(labeller.preprocessor().config().reproduce_authors);
    assert!(
        labeller
            .label(&Waveform::new(vec![0.0; 32_000], 16_000))
            .is_err()
    );
}

#[test]
fn sounds_together_are_labelled_as_one_by_one() {
    let labeller = labeller(vocabulary(), &SoundLabellerOptions::default());
    let sounds = sounds();
    // More than one batch.
    let many: Vec<_> = sounds.iter().cycle().take(90).cloned().collect();
    let together = labeller.label_features(&many).unwrap();
    assert_eq!(together.len(), 90);
    for (index, ranking) in together.iter().enumerate() {
        let alone = labeller.label_features(&sounds[index % 4..][..1]).unwrap();
        let (best, other) = (ranking.best(), alone[0].best());
        assert_eq!(best.index, other.index);
        assert!((best.probability - other.probability).abs() < 1e-4);
    }
    assert!(labeller.label_features(&[]).unwrap().is_empty());
}

#[test]
fn embeddings_are_kept_and_taken_from_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let options = |prompt: &str| SoundLabellerOptions {
        prompt: prompt.into(),
        cache: Some(folder.path().join("labels")),
        ..SoundLabellerOptions::default()
    };
    let ask = |options: &SoundLabellerOptions| {
        let ranked = labeller(vocabulary(), options).label_features(&sounds()[..1]);
        ranked.unwrap().remove(0)
    };
    let kept = || {
        let files = fs::read_dir(folder.path().join("labels")).unwrap();
        files.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    let first = ask(&options(SOUND_PROMPT));
    assert_eq!(ask(&options(SOUND_PROMPT)), first);
    let [file] = &kept()[..] else {
        panic!("{:?}", kept());
    };
    // The rows of two labels are exchanged in the file only.
    let content = fs::read(file).unwrap();
    let width = 24 * size_of::<f32>();
    let rows = content.len() - LABELS.len() * width;
    let mut changed = content.clone();
    changed.copy_within(rows + 2 * width..rows + 3 * width, rows);
    fs::write(file, &changed).unwrap();
    assert_eq!(ask(&options(SOUND_PROMPT)).best().index, 0);
    // A damaged file is rewritten.
    fs::write(file, &content[..content.len() / 2]).unwrap();
    assert_eq!(ask(&options(SOUND_PROMPT)), first);
    assert_eq!(fs::read(file).unwrap(), content);
    ask(&options("the {}"));
    assert_eq!(kept().len(), 2);
    // Labelling also works without a writable cache.
    let mut nowhere = options(SOUND_PROMPT);
    nowhere.cache = Some(file.join("below a file"));
    assert_eq!(ask(&nowhere), first);
}

#[test]
fn bad_files_of_labels_are_refused_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.txt");
    let read = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        SoundVocabulary::open(&path)
    };
    let good = read("\u{feff}dog \r\n cat\r\nbird, tweet\n".as_bytes()).unwrap();
    assert_eq!(good.labels(), ["dog", "cat", "bird, tweet"]);
    for (content, problem) in [
        (&b""[..], "is empty; give one label a line"),
        (b"\n", "line 1 is empty"),
        (b"dog\n\ncat\n", "line 2 is empty"),
        (b"dog\n \t\n", "line 2 is empty"),
        (
            b"dog\ncat\nDOG\n",
            "line 3 has the label \"DOG\" of line 1 again",
        ),
        (b"dog\xff\n", "not UTF-8"),
        (&[b'a'; (1 << 20) + 1], "no list of labels"),
    ] {
        let error = read(content).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
        assert!(error.contains("labels.txt"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert!(SoundVocabulary::open(folder.path().join("none.txt")).is_err());
    assert!(SoundVocabulary::open(folder.path()).is_err());

    let long = read(format!("dog\n{}\n", "woof ".repeat(60)).as_bytes()).unwrap();
    let error = refused(&files(), long);
    let shown = ["labels.txt", "line 2", "at most 77", "shorten"];
    assert!(shown.iter().all(|part| error.contains(part)), "{error}");
}

#[test]
fn prompts_have_one_place_for_a_label() {
    for prompt in ["a dog", "{} and {}", ""] {
        let options = SoundLabellerOptions {
            prompt: prompt.into(),
            ..SoundLabellerOptions::default()
        };
        let opened =
            SoundLabeller::<B>::open(&files(), vocabulary(), &options, &Default::default());
        let error = opened.unwrap_err().to_string();
        assert!(error.contains("needs one {}"), "{error}");
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let mut other = files();
    other.imagebind = published("imagebind.pth");
    let error = refused(&other, vocabulary());
    assert!(error.contains("no text tower"), "{error}");
    other.imagebind = published("sam.pth");
    let error = refused(&other, vocabulary());
    assert!(error.contains("not ImageBind"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let vocabulary_file = fs::read_to_string(clip().join("vocab.json")).unwrap();
    let larger = vocabulary_file.replace("\"<|endoftext|>\": 633", "\"<|endoftext|>\": 640");
    fs::write(folder.path().join("vocab.json"), larger).unwrap();
    fs::copy(clip().join("merges.txt"), folder.path().join("merges.txt")).unwrap();
    let mut other = files();
    other.clip = folder.path().into();
    let error = refused(&other, vocabulary());
    assert!(
        error.contains("641 tokens") && error.contains("634"),
        "{error}"
    );
}

#[test]
fn both_towers_match_the_published_layout() {
    let part = Published::open(&files().imagebind).unwrap();
    let reports = compare::<B>(&part, None, &Default::default()).unwrap();
    let names: Vec<_> = reports.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["ImageBind audio", "ImageBind text"]);
    for (name, report) in reports {
        assert!(report.is_complete(), "{name}: {report}");
    }
    assert!(!has_text(
        &Published::open(&published("imagebind.pth")).unwrap()
    ));
}
