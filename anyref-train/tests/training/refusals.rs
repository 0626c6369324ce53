//! Refusals of runs that cannot be what was meant.

use anyref_core::AnyRefConfig;
use anyref_train::config::{InitialWeights, TrainConfig};
use anyref_train::run::launch;
use anyref_train::run::{Which, export_checkpoint};
use serde_json::json;

use crate::support::{TrainBackend, alone, folders, stage, train_config};

fn refused(config: &TrainConfig, run: &std::path::Path) -> String {
    let device = Default::default();
    let error = launch::<TrainBackend>(config, &folders(run), Some(0), &device).unwrap_err();
    format!("{error:#}")
}

#[test]
fn a_run_goes_on_with_its_own_model_and_data_only() {
    let _turn = alone();
    let run = tempfile::tempdir().unwrap();
    let config = train_config(vec![stage("sam", 2, 1)]);
    let device = Default::default();
    let start = |config: &TrainConfig| {
        launch::<TrainBackend>(config, &folders(run.path()), Some(0), &device)
    };
    assert!(!start(&config).unwrap());
    let other = |change: fn(&mut TrainConfig), field: &str| {
        let mut config = config.clone();
        change(&mut config);
        let message = refused(&config, run.path());
        assert!(message.contains(&format!("another `{field}`")), "{message}");
    };
    other(|config| config.seed = 4, "seed");
    other(|config| config.model.llm.num_hidden_layers = 3, "model");
    other(|config| config.scenes.seed = 9, "scenes");
    fn weights() -> InitialWeights {
        InitialWeights {
            from: "elsewhere".into(),
            parts: vec!["vision_tower".into()],
        }
    }
    other(|config| config.initial.push(weights()), "initial");
    // Settings of answers do not affect training.
    let mut answering = config.clone();
    answering.model.candidates.count = 3;
    answering.model.min_mask_score = 0.5;
    answering.model.max_history_turns = Some(2);
    assert!(!start(&answering).unwrap());
    // More steps do not make it another run.
    assert!(!start(&train_config(vec![stage("sam", 5, 1)])).unwrap());

    let nothing = export_checkpoint::<TrainBackend>(
        &config,
        &folders(run.path()),
        Which::Newest,
        &run.path().join("out"),
        &device,
    );
    assert!(nothing.unwrap_err().to_string().contains("train first"));
}

#[test]
fn a_configuration_must_train_something() {
    let _turn = alone();
    let run = tempfile::tempdir().unwrap();
    let says = |config: &TrainConfig, expected: &str| {
        let message = refused(config, run.path());
        assert!(message.contains(expected), "{message}");
    };
    says(&train_config(Vec::new()), "trains nothing");
    let mut config = train_config(vec![stage("instruct", 2, 1)]);
    config.model = AnyRefConfig::sa2va_1b();
    says(
        &config,
        "its tokenizer comes with its folder: give that as `start`",
    );
    let mut config = train_config(vec![stage("instruct", 2, 1)]);
    config.tiles = Some(2);
    says(&config, "`tiles` is for models that read pictures in tiles");
    config.tiles = None;
    config.instructions.misnaming_probability = 1.5;
    says(&config, "`instructions.misnaming_probability` must lie");
    config.instructions.misnaming_probability = 0.5;
    config.stages[0].absent_weight = -1.0;
    says(&config, "`absent_weight` of stage instruct");
    config.stages[0].absent_weight = 0.1;
    config.instructions.weights.absent = 0.0;
    says(&config, "teaches nothing");
    for field in ["steps", "batch", "accumulation", "validation_scenes"] {
        let mut stage = stage("sam", 2, 1);
        stage[field] = json!(0);
        says(
            &train_config(vec![stage]),
            &format!("`{field}` of stage sam"),
        );
    }
    for decay in [1.0, -0.1] {
        let mut stage = stage("sam", 2, 1);
        stage["ema_decay"] = json!(decay);
        says(&train_config(vec![stage]), "`ema_decay` of stage sam");
    }
    // Vectors of names that are drawn and never trained teach nothing.
    let mut drawn = stage("instruct", 2, 1);
    drawn["prompt_weight"] = json!(1.0);
    says(
        &train_config(vec![stage("sam", 1, 1), drawn.clone()]),
        "`prompt_weight` of stage instruct",
    );
    let mut names = stage("sam", 1, 1);
    names["trainable"] = json!(["^heads\\.prompts"]);
    train_config(vec![names.clone(), drawn.clone()])
        .check()
        .unwrap();
    says(
        &train_config(vec![drawn.clone(), names]),
        "`prompt_weight` of stage instruct",
    );
    let mut given = train_config(vec![drawn]);
    for (part, known) in [
        ("heads.prompts", true),
        ("heads", true),
        ("heads.prom", false),
        ("heads.names", false),
    ] {
        given.initial = vec![InitialWeights {
            from: "unused".into(),
            parts: vec![part.into()],
        }];
        assert_eq!(given.check().is_ok(), known, "{part}");
    }
    let mut config = train_config(vec![stage("instruct", 2, 1)]);
    config.instructions.per_scene = 0;
    says(&config, "per_scene");
    config = train_config(vec![stage("sam", 2, 1)]);
    config.validate_every = 0;
    says(&config, "validate_every");
    config = train_config(vec![stage("sam", 2, 1)]);
    config.model.reference_tokens = 3;
    says(&config, "reference_tokens");

    let mut stage = stage("sam", 2, 1);
    stage["trainable"] = json!(["^vision_tower"]);
    let device = Default::default();
    let run = folders(run.path());
    let error =
        launch::<TrainBackend>(&train_config(vec![stage]), &run, None, &device).unwrap_err();
    assert!(error.to_string().contains("trains nothing"), "{error}");
}
