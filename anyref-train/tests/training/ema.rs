//! EMA of the weights: validated and exported by a stage, while training continues from the weights
//! themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyref_train::config::TrainConfig;
use anyref_train::run::checkpoint::newest;
use anyref_train::run::launch;

use crate::support::{TrainBackend, alone, folders, metrics, stage, train_config, values};

const DECAY: f64 = 0.3;

/// Two stages of four steps and one step, the first with an EMA and all of its checkpoints.
fn config() -> TrainConfig {
    let mut averaged = stage("sam", 4, 1);
    averaged["ema_decay"] = DECAY.into();
    let mut config = train_config(vec![averaged, stage("clip", 1, 1)]);
    config.checkpoint_every = 1;
    config.keep_checkpoints = 9;
    config
}

/// Tensors of a file by name.
type Values = BTreeMap<String, Vec<f32>>;

fn read(run: &Path, checkpoint: &str, file: &str) -> Values {
    let file = run.join("checkpoints").join(checkpoint).join(file);
    values(&file).into_iter().collect()
}

/// EMA and weights after a step of the first stage.
fn step(run: &Path, step: u64) -> (Values, Values) {
    let checkpoint = format!("stage-0-step-{step:08}");
    let file = |name| read(run, &checkpoint, name);
    (file("model.safetensors"), file("live.safetensors"))
}

#[test]
fn it_is_the_mean_of_what_the_optimizer_left_and_goes_on_to_the_next_stage() {
    let _turn = alone();
    let run = tempfile::tempdir().unwrap();
    let run = run.path();
    assert!(launch::<TrainBackend>(&config(), &folders(run), None, &Default::default()).unwrap());
    let mut moved = 0.0f64;
    for at in 2..=4 {
        let ((before, _), (mean, live)) = (step(run, at - 1), step(run, at));
        assert!(live.keys().all(|name| !name.contains("vision_tower")));
        assert!(live.keys().any(|name| name.contains("image_encoder")));
        // The first steps count more.
        let steps = (at - 1) as f64;
        let kept = DECAY.min((1.0 + steps) / (10.0 + steps));
        for (name, mean) in &mean {
            let before = &before[name];
            let Some(live) = live.get(name) else {
                assert!(mean == before, "{name} is not trained");
                continue;
            };
            for ((&mean, &before), &live) in mean.iter().zip(before).zip(live) {
                let [mean, before, live] = [mean, before, live].map(f64::from);
                let expected = kept * before + (1.0 - kept) * live;
                let close = 1e-6 * (before.abs() + live.abs()) + 1e-9;
                assert!((mean - expected).abs() <= close, "{name} after step {at}");
                moved = moved.max((mean - live).abs());
            }
        }
    }
    assert!(moved > 1e-4, "the mean is the weights themselves");

    // The second stage trains other parts, without an EMA.
    let last = "stage-1-step-00000001";
    let live = run.join("checkpoints").join(last).join("live.safetensors");
    assert!(!live.exists());
    let (end, (mean, _)) = (read(run, last, "model.safetensors"), step(run, 4));
    let kept = mean.keys().filter(|name| name.contains("image_encoder"));
    for name in kept {
        assert!(end[name] == mean[name], "{name} is not the mean");
    }
}

#[test]
fn stopped_and_resumed_it_is_the_mean_of_a_run_without_a_stop() {
    let _turn = alone();
    let device = Default::default();
    let runs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [straight, resumed] = runs.each_ref().map(|run| folders(run.path()));
    assert!(launch::<TrainBackend>(&config(), &straight, None, &device).unwrap());
    for steps in [3, 1] {
        assert!(!launch::<TrainBackend>(&config(), &resumed, Some(steps), &device).unwrap());
    }
    assert!(launch::<TrainBackend>(&config(), &resumed, None, &device).unwrap());
    let ends = [&straight, &resumed].map(|folders| {
        let checkpoints = folders.run.join("checkpoints");
        let stage = checkpoints.join("stage-0-step-00000004");
        let files =
            ["model", "live", "optimizer"].map(|name| stage.join(format!("{name}.safetensors")));
        let end = newest(&checkpoints)
            .unwrap()
            .unwrap()
            .join("model.safetensors");
        files
            .into_iter()
            .chain([end])
            .map(|file| fs::read(file).unwrap())
            .collect::<Vec<_>>()
    });
    assert!(ends[0] == ends[1], "weights or moments differ");
    assert_eq!(metrics(&straight.run), metrics(&resumed.run));
}

/// Without an EMA a stage resumes from the optimizer's weights; with one again, the EMA starts from
/// the weights at that time.
#[test]
fn it_can_be_left_out_and_taken_up() {
    let _turn = alone();
    let run = tempfile::tempdir().unwrap();
    let run = run.path();
    let mut config = config();
    let go = |config: &TrainConfig| {
        launch::<TrainBackend>(config, &folders(run), Some(1), &Default::default()).unwrap()
    };
    go(&config);
    config.stages[0].ema_decay = None;
    config.stages[0].learning_rate = 0.0;
    go(&config);
    let (_, live) = step(run, 1);
    let left = run.join("checkpoints/stage-0-step-00000002");
    assert!(!left.join("live.safetensors").exists());
    let model = read(run, "stage-0-step-00000002", "model.safetensors");
    assert!(live.iter().all(|(name, values)| model[name] == *values));

    config.stages[0].ema_decay = Some(DECAY);
    go(&config);
    let (mean, again) = step(run, 3);
    for (name, again) in &again {
        assert!(*again == live[name], "{name}");
        let apart = mean[name].iter().zip(again).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-6, "{name}");
    }

    // A missing file is an error.
    fs::remove_file(run.join("checkpoints/stage-0-step-00000003/live.safetensors")).unwrap();
    let error = launch::<TrainBackend>(&config, &folders(run), Some(1), &Default::default());
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("live.safetensors"), "{error}");
}

/// Parameters that are no longer trained keep the EMA that was validated, however often the run is
/// stopped.
#[test]
fn what_is_trained_no_more_stays_the_mean() {
    let _turn = alone();
    let run = tempfile::tempdir().unwrap();
    let run = run.path();
    let mut config = config();
    config.stages[0].trainable = vec![
        "^anyref\\.image_encoder\\.".into(),
        "^anyref\\.mask_decoder\\.".into(),
    ];
    let go = |config: &TrainConfig| {
        launch::<TrainBackend>(config, &folders(run), Some(1), &Default::default()).unwrap()
    };
    go(&config);
    config.stages[0].trainable.remove(0);
    let (mean, _) = step(run, 1);
    for at in [2, 3] {
        go(&config);
        let (now, live) = step(run, at);
        assert!(live.keys().all(|name| name.contains("mask_decoder")));
        let mut kept = mean
            .iter()
            .filter(|(name, _)| name.contains("image_encoder"));
        assert!(kept.all(|(name, values)| now[name] == *values));
    }
}
