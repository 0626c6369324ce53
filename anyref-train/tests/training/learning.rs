//! A few steps of every stage lower its loss.

use anyref_train::Stage;
use anyref_train::Trainee;
use anyref_train::config::StageConfig;
use anyref_train::run::{StageJob, train_stage};
use anyref_train::stages::{AudioStage, ClipStage, InstructStage, SamStage, SceneContext};
use burn::tensor::backend::Backend;

use crate::support::{TrainBackend, alone, context, run_options, stage_config};

fn learns<S: Stage<TrainBackend>>(context: &SceneContext, stage: &S, config: &StageConfig) {
    let device = Default::default();
    TrainBackend::seed(&device, 1);
    let trainee = Trainee::<TrainBackend>::new(&context.model, context.name_count(), &device);
    let batch = stage.batch(0).unwrap();
    let loss = |trainee: &Trainee<TrainBackend>| stage.loss(trainee, &batch).unwrap().value();
    let before = loss(&trainee);
    let folder = tempfile::tempdir().unwrap();
    let options = run_options(folder.path());
    let job = StageJob {
        config,
        index: 0,
        options: &options,
        resume: None,
    };
    let (trainee, complete) = train_stage(stage, &job, trainee, &[device]).unwrap();
    let after = loss(&trainee);
    assert!(
        complete && after < 0.97 * before,
        "{:?}: {before} -> {after}",
        config.kind
    );
}

#[test]
fn clip_learns() {
    let (_turn, context) = (alone(), context([64, 64], 2));
    let config = stage_config("clip", 12, 4);
    learns(&context, &ClipStage::new(&context, config.clone()), &config);
}

#[test]
fn sam_learns() {
    let (_turn, context) = (alone(), context([64, 64], 2));
    let config = stage_config("sam", 12, 4);
    learns(&context, &SamStage::new(&context, config.clone()), &config);
}

#[test]
fn audio_learns() {
    let (_turn, context) = (alone(), context([64, 64], 2));
    let config = stage_config("audio", 12, 8);
    learns(
        &context,
        &AudioStage::new(&context, config.clone()).unwrap(),
        &config,
    );
}

#[test]
fn instructions_are_learned() {
    let (_turn, context) = (alone(), context([64, 64], 2));
    let config = stage_config("instruct", 12, 2);
    learns(
        &context,
        &InstructStage::new(&context, config.clone()).unwrap(),
        &config,
    );
}
