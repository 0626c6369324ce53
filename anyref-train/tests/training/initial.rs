//! Parts initialised from trained weights.

use std::fs;
use std::path::Path;

use anyref_ops::testing::fill;
use anyref_train::Trainee;
use anyref_train::config::{InitialWeights, TrainConfig};
use anyref_train::run::checkpoint::{load_parts, newest};
use anyref_train::run::launch;
use anyref_weights::{SaveOptions, save_module};

use crate::support::{TrainBackend, alone, context, folders, stage, train_config, weights};

fn values<const D: usize>(tensor: burn::tensor::Tensor<TrainBackend, D>) -> Vec<f32> {
    tensor.into_data().to_vec().unwrap()
}

fn neck(trainee: &Trainee<TrainBackend>) -> Vec<f32> {
    values(
        trainee
            .anyref
            .mask_branch()
            .image_encoder
            .neck
            .conv1
            .weight
            .val(),
    )
}

fn patches(trainee: &Trainee<TrainBackend>) -> Vec<f32> {
    let embeddings = &trainee.anyref.vision_tower.clip().embeddings;
    values(embeddings.patch_embedding.weight.val())
}

fn prompts(trainee: &Trainee<TrainBackend>) -> Vec<f32> {
    values(trainee.heads.prompts.weight.val())
}

fn temperature(trainee: &Trainee<TrainBackend>) -> Vec<f32> {
    values(trainee.heads.logit_scale.val())
}

#[test]
fn named_parts_are_read_and_the_others_kept() {
    let _turn = alone();
    let context = context([64, 64], 2);
    let device = Default::default();
    let new = || Trainee::<TrainBackend>::new(&context.model, context.name_count(), &device);
    let (trained, fresh) = (fill(new(), 5, 0.3), fill(new(), 6, 0.3));
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint.safetensors");
    save_module(&trained, &checkpoint, &SaveOptions::default()).unwrap();

    // A part may be modules or a parameter.
    let parts = ["image_encoder", "heads.prompts", "heads.logit_scale"].map(str::to_owned);
    let (loaded, names) = load_parts(&checkpoint, &parts, fresh.clone()).unwrap();
    assert!(names.contains(&"heads.prompts.weight".to_owned()));
    assert!(
        names
            .iter()
            .all(|name| parts.iter().any(|part| name.contains(part.as_str())))
    );
    assert!(neck(&loaded) == neck(&trained));
    assert!(prompts(&loaded) == prompts(&trained));
    assert_eq!(temperature(&loaded), temperature(&trained));
    assert!(patches(&loaded) == patches(&fresh));
    assert!(patches(&loaded) != patches(&trained));

    // A model's own file has no heads and no prefix.
    let model = folder.path().join("model.safetensors");
    save_module::<TrainBackend, _>(&trained.anyref, &model, &SaveOptions::default()).unwrap();
    let (loaded, _) = load_parts(&model, &parts[..1], fresh.clone()).unwrap();
    assert!(neck(&loaded) == neck(&trained));

    for (path, part, complaint) in [
        (&model, "heads.prompts", "heads.prompts.weight"),
        (&checkpoint, "image_decoder", "no part \"image_decoder\""),
        (&folder.path().join("none"), "llm", "there is no"),
    ] {
        let error = load_parts(path, &[part.to_owned()], fresh.clone()).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(complaint), "{part}: {error}");
    }
}

/// Embeddings of another vocabulary would be read without an error.
#[test]
fn a_language_model_brings_its_tokenizer() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, vocabulary: usize, initial: Vec<InitialWeights>| {
        let mut config = train_config(vec![stage("clip", 1, 1)]);
        config.vocabulary = vocabulary;
        config.initial = initial;
        let run = folder.path().join(name);
        assert!(
            launch::<TrainBackend>(&config, &folders(&run), None, &Default::default()).unwrap()
        );
        fs::read_to_string(run.join("tokenizer.json")).unwrap()
    };
    let first = run("first", 560, vec![]);
    let model = folder.path().join("first/model");
    let checkpoint = newest(&folder.path().join("first/checkpoints"));
    let checkpoint = checkpoint.unwrap().unwrap();
    let take = |from: &Path, part: &str| InitialWeights {
        from: from.into(),
        parts: vec![part.into()],
    };
    assert!(run("same", 400, vec![take(&model, "llm")]) == first);
    assert!(run("part", 400, vec![take(&checkpoint, "llm.model")]) == first);
    assert!(run("other", 400, vec![take(&model, "image_encoder")]) != first);

    fs::remove_file(model.join("tokenizer.json")).unwrap();
    let alone = folder.path().join("alone");
    fs::rename(&model, &alone).unwrap();
    let mut config = train_config(vec![stage("clip", 1, 1)]);
    config.initial = vec![take(&alone, "llm")];
    let run = folders(&folder.path().join("none"));
    let error = launch::<TrainBackend>(&config, &run, None, &Default::default()).unwrap_err();
    assert!(error.to_string().contains("no tokenizer"), "{error}");
}

/// Checkpoints leave out the weights of the run's start, but not those trained since.
#[test]
fn what_was_trained_is_kept_where_it_is_trained_no_more() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let go = |config: &TrainConfig, name: &str, steps: Option<u64>| {
        let run = folders(&at(name));
        launch::<TrainBackend>(config, &run, steps, &Default::default()).unwrap()
    };
    go(&train_config(vec![stage("sam", 1, 1)]), "first", None);
    let mut config = train_config(vec![stage("sam", 6, 1)]);
    config.initial = vec![InitialWeights {
        from: newest(&at("first/checkpoints")).unwrap().unwrap(),
        parts: vec!["image_encoder".into()],
    }];
    go(&config, "run", Some(2));
    let encoder = || {
        let all = weights(&at("run")).into_iter();
        all.filter(|(name, _)| name.contains("image_encoder"))
            .collect::<Vec<_>>()
    };
    let learned = encoder();
    assert!(!learned.is_empty());
    config.stages[0].trainable = vec!["^anyref\\.mask_decoder\\.".into()];
    for _ in 0..2 {
        go(&config, "run", Some(1));
        assert!(encoder() == learned);
    }
}
