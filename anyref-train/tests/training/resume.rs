//! Check that a stopped and resumed run equals an uninterrupted one.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyref_core::{AnyRef, Prompt, Reference};
use anyref_data::scenes::{Scenes, Split};
use anyref_train::run::checkpoint::{newest, position};
use anyref_train::run::launch;
use anyref_train::run::{Which, export_checkpoint};
use serde_json::Value;

use crate::common::TestBackend;
use crate::support::{TrainBackend, alone, folders, metrics, stage, train_config, values};

fn last(run: &Path) -> PathBuf {
    newest(&run.join("checkpoints")).unwrap().unwrap()
}

#[test]
fn four_and_four_steps_are_eight() {
    let _turn = alone();
    let device = Default::default();
    let config = train_config(vec![stage("clip", 3, 2), stage("instruct", 5, 2)]);
    let straight = tempfile::tempdir().unwrap();
    let straight = straight.path();
    assert!(launch::<TrainBackend>(&config, &folders(straight), None, &device).unwrap());

    let resumed = tempfile::tempdir().unwrap();
    let resumed = resumed.path();
    assert!(!launch::<TrainBackend>(&config, &folders(resumed), Some(4), &device).unwrap());
    assert!(last(resumed).ends_with("stage-1-step-00000001"));
    assert!(!resumed.join("model").exists());
    // Leftovers of a kill in the middle of the next step, checkpoint, deletion and line.
    for partial in [
        "stage-1-step-00000002.partial",
        "stage-0-step-00000003.old.partial",
    ] {
        let partial = resumed.join("checkpoints").join(partial);
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join("model.safetensors"), b"half of").unwrap();
        fs::write(partial.join("live.safetensors"), b"of another").unwrap();
    }
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(resumed.join("metrics.jsonl"))
        .unwrap();
    log.write_all(
        b"{\"kind\":\"train\",\"stage\":1,\"step\":1,\"language\":99.0}\n{\"kind\":\"tra",
    )
    .unwrap();
    drop(log);
    assert!(launch::<TrainBackend>(&config, &folders(resumed), None, &device).unwrap());

    let ends = [last(straight), last(resumed)];
    assert!(
        ends.iter()
            .all(|end| end.ends_with("stage-1-step-00000005"))
    );
    let files = |end: &PathBuf| {
        let files = fs::read_dir(end).unwrap();
        files
            .map(|file| file.unwrap().file_name())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(files(&ends[0]), files(&ends[1]));
    assert_eq!(files(&ends[0]).len(), 3);
    for name in [
        "model.safetensors",
        "optimizer.safetensors",
        "position.json",
    ] {
        let [a, b] = ends.each_ref().map(|end| fs::read(end.join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
    let exported = |run: &Path| fs::read(run.join("model/model.safetensors")).unwrap();
    assert!(exported(straight) == exported(resumed), "the models differ");

    let lines = metrics(resumed);
    assert_eq!(lines, metrics(straight));
    let key = |line: &Value| {
        (
            line["kind"].to_string(),
            line["stage"].as_u64(),
            line["step"].as_u64(),
        )
    };
    let keys: BTreeSet<_> = lines.iter().map(key).collect();
    assert_eq!(keys.len(), lines.len(), "a step is logged twice");
    assert_eq!(
        lines.iter().filter(|line| line["kind"] == "train").count(),
        8
    );
    // After steps 2 and 3 of the first stage, and 2, 4 and 5 of the second.
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["kind"] == "validation")
            .count(),
        5
    );

    // A complete run is left unchanged.
    assert!(launch::<TrainBackend>(&config, &folders(resumed), None, &device).unwrap());
    assert!(exported(straight) == exported(resumed));
    assert_eq!(lines, metrics(resumed));

    answers(resumed, &config);
}

/// The checkpoint of the best validation is kept and exported, though it is not the last.
#[test]
fn the_best_is_kept() {
    let _turn = alone();
    let device = Default::default();
    let mut asked = stage("clip", 6, 2);
    // Steps large enough to undo earlier training.
    asked["learning_rate"] = 1.0.into();
    let mut config = train_config(vec![asked]);
    config.validate_every = 1;
    config.checkpoint_every = 1;
    config.keep_checkpoints = 9;
    let run = tempfile::tempdir().unwrap();
    let run = run.path();
    assert!(launch::<TrainBackend>(&config, &folders(run), None, &device).unwrap());
    let lines = metrics(run).into_iter();
    let scores = lines.filter(|line| line["kind"] == "validation");
    let score = |line: Value| {
        let fields = line.as_object().unwrap().iter();
        let mut scores = fields.filter(|(name, _)| !["kind", "stage", "step"].contains(&&***name));
        (
            line["step"].as_u64().unwrap(),
            scores.next().unwrap().1.as_f64().unwrap(),
        )
    };
    let scores: Vec<_> = scores.map(score).collect();
    assert_eq!(scores.len(), 6);
    let out = run.join("out");
    let best =
        export_checkpoint::<TrainBackend>(&config, &folders(run), Which::Best, &out, &device);
    let best = position(&best.unwrap()).unwrap();
    let highest = scores
        .iter()
        .map(|(_, score)| *score)
        .fold(f64::MIN, f64::max);
    let first = scores
        .iter()
        .find(|(_, score)| *score == highest)
        .unwrap()
        .0;
    assert_eq!(best.step, first);
    let at = run
        .join("checkpoints")
        .join(format!("stage-0-step-{first:08}"));
    assert!(
        values(
            &run.join("best")
                .join(at.file_name().unwrap())
                .join("model.safetensors")
        ) == values(&at.join("model.safetensors"))
    );
    AnyRef::<TestBackend>::load(&out, &device).unwrap();
}

/// The exported folder is a model that answers, and exporting a checkpoint writes the same.
fn answers(run: &Path, config: &anyref_train::config::TrainConfig) {
    let device = Default::default();
    let mut anyref = AnyRef::<TestBackend>::load(&run.join("model"), &device).unwrap();
    anyref.generation.max_new_tokens = 3;
    let scene = Scenes::shapes(config.scenes.clone())
        .unwrap()
        .scene(Split::Validation, 0);
    let picture = anyref.picture(&scene.image).unwrap();
    let region = Prompt::new([Reference::Box(scene.objects[0].bounds)]);
    anyref.segment(&picture, &region).unwrap();

    let out = run.join("again");
    let from =
        export_checkpoint::<TrainBackend>(config, &folders(run), Which::Newest, &out, &device)
            .unwrap();
    assert_eq!(from, last(run));
    for name in ["model.safetensors", "config.json", "tokenizer.json"] {
        let [a, b] =
            [run.join("model"), out.clone()].map(|folder| fs::read(folder.join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
}

#[test]
fn stopping_counts_the_steps_of_all_stages_and_keeps_few_checkpoints() {
    let _turn = alone();
    let device = Default::default();
    let mut config = train_config(vec![stage("sam", 2, 1), stage("clip", 2, 1)]);
    config.keep_checkpoints = 0;
    let run = tempfile::tempdir().unwrap();
    let run = folders(run.path());
    let go = |steps| launch::<TrainBackend>(&config, &run, Some(steps), &device).unwrap();
    assert!(!go(2));
    assert!(last(&run.run).ends_with("stage-0-step-00000002"));
    assert!(!go(1));
    assert!(go(1));
    assert!(last(&run.run).ends_with("stage-1-step-00000002"));
    assert_eq!(
        fs::read_dir(run.run.join("checkpoints")).unwrap().count(),
        1
    );
}

#[test]
fn adapters_are_trained_and_exported() {
    let _turn = alone();
    let device = Default::default();
    let mut asked = stage("instruct", 1, 1);
    asked["trainable"] = serde_json::json!(["lora_"]);
    asked["validation_scenes"] = 1.into();
    let mut config = train_config(vec![asked]);
    config.model.lora = Some(Default::default());
    let run = tempfile::tempdir().unwrap();
    assert!(launch::<TrainBackend>(&config, &folders(run.path()), None, &device).unwrap());
    let anyref = AnyRef::<TestBackend>::load(&run.path().join("model"), &device).unwrap();
    assert!(anyref.model.llm.has_lora());
}
