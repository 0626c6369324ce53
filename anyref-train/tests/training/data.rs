//! Training on data sets.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyref_core::{AnyRef, AnyRefConfig, Slot};
use anyref_data::datasets::{Per, Source};
use anyref_data::scenes::Kind;
use anyref_llm::peft::PeftAdapter;
use anyref_train::config::Precision;
use anyref_train::config::{DataConfig, TrainConfig};
use anyref_train::losses::{cross_entropy, mask_bce, mask_dice};
use anyref_train::run::Plan;
use anyref_train::run::checkpoint::newest;
use anyref_train::run::launch;
use anyref_train::run::{Which, export_adapter, export_checkpoint};
use anyref_train::stages::{Asked, DataQuestions, InstructBatch, StageContext, instruct_forward};
use anyref_weights::Checkpoint;
use burn::tensor::{DType, Tensor};
use hound::{SampleFormat, WavSpec, WavWriter};
use serde_json::{Value, json};

use crate::common::{TestBackend, model};
use crate::support::{TrainBackend, alone, context, folders, stage};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../anyref-data/tests/fixtures/datasets")
        .join(name)
}

fn data(train: Value) -> DataConfig {
    serde_json::from_value(json!({ "train": train })).unwrap()
}

fn own(file: &Path) -> Value {
    json!([{ "source": { "own": { "file": file } } }])
}

fn open(config: &DataConfig) -> DataQuestions {
    DataQuestions::open(config, &config.train, 7).unwrap()
}

fn refused(config: &DataConfig) -> String {
    let error = DataQuestions::open(config, &config.train, 7).unwrap_err();
    format!("{error:#}")
}

fn answers(asked: &[Asked]) -> Vec<&str> {
    let examples = asked.iter().flat_map(|asked| &asked.examples);
    examples.map(|example| example.answer.as_str()).collect()
}

fn write_sound(path: &Path, samples: &[f32]) {
    let spec = WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 32,
        sample_format: SampleFormat::Float,
    };
    let mut wav = WavWriter::create(path, spec).unwrap();
    for &sample in samples {
        wav.write_sample(sample).unwrap();
    }
    wav.finalize().unwrap();
}

fn tone() -> Vec<f32> {
    (0..16_000).map(|i| 0.3 * (0.3 * i as f32).sin()).collect()
}

/// Fixture with a question of every kind, its sound lengthened to be audible.
fn every_kind(folder: &Path) -> PathBuf {
    for name in ["a.png", "b.png", "a-mask.png", "good.jsonl"] {
        fs::copy(fixture("own").join(name), folder.join(name)).unwrap();
    }
    write_sound(&folder.join("dog.wav"), &tone());
    folder.join("good.jsonl")
}

/// A file with a line for each sound, about the fixture's picture.
fn sounds(folder: &Path, sounds: &[&[f32]]) -> PathBuf {
    every_kind(folder);
    let mut lines = String::new();
    for (index, samples) in sounds.iter().enumerate() {
        let name = format!("{index}.wav");
        write_sound(&folder.join(&name), samples);
        let line = json!({
            "image": "a.png", "references": [{ "audio": name }],
            "answer": format!("sound {index}<obj>."), "masks": ["a-mask.png"]
        });
        lines += &format!("{line}\n");
    }
    let file = folder.join("sounds.jsonl");
    fs::write(&file, lines).unwrap();
    file
}

#[test]
fn questions_are_the_items_of_a_file() {
    let context = context([64, 64], 2);
    let folder = tempfile::tempdir().unwrap();
    let questions = open(&data(own(&every_kind(folder.path()))));
    assert_eq!(questions.len(), 5);
    let asked = questions.asked(&context, 0, 5).unwrap();
    let mut expected = [
        "the dog<obj>.",
        "a brown dog.",
        "dog<obj>.",
        "dog<obj>, cat<obj>.",
        "there is no a horse in this image.",
    ];
    let mut found = answers(&asked);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for asked in &asked {
        let [example] = &asked.examples[..] else {
            panic!("one question a picture");
        };
        let (kind, markers) = match example.answer.as_str() {
            "the dog<obj>." => (Kind::Text, 0),
            "a brown dog." => (Kind::BoxToText, 1),
            "dog<obj>." => (Kind::Image, 1),
            "dog<obj>, cat<obj>." => (Kind::Mixed, 1),
            _ => (Kind::Absent, 0),
        };
        assert_eq!(
            (example.kind, example.question.marked.len()),
            (kind, markers)
        );
        assert_eq!(
            example.targets.len(),
            example.answer.matches("<obj>").count()
        );
        assert!(example.targets.iter().all(|target| target.mask.area() > 0));
    }

    // The batch holds pictures one by one, and masks of the targets.
    let batch = InstructBatch::new(&context, &asked, None, 16).unwrap();
    assert_eq!((batch.rows.len(), batch.tower.len()), (5, 5));
    assert_eq!(batch.pictures, [0, 1, 2, 3, 4]);
    assert_eq!(batch.objects.len(), 4);
    assert_eq!(batch.masks.len(), 4 * 16 * 16);
    assert_eq!(
        (batch.images.len(), batch.boxes.len(), batch.sounds.len()),
        (1, 1, 1)
    );
    let boxed = asked
        .iter()
        .position(|a| a.examples[0].kind == Kind::BoxToText);
    let region = &batch.boxes[0];
    assert_eq!(Some(region.batch), boxed);
    // [1, 2, 20, 25] of 40 x 30 pixels.
    for (share, expected) in [region.x0, region.y0, region.x1, region.y1]
        .into_iter()
        .zip([1.0 / 40.0, 2.0 / 30.0, 0.5, 25.0 / 30.0])
    {
        assert!((share - expected).abs() < 1e-6, "{region:?}");
    }
    let spliced = batch.rows.iter().flat_map(|row| row.slots());
    let first = spliced.filter(|slot| matches!(slot, Slot::Reference { part: 0, .. }));
    assert_eq!(first.count(), 3);
}

#[test]
fn an_epoch_shows_everything_once_and_the_next_in_another_order() {
    let context = context([64, 64], 2);
    let folder = tempfile::tempdir().unwrap();
    let config = data(own(&every_kind(folder.path())));
    let epoch = |seed: u64, epoch: u64| {
        let questions = DataQuestions::open(&config, &config.train, seed).unwrap();
        let asked = questions.asked(&context, epoch, 5).unwrap();
        answers(&asked).join("|")
    };
    let sorted = |text: String| {
        let mut parts: Vec<_> = text.split('|').map(str::to_owned).collect();
        parts.sort_unstable();
        parts
    };
    let epochs: Vec<_> = (0..4).map(|index| epoch(7, index)).collect();
    assert_eq!(epochs[2], epoch(7, 2));
    assert!(epochs.iter().any(|other| *other != epochs[0]));
    assert!((0..4).any(|index| epoch(8, index) != epochs[index as usize]));
    for epoch in &epochs {
        assert_eq!(sorted(epoch.clone()), sorted(epochs[0].clone()));
    }
    // Steps of any size cut the same order into pieces.
    let questions = open(&config);
    let singly: Vec<_> = (0..10)
        .map(|step| answers(&questions.asked(&context, step, 1).unwrap()).join(""))
        .collect();
    assert_eq!(singly.join("|"), epochs[..2].join("|"));
}

#[test]
fn a_picture_counts_once_where_that_is_asked_for() {
    let context = context([64, 64], 2);
    let folder = tempfile::tempdir().unwrap();
    let mut sources = own(&every_kind(folder.path()));
    sources[0]["per"] = json!("picture");
    let config = data(sources);
    let epochs = |seed: u64| -> Vec<String> {
        let questions = DataQuestions::open(&config, &config.train, seed).unwrap();
        let contents = questions.contents();
        let [(name, pictures, an_epoch)] = &contents[..] else {
            panic!("{contents:?}");
        };
        assert!(name.ends_with("good.jsonl by picture"), "{name}");
        assert_eq!((*pictures, *an_epoch, questions.len()), (2, 2, 2));
        let asked = (0..40).map(|epoch| questions.asked(&context, epoch, 2).unwrap());
        let told = asked.map(|asked| answers(&asked).join("|"));
        told.collect()
    };
    let told = epochs(7);
    // The second picture has two questions.
    let of_second = |answer: &str| answer.contains("cat") || answer.contains("horse");
    for epoch in &told {
        let (one, other) = epoch.split_once('|').unwrap();
        assert_ne!(of_second(one), of_second(other), "{epoch}");
    }
    let all: BTreeSet<&str> = told.iter().flat_map(|epoch| epoch.split('|')).collect();
    assert_eq!(all.len(), 5, "{all:?}");
    assert_eq!(told, epochs(7));
    assert_ne!(told, epochs(8));
}

#[test]
fn silence_is_passed_over() {
    let context = context([64, 64], 2);
    let folder = tempfile::tempdir().unwrap();
    let silence = vec![0.0; 16_000];
    let file = sounds(folder.path(), &[&silence, &tone(), &silence[..10]]);
    let asked = open(&data(own(&file))).asked(&context, 0, 3).unwrap();
    assert_eq!(answers(&asked), ["sound 1<obj>."; 3]);

    let file = sounds(folder.path(), &[&silence]);
    let error = open(&data(own(&file))).asked(&context, 0, 1).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("cannot be asked about") && error.contains("silent"),
        "{error}"
    );
}

#[test]
fn a_damaged_file_ends_no_run_and_many_do() {
    let context = context([64, 64], 2);
    let folder = tempfile::tempdir().unwrap();
    let file = sounds(folder.path(), &[&tone(), &tone(), &tone()]);
    fs::write(folder.path().join("0.wav"), "no sound").unwrap();
    let asked = open(&data(own(&file))).asked(&context, 0, 3).unwrap();
    let mut heard = answers(&asked);
    heard.sort_unstable();
    assert_eq!(heard, ["sound 1<obj>.", "sound 1<obj>.", "sound 2<obj>."]);

    fs::write(folder.path().join("a.png"), "no picture").unwrap();
    let error = open(&data(own(&file))).asked(&context, 0, 1).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("cannot be asked about") && error.contains("a.png"),
        "{error}"
    );
}

#[test]
fn descriptions_point_as_often_as_configured() {
    let context = context([64, 64], 2);
    let mut config = data(json!([{ "source": { "refer": {
        "root": fixture("refer"), "name": "refcoco", "split_by": "unc", "split": "train", "describe": true
    } } }]));
    config.epoch = Some(40);
    for (probability, expected) in [(0.0, 0..=0), (0.5, 8..=32), (1.0, 40..=40)] {
        config.describe_mask_probability = probability;
        let asked = open(&config).asked(&context, 0, 40).unwrap();
        for asked in &asked {
            let [example] = &asked.examples[..] else {
                panic!("one question a picture");
            };
            assert_eq!(example.kind, Kind::BoxToText);
            assert_eq!(
                example.targets.len(),
                example.answer.matches("<obj>").count()
            );
            assert!(example.answer.ends_with('.'), "{}", example.answer);
        }
        let pointing = answers(&asked);
        let pointing = pointing.iter().filter(|answer| answer.contains("<obj>."));
        let count = pointing.count();
        assert!(expected.contains(&count), "{probability}: {count}");
    }
}

#[test]
fn questions_about_the_same_picture_share_its_encoding() {
    let context = context([64, 64], 2);
    let folder = tempfile::tempdir().unwrap();
    let questions = open(&data(own(&every_kind(folder.path()))));
    let asked = || questions.asked(&context, 0, 5).unwrap();
    let apart = InstructBatch::new(&context, &asked(), None, 16).unwrap();
    let merged = Asked::merge(asked());
    let together = InstructBatch::new(&context, &merged, None, 16).unwrap();
    assert_eq!((apart.tower.len(), apart.rows.len()), (5, 5));
    // One picture has two questions, the other three.
    let mut counts: Vec<_> = merged.iter().map(|asked| asked.examples.len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 5);
    counts.sort_unstable();
    assert_eq!(counts, [2, 3]);
    assert_eq!((together.tower.len(), together.sam.len()), (2, 2));

    // The losses are equal.
    let device = Default::default();
    let model = model::<TestBackend>(&context.model, 8);
    let losses = |batch: &InstructBatch| {
        let output = instruct_forward(&model, batch, &device);
        let predicted = batch.predicted.iter().map(|token| token.token as i32);
        let predicted: Vec<i32> = predicted.collect();
        let predicted = Tensor::from_data(predicted.as_slice(), &device);
        let (masks, truth) = output.masks.unwrap();
        [
            cross_entropy(output.logits, predicted).into_scalar(),
            mask_bce(masks.clone(), truth.clone()).mean().into_scalar(),
            mask_dice(masks, truth).mean().into_scalar(),
        ]
    };
    let (apart, together) = (losses(&apart), losses(&together));
    for (a, b) in apart.iter().zip(together) {
        assert!((a - b).abs() < 1e-5, "{apart:?} {together:?}");
    }
}

#[test]
fn data_that_is_not_there_or_not_known_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.jsonl");
    let line = json!({ "image": "none.png", "references": [{ "text": "a" }], "answer": "a." });
    fs::write(&file, format!("{line}\n")).unwrap();
    assert!(refused(&data(own(&file))).contains("none.png"));
    assert!(refused(&data(own(&folder.path().join("no.jsonl")))).contains("no.jsonl"));
    let refer = json!([{ "source": { "refer": {
        "root": folder.path(), "name": "refcoco", "split_by": "unc", "split": "train"
    } } }]);
    assert!(refused(&data(refer)).contains("refs(unc).p"));

    for (source, complaint) in [
        (json!({ "imagenet": {} }), "imagenet"),
        (
            json!({ "own": { "file": "a", "shuffle": true } }),
            "shuffle",
        ),
        (json!({ "own": {} }), "file"),
    ] {
        let config = json!({ "train": [{ "source": source }] });
        let error = serde_json::from_value::<DataConfig>(config).unwrap_err();
        assert!(error.to_string().contains(complaint), "{error}");
    }
}

fn train_config(start: &Path, steps: u64, change: impl Fn(&mut Value)) -> TrainConfig {
    let file = every_kind(start.parent().unwrap());
    let mut asked = stage("instruct", steps, 2);
    asked["data"] = json!({
        "train": own(&file), "validation": own(&file)
    });
    let mut config = json!({
        "name": "test", "seed": 3, "model": "tiny", "start": start, "stages": [asked],
        "checkpoint_every": 2, "validate_every": 2, "keep_checkpoints": 2
    });
    change(&mut config);
    serde_json::from_value(config).unwrap()
}

/// Writes a model folder to start from.
fn start(folder: &Path, context: &StageContext) -> PathBuf {
    let weights = model::<TestBackend>(&context.model, 8);
    let (config, tokenizer) = (context.model.clone(), context.tokenizer.clone());
    let anyref = AnyRef::new(config, weights, tokenizer, Default::default()).unwrap();
    let start = folder.join("start");
    anyref.save(&start, DType::F32).unwrap();
    start
}

#[test]
fn a_run_starts_from_a_model_learns_and_resumes() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let start = start(folder.path(), &context([64, 64], 2));
    let device = Default::default();
    let config = train_config(&start, 6, |_| ());
    let (straight, resumed) = (
        folder.path().join("straight"),
        folder.path().join("resumed"),
    );
    assert!(launch::<TrainBackend>(&config, &folders(&straight), None, &device).unwrap());
    assert!(!launch::<TrainBackend>(&config, &folders(&resumed), Some(3), &device).unwrap());
    assert!(launch::<TrainBackend>(&config, &folders(&resumed), None, &device).unwrap());
    let weights = |run: &Path| fs::read(run.join("model/model.safetensors")).unwrap();
    assert!(weights(&straight) == weights(&resumed), "the models differ");

    // Checkpoints hold the trained parameters and those missing from the start: the heads.
    let newest = newest(&straight.join("checkpoints")).unwrap().unwrap();
    let held = Checkpoint::open(newest.join("model.safetensors")).unwrap();
    let parts: BTreeSet<_> = held
        .tensors()
        .map(|tensor| tensor.name.trim_start_matches("anyref."))
        .map(|name| name.split('.').next().unwrap().to_owned())
        .collect();
    let expected = [
        "audio_projector",
        "box_projector",
        "heads",
        "llm",
        "mask_decoder",
        "mm_projector",
        "text_hidden_fcs",
    ];
    assert_eq!(parts, expected.map(str::to_owned).into());

    let metrics = fs::read_to_string(straight.join("metrics.jsonl")).unwrap();
    let losses: Vec<f64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["kind"] == "train")
        .map(|line| line["language"].as_f64().unwrap())
        .collect();
    assert_eq!(losses.len(), 6);
    assert!(losses[5] < losses[0], "{losses:?}");
    assert!(metrics.contains("\"validation\""));

    // The tokenizer and the frozen parameters are those of the start.
    let trained = AnyRef::<TestBackend>::load(&straight.join("model"), &device).unwrap();
    let before = AnyRef::<TestBackend>::load(&start, &device).unwrap();
    let text = "there is no dog<obj>";
    assert_eq!(
        trained.tokenizer.encode(text, true).unwrap(),
        before.tokenizer.encode(text, true).unwrap()
    );
    let patches = |anyref: &AnyRef<TestBackend>| {
        let patches = &anyref.model.vision_tower.clip().embeddings.patch_embedding;
        patches.weight.val().into_data().to_vec::<f32>().unwrap()
    };
    let (trained, before) = (patches(&trained), patches(&before));
    let pairs = trained.iter().zip(&before);
    // Exported in half precision.
    assert!(
        pairs
            .into_iter()
            .all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs().max(1e-3))
    );

    // The start must therefore be kept.
    let again = folder.path().join("again");
    let run = folders(&straight);
    assert_eq!(
        export_checkpoint::<TrainBackend>(&config, &run, Which::Newest, &again, &device).unwrap(),
        newest
    );
    let file = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(
        file(&again) == file(&straight.join("model")),
        "the exports differ"
    );
    fs::rename(&start, folder.path().join("elsewhere")).unwrap();
    let error = export_checkpoint::<TrainBackend>(&config, &run, Which::Newest, &again, &device)
        .unwrap_err();
    assert!(format!("{error:#}").contains("start"), "{error:#}");
}

#[test]
fn a_plan_counts_what_is_trained_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let start = start(folder.path(), &context([64, 64], 2));
    let mut config = train_config(&start, 3, |config| {
        config["stages"][0]["trainable"] = json!(["\\.lora_[ab]\\.", "text_hidden_fcs"]);
        config["stages"][0]["accumulation"] = json!(4);
    });
    config.model.lora = Some(Default::default());
    let run = folders(&folder.path().join("run"));
    let plan = Plan::new::<TrainBackend>(&config, &run, &Default::default()).unwrap();
    assert!(!run.run.exists());
    let [stage] = &plan.stages[..] else {
        panic!("one stage");
    };
    assert_eq!((stage.steps, stage.batch), (3, 8));
    let part = |name: &str| stage.parts.iter().find(|part| part.name == name).unwrap();
    let llm = &config.model.llm;
    // Adapters of rank 8 on q and v, whose widths are those of all heads and of half as many.
    let head = llm.hidden_size / llm.num_attention_heads;
    let outputs = [llm.num_attention_heads, llm.num_key_value_heads.unwrap()].map(|n| n * head);
    let adapters = outputs.map(|output| 8 * (llm.hidden_size + output));
    let layers = llm.num_hidden_layers;
    assert_eq!(part("llm").trained, layers * adapters.iter().sum::<usize>());
    assert_eq!(
        part("text_hidden_fcs").trained,
        part("text_hidden_fcs").parameters
    );
    assert_eq!(part("vision_tower").trained, 0);
    assert_eq!(
        part("llm").bytes(),
        4 * part("llm").parameters + 12 * part("llm").trained
    );
    let names: Vec<_> = stage
        .data
        .iter()
        .map(|(_, items, each)| (*items, *each))
        .collect();
    assert_eq!(names, [(5, 5), (5, 5)]);
    let text = plan.to_string();
    assert!(
        text.contains("good.jsonl: 5 items") && text.contains("TFLOP"),
        "{text}"
    );

    // The EMA of the trained parameters.
    let memory = part("llm").bytes();
    config.stages[0].ema_decay = Some(0.99);
    let plan = Plan::new::<TrainBackend>(&config, &run, &Default::default()).unwrap();
    let llm = plan.stages[0].parts.iter().find(|part| part.name == "llm");
    let llm = llm.unwrap();
    assert_eq!(llm.bytes(), memory + 4 * llm.trained);
    config.stages[0].ema_decay = None;

    // Copies of the model in half precision, and half of the bytes for activations.
    let kept = stage.activations.unwrap();
    config.stages[0].precision = Precision::Bf16;
    let plan = Plan::new::<TrainBackend>(&config, &run, &Default::default()).unwrap();
    let [half] = &plan.stages[..] else {
        panic!("one stage");
    };
    let part = |name: &str| half.parts.iter().find(|part| part.name == name).unwrap();
    let llm = part("llm");
    // Frozen parameters of `start` are held in half precision only.
    assert_eq!(llm.narrow, llm.parameters - llm.trained);
    assert_eq!(llm.copied, llm.trained);
    let heads = part("heads");
    assert_eq!((heads.copied, heads.bytes()), (0, 4 * heads.parameters));
    // Weight, gradient, two moments and a half-precision copy if trained; a half-precision weight
    // if frozen.
    let (trained, frozen) = (18 * llm.trained, 2 * (llm.parameters - llm.trained));
    assert_eq!(llm.bytes(), trained + frozen);
    assert_eq!(half.activations.unwrap() * 2.0, kept);
}

#[test]
fn adapters_start_afresh_on_a_model_without() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let start = start(folder.path(), &context([64, 64], 2));
    let mut config = train_config(&start, 1, |config| {
        config["stages"][0]["trainable"] = json!(["\\.lora_[ab]\\."]);
    });
    config.model.lora = Some(Default::default());
    // Dropout draws the same numbers whether or not a run was stopped.
    config.stages[0].steps = 4;
    let device = Default::default();
    let weights = |name: &str, stop: Option<u64>| {
        let run = folders(&folder.path().join(name));
        if stop.is_some() {
            assert!(!launch::<TrainBackend>(&config, &run, stop, &device).unwrap());
        }
        assert!(launch::<TrainBackend>(&config, &run, None, &device).unwrap());
        let trained = AnyRef::<TestBackend>::load(&run.run.join("model"), &device).unwrap();
        assert!(trained.model.llm.has_lora());
        fs::read(run.run.join("model/model.safetensors")).unwrap()
    };
    assert!(weights("straight", None) == weights("resumed", Some(2)));

    // Adapters alone are small.
    let out = folder.path().join("adapter");
    let run = folders(&folder.path().join("straight"));
    export_adapter::<TrainBackend>(&config, &run, Which::Newest, &out, &device).unwrap();
    let adapter = PeftAdapter::open(&out).unwrap();
    let layers = AnyRefConfig::tiny().llm.num_hidden_layers;
    assert_eq!(
        (adapter.saved().len(), adapter.projections().len()),
        (0, 2 * layers)
    );
    assert_eq!(adapter.checkpoint().len(), 4 * layers);
    assert!(out.join("tokenizer.json").is_file());
    config.model.lora = None;
    let error =
        export_adapter::<TrainBackend>(&config, &run, Which::Newest, &out, &device).unwrap_err();
    assert!(format!("{error:#}").contains("lora"), "{error:#}");
}

#[test]
fn the_model_is_that_of_the_start() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let context = context([64, 64], 2);
    let mut other = StageContext::new(context.model.clone(), context.tokenizer.clone(), 1).unwrap();
    other.model.llm.rms_norm_eps = 3e-4;
    other.model.vision_select_layer = -1;
    let start = start(folder.path(), &other);
    let config = train_config(&start, 1, |_| ());
    assert!(config.model.llm.rms_norm_eps < 1e-4);
    let run = folders(&folder.path().join("run"));
    let device = Default::default();
    assert!(launch::<TrainBackend>(&config, &run, None, &device).unwrap());
    let trained = AnyRef::<TestBackend>::load(&run.run.join("model"), &device).unwrap();
    assert_eq!(trained.config.llm.rms_norm_eps, 3e-4);
    assert_eq!(trained.config.vision_select_layer, -1);
}

#[test]
fn runs_that_cannot_be_meant_are_refused() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let start = start(folder.path(), &context([64, 64], 2));
    let says = |change: fn(&mut Value), expected: &str| {
        let config = train_config(&start, 1, change);
        let run = folders(&folder.path().join("refused"));
        let device = Default::default();
        let error = launch::<TrainBackend>(&config, &run, None, &device).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    };
    says(
        |config| config["stages"][0]["kind"] = json!("sam"),
        "only instruct takes `data`",
    );
    says(
        |config| config["stages"][0]["name_weight"] = json!(0.3),
        "`name_weight`",
    );
    says(
        |config| config["stages"][0]["data"]["train"] = json!([]),
        "`data.train` is empty",
    );
    says(|config| config["start"] = Value::Null, "`vocabulary`");
    says(
        |config| config["start"] = json!("/no/such/model"),
        "/no/such/model",
    );
    let run = folders(&folder.path().join("begun"));
    let device = Default::default();
    let begun = train_config(&start, 2, |_| ());
    assert!(!launch::<TrainBackend>(&begun, &run, Some(1), &device).unwrap());
    let other = train_config(&start, 2, |config| {
        config["stages"][0]["data"]["epoch"] = json!(3);
    });
    let error = launch::<TrainBackend>(&other, &run, None, &device).unwrap_err();
    assert!(error.to_string().contains("other `data`"), "{error}");
}

#[test]
fn the_papers_run_is_one_that_can_be_meant() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/anyref-7b.json");
    let config: TrainConfig = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    config.check().unwrap();
    assert!(!config.needs_scenes());
    let stage = &config.stages[0];
    assert_eq!(
        (stage.batch as u64 * stage.accumulation, stage.steps),
        (48, 10_000)
    );
    // Half precision and gradient checkpointing, as in the authors' script.
    assert!(stage.precision == Precision::Bf16 && stage.recompute_layers);
    // Pictures are counted, as in the authors' loaders, where items are sentences or categories of
    // a picture.
    let train = &stage.data.as_ref().unwrap().train;
    let (mut segmented, mut described) = (Vec::new(), Vec::new());
    for source in train {
        let per = match &source.source {
            Source::Refer { name, describe, .. } => {
                match *describe {
                    true => described.push(name.as_str()),
                    false => segmented.push(name.as_str()),
                }
                Per::Picture
            }
            Source::CocoPairs { .. } => Per::Picture,
            _ => Per::Item,
        };
        assert_eq!(source.per, per, "{source:?}");
    }
    assert_eq!(segmented, ["refcoco", "refcoco+", "refcocog", "refclef"]);
    assert_eq!(described, segmented);
    let lora = config.model.lora.unwrap();
    assert_eq!((lora.r, lora.alpha), (8, 16.0));
}

#[test]
fn the_run_from_lisa_is_the_papers_but_for_its_start() {
    let read = |name: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../configs")
            .join(name);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let (mut paper, lisa) = (read("anyref-7b.json"), read("anyref-7b-from-lisa.json"));
    let config: TrainConfig = serde_json::from_value(lisa.clone()).unwrap();
    config.check().unwrap();
    for field in ["name", "start"] {
        assert_ne!(paper[field], lisa[field]);
        paper[field] = lisa[field].clone();
    }
    assert_eq!(paper, lisa);
}

/// Sizes are known even without the paper's data.
#[test]
fn a_plan_without_data_says_all_that_is_missing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/anyref-7b.json");
    let mut config: TrainConfig = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    config.start = Some(folder.path().join("nowhere"));
    // The data sets are looked up below the crate, which has none.
    let run = folders(&folder.path().join("run"));
    let plan = Plan::new::<TrainBackend>(&config, &run, &Default::default()).unwrap();
    let data = config.stages[0].data.as_ref().unwrap();
    let lacking = &plan.lacking;
    assert_eq!(
        lacking.len(),
        1 + data.train.len() + data.validation.len(),
        "{lacking:?}"
    );
    assert!(lacking[0].contains("nowhere"), "{lacking:?}");
    let llm = plan.stages[0].parts.iter().find(|part| part.name == "llm");
    let llm = llm.unwrap();
    // LLaMA-7B with its added tokens, and adapters of rank 8 on queries and values of 32 layers.
    assert!(
        (6.7e9..6.8e9).contains(&(llm.parameters as f64)),
        "{}",
        llm.parameters
    );
    assert!(llm.trained > 32 * 2 * 8 * 2 * 4096);
    // Two bytes for each frozen weight; on a card of 40 GB this leaves room for everything not
    // counted.
    let all: usize = plan.stages[0].parts.iter().map(|part| part.bytes()).sum();
    let all = all as f64 + plan.stages[0].activations.unwrap();
    assert!((20e9..24e9).contains(&all), "{all}");
}

#[test]
fn presets_can_be_changed_in_some_places() {
    let of = |model: Value| -> Result<TrainConfig, serde_json::Error> {
        let mut config = serde_json::to_value(crate::support::train_config(Vec::new())).unwrap();
        config["model"] = model;
        serde_json::from_value(config)
    };
    let plain = of(json!("anyref-7b")).unwrap().model;
    let changed = of(json!({
        "preset": "anyref-7b", "lora": { "r": 16 }, "refocus_lambda": 0.2, "llm": { "num_hidden_layers": 2 }
    }));
    let changed = changed.unwrap().model;
    let [before, after] = [&plain, &changed].map(|model| model.lora.clone().unwrap());
    assert_eq!((before.r, after.r), (8, 16));
    assert_eq!((after.alpha, after.dropout), (before.alpha, before.dropout));
    assert_eq!(changed.refocus_lambda, 0.2);
    assert_eq!(changed.llm.num_hidden_layers, 2);
    assert_eq!(changed.llm.hidden_size, plain.llm.hidden_size);
    assert_eq!(changed.vision_tower, plain.vision_tower);
    for (model, expected) in [
        (json!("anyref-8b"), "there is no preset"),
        (json!({ "preset": 7 }), "`preset` is 7"),
        (json!({ "preset": "nano", "lamda": 1 }), "lamda"),
    ] {
        let error = of(model).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
