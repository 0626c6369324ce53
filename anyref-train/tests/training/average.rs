//! The running mean of the weights is what a stage has to show, and the weights themselves are what it goes on from.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyref_train::run::checkpoint::newest;
use anyref_train::run::config::TrainConfig;
use anyref_train::run::launch::launch;

use crate::support::{TrainBackend, alone, folders, metrics, stage, train_config, values};

const DECAY: f64 = 0.3;

/// Two stages of four and one steps, the first of which keeps a mean and all of its checkpoints.
fn config() -> TrainConfig {
    let mut averaged = stage("sam", 4, 1);
    averaged["ema_decay"] = DECAY.into();
    let mut config = train_config(vec![averaged, stage("clip", 1, 1)]);
    config.checkpoint_every = 1;
    config.keep_checkpoints = 9;
    config
}

fn read(run: &Path, checkpoint: &str, file: &str) -> BTreeMap<String, Vec<f32>> {
    let file = run.join("checkpoints").join(checkpoint).join(file);
    values(&file).into_iter().collect()
}

#[test]
fn it_is_the_mean_of_what_the_optimizer_left_and_goes_on_to_the_next_stage() {
    let _turn = alone();
    let run = tempfile::tempdir().unwrap();
    let run = run.path();
    assert!(launch::<TrainBackend>(&config(), &folders(run), None, &Default::default()).unwrap());
    let step = |step: u64| {
        let checkpoint = format!("stage-0-step-{step:08}");
        let [mean, live] =
            ["model.safetensors", "live.safetensors"].map(|file| read(run, &checkpoint, file));
        (mean, live)
    };
    let mut moved = 0.0f64;
    for at in 2..=4 {
        let ((before, _), (mean, live)) = (step(at - 1), step(at));
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

    // The second stage trains other parts, and keeps no mean.
    let last = "stage-1-step-00000001";
    let live = run.join("checkpoints").join(last).join("live.safetensors");
    assert!(!live.exists());
    let (end, (mean, _)) = (read(run, last, "model.safetensors"), step(4));
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
