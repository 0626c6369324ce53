//! Adapters on a tiny Sa2VA from its authors' folder
//! (`anyref-core/tests/fixtures/export_sa2va.py`).

use std::fs;
use std::path::{Path, PathBuf};

use anyref_core::{AnyRef, AnyRefConfig, MaskImageEncoderConfig, Prompt, Question, Reference};
use anyref_core::{DESCRIBE_QUESTION, PromptConfig, Template};
use anyref_data::scenes::{Kind, Mask};
use anyref_llm::Tokenizer;
use anyref_train::config::TrainConfig;
use anyref_train::run::checkpoint::newest;
use anyref_train::run::{Plan, RunError, Which, draw_validation, export_checkpoint, launch};
use anyref_train::stages::{
    Asked, Example, ExampleReference, ExampleTarget, InstructBatch, StageContext, instruct_forward,
};
use anyref_vision::preprocess::open_image;
use anyref_weights::testing::Fixture;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use crate::common::TestBackend;
use crate::support::{TrainBackend, alone, folders, metrics};

fn fixture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-core/tests/fixtures");
    fixtures.join(name)
}

fn load(folder: &Path) -> AnyRef<TestBackend> {
    AnyRef::load(folder, &Default::default()).unwrap()
}

fn context(anyref: &AnyRef<TestBackend>) -> StageContext {
    let tokenizer = Tokenizer::from_folder(fixture("sa2va")).unwrap();
    StageContext::new(anyref.config.clone(), tokenizer, 1).unwrap()
}

fn shown() -> RgbImage {
    open_image(fixture("sa2va").join("picture.png")).unwrap()
}

/// Left half of a picture.
fn half(image: &RgbImage) -> Mask {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut mask = Mask::new(width, height);
    for (x, y) in (0..width / 2).flat_map(|x| (0..height).map(move |y| (x, y))) {
        mask.set(x, y);
    }
    mask
}

fn asking(image: &RgbImage, question: &str, references: &[Reference], answer: &str) -> Asked {
    let targets = (0..answer.matches("<obj>").count()).map(|_| ExampleTarget {
        mask: half(image),
        name: None,
        all_of_name: false,
    });
    let prepared = references.iter().map(|reference| match reference {
        Reference::Box(region) => ExampleReference::Box(*region),
        _ => ExampleReference::Text,
    });
    let example = Example {
        kind: Kind::Text,
        question: Question::build(question, references).unwrap(),
        references: prepared.collect(),
        answer: answer.into(),
        name_learned: true,
        targets: targets.collect(),
        absent: None,
        reference_name: None,
    };
    Asked {
        image: image.clone(),
        examples: vec![example],
    }
}

/// Question about words in the model's own form.
fn segmenting(words: &str) -> (String, Vec<Reference>) {
    let reference = Reference::Text(words.into());
    ("Please segment {1} in this image.".into(), vec![reference])
}

/// Pictures of seven tiles and of one, whose sequences differ in length, beside the numbers of the
/// composed reference: what is trained is what answers.
#[test]
fn teacher_forcing_gives_the_reference_s_words_and_masks() {
    let anyref = load(&fixture("sa2va"));
    let context = context(&anyref);
    let fixture = Fixture::open(fixture("expected_sa2va.safetensors"));
    let image = shown();
    let square = RgbImage::from_fn(24, 24, |x, y| Rgb([y as u8, x as u8, 9]));
    let (question, words) = segmenting("the red dog");
    let region = vec![Reference::Box([10.0, 5.0, 58.0, 38.0])];
    let described = PromptConfig::sa2va(Template::QwenChat)
        .questions
        .description();
    assert_ne!(described, DESCRIBE_QUESTION);
    let mut first = asking(&image, &question, &words, "<obj> and <obj>.");
    let second = asking(&image, described, &region, "red dog.");
    first.examples.extend(second.examples);
    let other = asking(&square, &question, &words, "Sure, <obj>.");
    let size = 4 * context.mask_grid;
    let mut found = Vec::new();
    for asked in [[other, first], {
        let first = asking(&image, &question, &words, "<obj> and <obj>.");
        [
            first,
            asking(
                &square,
                "Where is a cat in this image, if at all?",
                &[],
                "no.",
            ),
        ]
    }] {
        let batch = InstructBatch::new(&context, &asked, None, size).unwrap();
        let mut squares = batch.squares.clone();
        squares.sort_unstable();
        assert_eq!(squares, [1, 7]);
        let output = instruct_forward(&anyref.model, &batch, &Default::default());
        let row = batch.rows.len() - 2;
        let row = if batch.squares[0] == 7 { 0 } else { row };
        let chosen = output.logits.argmax(1).into_data();
        let chosen: Vec<usize> = chosen.iter::<i64>().map(|token| token as usize).collect();
        let answered = |row: usize| {
            let tokens = batch.predicted.iter().zip(&chosen);
            let tokens = tokens.filter(|(token, _)| token.row == row);
            tokens
                .map(|(token, &chosen)| (token.token, chosen))
                .collect::<Vec<_>>()
        };
        // The end of the answer too, and no line feed behind it.
        let tokens = answered(row);
        assert!(
            tokens.iter().all(|(written, chosen)| written == chosen),
            "{tokens:?}"
        );
        let end = anyref.tokenizer.token_id("<|im_end|>").unwrap();
        assert_eq!(tokens.last().unwrap().0, end as usize);
        if row > 0 {
            let tokens = answered(row + 1);
            assert!(
                tokens.iter().all(|(written, chosen)| written == chosen),
                "{tokens:?}"
            );
        }
        let (logits, targets) = output.masks.unwrap();
        let objects: Vec<usize> = (0..batch.objects.len())
            .filter(|&object| batch.objects[object].row == row)
            .collect();
        let pixels = size * size;
        let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let values = &values[objects[0] * pixels..][..2 * pixels];
        let expected: Vec<f32> = fixture.data("low").iter::<f32>().collect();
        let apart = values.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        println!("logits differ by {apart:.1e}");
        assert!(apart <= 1e-4, "{apart}");
        // The picture fills SAM 2's square.
        let targets: Vec<f32> = targets.into_data().iter::<f32>().collect();
        let target = &targets[objects[0] * pixels..][..pixels];
        for (index, &share) in target.iter().enumerate() {
            let inside = f32::from(u8::from(index % size < size / 2));
            assert!((share - inside).abs() < 1e-5, "{share} {inside}");
        }
        let estimates: Vec<f32> = output.estimates.unwrap().into_data().iter().collect();
        let scores: Vec<f32> = fixture.data("scores").iter::<f32>().collect();
        for (object, score) in objects.iter().zip(scores) {
            assert!((estimates[*object] - score).abs() < 1e-5);
        }
        found.push(values.to_vec());
    }
    let apart = found[0].iter().zip(&found[1]).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) < 1e-5);
}

/// Three questions about pictures of different numbers of tiles.
fn own_data(folder: &Path) -> PathBuf {
    let square = RgbImage::from_fn(30, 30, |x, y| Rgb([y as u8 * 8, x as u8 * 8, 90]));
    shown().save(folder.join("wide.png")).unwrap();
    square.save(folder.join("square.png")).unwrap();
    let polygon = |[x0, y0, x1, y1]: [u32; 4]| json!([[x0, y0, x1, y0, x1, y1, x0, y1]]);
    let lines = [
        json!({ "image": "wide.png", "references": [{ "text": "the cup" }],
            "question": "Please segment {1} in this image.",
            "answer": "Sure, <obj>.", "masks": [polygon([5, 5, 35, 30])] }),
        json!({ "image": "square.png", "references": [{ "text": "the lid" }],
            "question": "Please segment {1} in this image.",
            "answer": "Sure, <obj>.", "masks": [polygon([10, 10, 28, 28])] }),
        json!({ "image": "wide.png", "references": [{ "box": [20, 10, 50, 30] }],
            "question": PromptConfig::sa2va(Template::QwenChat).questions.description(),
            "answer": "a cat." }),
    ];
    let text = lines.map(|line| format!("{line}\n")).concat();
    fs::write(folder.join("own.jsonl"), text).unwrap();
    folder.join("own.jsonl")
}

fn adapting(file: &Path, steps: u64) -> TrainConfig {
    let source = json!([{ "source": { "own": { "file": file } } }]);
    let config = json!({
        "name": "test", "seed": 3, "start": fixture("sa2va"), "tiles": 4,
        "model": { "preset": "sa2va-1b", "lora": {
            "r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0,
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        } },
        "stages": [{
            "kind": "instruct", "steps": steps, "batch": 3, "learning_rate": 1e-2, "warmup": 2,
            "decay": "constant", "weight_decay": 0.0, "clip_norm": 1.0, "estimate_weight": 0.0,
            "trainable": ["\\.lora_[ab]\\.", "^anyref\\.(mm_projector|text_hidden_fcs|mask_decoder)\\."],
            "validation_scenes": 3,
            "data": { "train": source, "validation": source }
        }],
        "checkpoint_every": 2, "validate_every": 100, "keep_checkpoints": 2
    });
    serde_json::from_value(config).unwrap()
}

fn go(config: &TrainConfig, run: &Path, steps: Option<u64>) -> bool {
    launch::<TrainBackend>(config, &folders(run), steps, &Default::default()).unwrap()
}

fn refused(config: &TrainConfig, run: &Path) -> String {
    let run = folders(run);
    let error: RunError =
        launch::<TrainBackend>(config, &run, Some(1), &Default::default()).unwrap_err();
    let line = error.to_string();
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

/// Values of a loss over the steps.
fn losses(run: &Path, name: &str) -> Vec<f64> {
    let lines = metrics(run).into_iter();
    let steps = lines.filter(|line| line["kind"] == "train");
    steps
        .map(|line: Value| line[name].as_f64().unwrap())
        .collect()
}

#[test]
fn adapters_learn_are_saved_and_answer() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let (run, file) = (folder.path().join("run"), own_data(folder.path()));
    let config = adapting(&file, 240);
    assert!(go(&config, &run, None));
    for (name, share) in [("language", 0.2), ("bce", 0.5), ("dice", 0.6)] {
        let losses = losses(&run, name);
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        println!("{name}: {first} to {last}");
        assert!(last < share * first, "{name}: {losses:?}");
    }
    // Frozen weights are the folder's, but for their rounding.
    let (before, trained) = (load(&fixture("sa2va")), load(&run.join("model")));
    assert!(trained.model.llm.has_lora() && !before.model.llm.has_lora());
    assert_eq!(trained.config.image_tokens(), 5 * 9);
    let weights = |anyref: &AnyRef<TestBackend>| {
        let layer = &anyref.model.llm.model.layers[0].self_attn.q_proj.base_layer;
        layer
            .weight
            .val()
            .into_data()
            .iter::<f32>()
            .collect::<Vec<_>>()
    };
    let pairs = weights(&before).into_iter().zip(weights(&trained));
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-3));

    let mut trained = trained;
    trained.generation.max_new_tokens = 8;
    let image = shown();
    let picture = trained.picture(&image).unwrap();
    let cup = Prompt::new([Reference::Text("the cup".into())]);
    let answer = trained.segment(&picture, &cup).unwrap();
    assert_eq!(answer.raw, "Sure, <obj>.");
    let truth: Vec<bool> = (0..40 * 60)
        .map(|index| (5..35).contains(&(index % 60)) && (5..30).contains(&(index / 60)))
        .collect();
    let truth = anyref_decoder::rle::Rle::from_mask(&truth, [40, 60]).unwrap();
    let iou = answer.masks[0].rle.iou(&truth).unwrap();
    println!("IoU {iou}");
    assert!(iou > 0.5, "{iou}");
    let region = Prompt::new([Reference::Box([20.0, 10.0, 50.0, 30.0])]);
    assert_eq!(trained.describe(&picture, &region).unwrap().raw, "a cat.");

    let sheet = folder.path().join("sheet.png");
    let device = Default::default();
    let drawn = draw_validation::<TrainBackend>(&config, &folders(&run), 2, &sheet, &device);
    assert_eq!(drawn.unwrap(), 2);
}

#[test]
fn a_stopped_run_goes_on_as_if_it_had_not_been() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = own_data(folder.path());
    let config = adapting(&file, 5);
    let [straight, resumed] = ["straight", "resumed"].map(|name| folder.path().join(name));
    assert!(go(&config, &straight, None));
    assert!(!go(&config, &resumed, Some(3)));
    assert!(go(&config, &resumed, None));
    assert_eq!(metrics(&straight), metrics(&resumed));
    let ends = [&straight, &resumed].map(|run| newest(&run.join("checkpoints")));
    let ends = ends.map(|end| end.unwrap().unwrap());
    for name in ["model.safetensors", "optimizer.safetensors"] {
        let [a, b] = ends.each_ref().map(|end| fs::read(end.join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
    let exported = |run: &Path| fs::read(run.join("model/model.safetensors")).unwrap();
    assert!(exported(&straight) == exported(&resumed));
    // A checkpoint holds what is trained, and can be exported again.
    let again = folder.path().join("again");
    let run = folders(&straight);
    export_checkpoint::<TrainBackend>(&config, &run, Which::Newest, &again, &Default::default())
        .unwrap();
    assert!(fs::read(again.join("model.safetensors")).unwrap() == exported(&straight));
    let kept = fs::metadata(ends[0].join("model.safetensors"))
        .unwrap()
        .len();
    assert!(
        kept < fs::metadata(fixture("sa2va/model.safetensors"))
            .unwrap()
            .len()
    );
}

/// Layers that are recomputed, features that are kept, and a start that `anyref assemble` has
/// written give the losses of the plain run.
#[test]
fn other_ways_to_compute_give_the_same_losses() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = own_data(folder.path());
    let at = |name: &str| folder.path().join(name);
    load(&fixture("sa2va"))
        .save(&at("own"), burn::tensor::DType::F32)
        .unwrap();
    let plain = adapting(&file, 3);
    assert!(go(&plain, &at("plain"), None));
    let names = ["language", "bce", "dice"];
    let expected = names.map(|name| losses(&at("plain"), name));
    type Change<'a> = &'a dyn Fn(&mut TrainConfig);
    let changes: [(&str, Change<'_>); 4] = [
        ("layers", &|config| config.stages[0].recompute_layers = true),
        ("all", &|config| config.stages[0].recompute = true),
        ("features", &|config| {
            let cache = json!({ "folder": at("kept"), "gigabytes": 1.0 });
            config.stages[0].features = Some(serde_json::from_value(cache).unwrap());
        }),
        ("start", &|config| config.start = Some(at("own"))),
    ];
    for (name, change) in changes {
        let mut config = plain.clone();
        change(&mut config);
        assert!(go(&config, &at(name), None));
        for (loss, expected) in names.iter().zip(&expected) {
            let found = losses(&at(name), loss);
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found / expected - 1.0).abs() < 1e-4,
                    "{name}: {found} {expected}"
                );
            }
        }
    }
    let kept = fs::read_dir(at("kept")).unwrap().count();
    assert_eq!(kept, 1, "the tower's features alone");
}

#[test]
fn what_a_sa2va_cannot_learn_is_refused_in_one_line() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = own_data(folder.path());
    let says = |change: &dyn Fn(&mut TrainConfig), expected: &str| {
        let mut config = adapting(&file, 2);
        change(&mut config);
        let run = tempfile::tempdir().unwrap();
        let line = refused(&config, run.path());
        assert!(line.contains(expected), "{line}");
    };
    says(&|config| config.tiles = Some(0), "max_dynamic_patch");
    says(&|config| config.tiles = Some(300), "max_dynamic_patch");
    says(
        &|config| {
            config.shapes = true;
            config.stages[0].data = None;
            config.stages[0].absent_weight = 0.1;
        },
        "`absent_weight` of stage instruct is for models",
    );
    says(
        &|config| {
            let clip = json!({
                "kind": "clip", "steps": 1, "batch": 1, "learning_rate": 1e-3, "warmup": 1,
                "weight_decay": 0.0, "clip_norm": 1.0, "trainable": ["^anyref"], "validation_scenes": 1
            });
            config.shapes = true;
            config.stages = vec![serde_json::from_value(clip).unwrap()];
        },
        "stage clip is of CLIP and SAM",
    );
    says(
        &|config| {
            config.shapes = true;
            config.stages[0].data = None;
            config.stages[0].reference_weight = 1.0;
        },
        "`reference_weight` of stage instruct is for models of CLIP and SAM",
    );
    // A picture as a reference, which the model has no features for.
    let text = fs::read_to_string(&file).unwrap();
    let line = json!({ "image": "wide.png", "references": [{ "image": "square.png" }],
        "answer": "Sure, <obj>.", "masks": [[[5, 5, 35, 5, 35, 30]]] });
    fs::write(&file, format!("{line}\n")).unwrap();
    says(&|_| {}, "reads no picture references");
    fs::write(&file, text).unwrap();
    says(&|config| config.start = Some(fixture("glamm")), "glamm");
    says(
        &|config| config.start = Some(folder.path().join("nowhere")),
        "nowhere",
    );
}

/// Sizes of the published model are known without it.
#[test]
fn a_dry_run_counts_the_published_model() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/sa2va-1b.json");
    let mut config: TrainConfig = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    config.start = Some(folder.path().join("nowhere"));
    let run = folders(&folder.path().join("run"));
    let plan = Plan::new::<TrainBackend>(&config, &run, &Default::default()).unwrap();
    println!("{plan}");
    assert!(plan.lacking[0].contains("nowhere"), "{:?}", plan.lacking);
    let stage = &plan.stages[0];
    let part = |name: &str| stage.parts.iter().find(|part| part.name == name).unwrap();
    let of = &config.model.llm;
    let (hidden, inner) = (of.hidden_size, of.intermediate_size);
    // Queries and outputs as wide as the model, keys and values of 2 of 14 heads.
    let narrow = hidden / 14 * 2;
    let ends = 2 * (hidden + hidden) + 2 * (hidden + narrow) + 3 * (hidden + inner);
    let rank = config.model.lora.as_ref().unwrap().r;
    assert_eq!(part("llm").trained, of.num_hidden_layers * rank * ends);
    assert_eq!(part("vision_tower").trained, 0);
    assert_eq!(part("image_encoder").trained, 0);
    assert_eq!(part("prompt_encoder").trained, 0);
    for whole in ["mm_projector", "text_hidden_fcs", "mask_decoder"] {
        assert_eq!(part(whole).trained, part(whole).parameters, "{whole}");
    }
    assert!((3.0e8..3.1e8).contains(&(part("vision_tower").parameters as f64)));
    assert!((2.1e8..2.2e8).contains(&(part("image_encoder").parameters as f64)));
    let all: usize = stage.parts.iter().map(|part| part.bytes()).sum();
    let all = all as f64 + stage.activations.unwrap();
    assert!((3e9..9e9).contains(&all), "{all}");
    let AnyRefConfig { image_encoder, .. } = &config.model;
    assert!(matches!(
        image_encoder,
        Some(MaskImageEncoderConfig::Sam2(_))
    ));
}
