//! Ablation of the tiny model on shapes, from its file to its table.

use std::fs;

use anyref_data::scenes::{Kind, KindWeights, SceneConfig, Scenes, Split};
use anyref_eval::EvalKind;
use anyref_train::Stage;
use anyref_train::ablation::{AblationConfig, RunResult, ablate, table};
use anyref_train::stages::{InstructStage, SceneContext, StageContext};
use serde_json::{Value, json};

use crate::support::{TrainBackend, alone, context, folders, stage, stage_config, train_config};

fn ablation() -> Value {
    let mut base = stage("instruct", 1, 1);
    base["validation_scenes"] = 1.into();
    json!({
        "name": "test",
        "base": train_config(vec![base]),
        "variants": [
            { "name": "base" },
            { "name": "lambda-0", "changes": { "model": { "refocus_lambda": 0.0 } } },
            {
                "name": "audio-alone", "kinds": ["audio"],
                "changes": { "instructions": { "weights": {
                    "text": 0, "box_to_text": 0, "image": 0, "mixed": 0, "absent": 0
                } } }
            }
        ],
        "seeds": [1, 2],
        "evaluation": { "kinds": ["text", "audio"], "scenes": 1 }
    })
}

fn parsed(config: Value) -> AblationConfig {
    serde_json::from_value(config).unwrap()
}

#[test]
fn changes_reach_the_configurations_of_the_runs() {
    let config = parsed(ablation());
    config.check().unwrap();
    let [base, lambda, audio] = &config.variants[..] else {
        panic!("three variants");
    };
    let training = |variant, seed| config.training(variant, seed).unwrap();
    assert_eq!(training(base, 1).model.refocus_lambda, 0.1);
    let changed = training(lambda, 2);
    assert_eq!(changed.model.refocus_lambda, 0.0);
    assert_eq!((changed.seed, changed.scenes.seed), (2, 2));
    assert_eq!(changed.name, "test-lambda-0-2");
    // Nothing else differs.
    let mut same = changed.clone();
    same.model.refocus_lambda = 0.1;
    same.name = "test-base-2".into();
    let text = |config| serde_json::to_string(&config).unwrap();
    assert_eq!(text(same), text(training(base, 2)));
    let weights = training(audio, 1).instructions.weights;
    assert_eq!((weights.text, weights.audio), (0.0, 1.5));
    assert_eq!(config.kinds(audio), [EvalKind::Audio]);
}

#[test]
fn what_could_only_fail_later_is_refused() {
    let refused = |change: fn(&mut Value), complaint: &str| {
        let mut config = ablation();
        change(&mut config);
        let message = format!("{:#}", parsed(config).check().unwrap_err());
        assert!(message.contains(complaint), "{message}");
    };
    refused(|c| c["seeds"] = json!([]), "no `seeds`");
    refused(|c| c["seeds"] = json!([1, 1]), "twice");
    refused(|c| c["variants"][1]["name"] = json!("base"), "two variants");
    refused(|c| c["variants"][1]["name"] = json!("../x"), "folder");
    refused(
        |c| c["variants"][2]["kinds"] = json!(["box"]),
        "asked nothing",
    );
    refused(
        |c| c["variants"][1]["changes"] = json!({ "lambda": 0 }),
        "\"lambda-0\" is no training configuration",
    );
    refused(
        |c| c["variants"][1]["changes"] = json!({ "stages": [] }),
        "variant \"lambda-0\": the configuration trains nothing",
    );
    refused(|c| c["base"] = json!("none.json"), "cannot read none.json");
}

#[test]
fn runs_are_done_once_and_told_in_a_table() {
    let _turn = alone();
    let device = Default::default();
    let config = parsed(ablation());
    let out = tempfile::tempdir().unwrap();
    let folder = folders(out.path());
    let first = ablate::<TrainBackend>(&config, &folder, &(), &device).unwrap();
    let read = |name: &str| fs::read_to_string(out.path().join(name)).unwrap();
    assert_eq!(read("table.md"), first);
    let lines = read("results.jsonl");
    let results: Vec<RunResult> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(first, table(&config, &results));
    let runs: Vec<_> = results
        .iter()
        .map(|run| (run.variant.as_str(), run.seed, run.kinds.len()))
        .collect();
    let expected = [("base", 2), ("lambda-0", 2), ("audio-alone", 1)];
    let expected = [1, 2].map(|seed| expected.map(|(name, kinds)| (name, seed, kinds)));
    assert_eq!(runs, expected.concat());

    // Finished runs need nothing else; a run that lost its result is repeated with the same result.
    fs::remove_dir_all(out.path().join("base/seed-1/model")).unwrap();
    fs::remove_dir_all(out.path().join("base/seed-1/checkpoints")).unwrap();
    fs::remove_dir_all(out.path().join("lambda-0/seed-2")).unwrap();
    assert_eq!(
        ablate::<TrainBackend>(&config, &folder, &(), &device).unwrap(),
        first
    );
    assert_eq!(read("results.jsonl"), lines);
    assert!(!out.path().join("base/seed-1/model").exists());

    let mut other = ablation();
    other["variants"][1]["changes"]["model"]["refocus_lambda"] = json!(0.3);
    let error = ablate::<TrainBackend>(&parsed(other), &folder, &(), &device).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("lambda-0/seed-1 is of another"),
        "{message}"
    );
}

#[test]
fn scenes_without_an_occasion_for_a_question_give_way_to_others() {
    let given = context([64, 64], 2);
    let mut asked = given.instructions.clone();
    asked.weights = KindWeights::only(Kind::Mixed);
    // An object alone is beside no other.
    let scenes = Scenes::shapes(SceneConfig {
        objects: [1, 2],
        ..given.scenes.config().clone()
    })
    .unwrap();
    let without = (0..8).filter(|&index| {
        let scene = scenes.scene(Split::Train, index);
        scenes.instructions(&scene, &asked, 0).is_empty()
    });
    assert!(without.count() > 0, "every scene has an occasion");
    let inner = StageContext::new(given.model.clone(), given.tokenizer.clone(), 1).unwrap();
    let context = SceneContext::new(inner, scenes, asked);
    let stage = InstructStage::new(&context, stage_config("instruct", 1, 8)).unwrap();
    let batch = |step| Stage::<TrainBackend>::batch(&stage, step);
    let first = batch(0).unwrap();
    assert!(first.kinds.iter().all(|kind| *kind == Kind::Mixed));
    assert_eq!((first.tower.len(), first.kinds.len()), (8, 16));
    let again = batch(0).unwrap();
    assert!(first.masks == again.masks && first.predicted == again.predicted);
    drop(stage);

    let mut nothing = context;
    let weights = KindWeights::only(Kind::Mixed);
    nothing.instructions.weights = KindWeights {
        mixed: 0.0,
        ..weights
    };
    let stage = InstructStage::new(&nothing, stage_config("instruct", 1, 8)).unwrap();
    let error = Stage::<TrainBackend>::batch(&stage, 0).unwrap_err();
    assert!(
        error.to_string().contains("instructions.weights"),
        "{error}"
    );
}
