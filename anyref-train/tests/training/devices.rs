//! Two devices with one batch each train the same model as one device with both batches.

use std::fs;

use anyref_train::Trainee;
use anyref_train::config::StageConfig;
use anyref_train::run::{self, Launch, StageJob, launch, train_stage};
use anyref_train::{Losses, Stage, StageError};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde_json::Value;

use crate::support::{
    TrainBackend, alone, context, folders, run_options, stage, stage_config, train_config, weights,
};

#[test]
fn two_devices_are_one_with_twice_the_micro_batches() {
    let _turn = alone();
    let device = Default::default();
    let stages = |accumulation: u64| -> Vec<Value> {
        // Sounds and objects are missing in some of the batches of one scene.
        let mut asked = [stage("sam", 3, 2), stage("instruct", 5, 1)];
        asked[1]["ema_decay"] = 0.5.into();
        let change = |mut stage: Value| {
            stage["accumulation"] = accumulation.into();
            // Long sums may be rounded in the order in which threads arrive. Steps proportional to
            // their gradients stay equal; with a smaller epsilon a gradient of mere rounding errors
            // would make a whole step.
            stage["learning_rate"] = 3e-3.into();
            stage["epsilon"] = 0.1.into();
            stage
        };
        asked.map(change).into()
    };
    let run = |accumulation: u64, devices: usize, stop: Option<u64>| {
        let mut config = train_config(stages(accumulation));
        config.instructions.per_scene = 1;
        let folder = tempfile::tempdir().unwrap();
        let run = folders(folder.path());
        let devices = vec![device; devices];
        if stop.is_some() {
            let launch = Launch {
                stop_after: stop,
                ..Launch::new(&config, &run)
            };
            assert!(!launch.run::<TrainBackend>(&devices).unwrap());
        }
        let launch = Launch::new(&config, &run);
        assert!(launch.run::<TrainBackend>(&devices).unwrap());
        let log = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
        let steps = log
            .lines()
            .filter(|line| line.contains("\"train\""))
            .count();
        assert_eq!(steps, 8);
        weights(folder.path())
    };
    let one = run(4, 1, None);
    let two = run(2, 2, None);
    // Stopped within the second stage and resumed.
    let resumed = run(2, 2, Some(5));
    // Largest difference of a weight from that of two devices, and its name.
    let difference = |other: &[(String, Vec<f32>)]| {
        let pairs = two.iter().zip(other).map(|((name, two), (same, other))| {
            assert_eq!((name, two.len()), (same, other.len()));
            let apart = two.iter().zip(other).map(|(a, b)| (a - b).abs());
            (apart.fold(0.0, f32::max), name.clone())
        });
        pairs.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
    };
    let (stopped, same) = (difference(&resumed), difference(&one));
    let fewer = difference(&run(2, 1, None));
    assert!(stopped.0 < 1e-5, "a stop changes {stopped:?}");
    assert!(same.0 < 1e-5, "one device learns otherwise: {same:?}");
    // Half of the data, in contrast, gives a different model.
    assert!(fewer.0 > 1e-4, "{fewer:?}");
}

#[test]
fn one_device_in_a_list_is_that_device() {
    let _turn = alone();
    let device = Default::default();
    let config = train_config(vec![stage("clip", 2, 1)]);
    let run = |listed: bool| {
        let folder = tempfile::tempdir().unwrap();
        let run = folders(folder.path());
        let done = match listed {
            true => Launch::new(&config, &run).run::<TrainBackend>(&[device]),
            false => launch::<TrainBackend>(&config, &run, None, &device),
        };
        assert!(done.unwrap());
        weights(folder.path())
    };
    assert!(run(true) == run(false));
    let run = tempfile::tempdir().unwrap();
    let run = folders(run.path());
    let launch = Launch::new(&config, &run);
    let error = launch.run::<TrainBackend>(&[]).unwrap_err();
    assert!(error.to_string().contains("no device"), "{error}");
}

/// Stage without training that fails on one device at one step.
struct Failing {
    /// Number of the micro-batch that cannot be made, or panics.
    at: u64,
    panics: bool,
}

impl Stage<TrainBackend> for Failing {
    type Batch = u64;

    fn batch(&self, step: u64) -> Result<u64, StageError> {
        match step == self.at {
            true if !self.panics => Err(StageError::Other(
                format!("micro-batch {step} is missing").into(),
            )),
            _ => Ok(step),
        }
    }

    fn loss(
        &self,
        trainee: &Trainee<TrainBackend>,
        batch: &u64,
    ) -> Result<Losses<TrainBackend>, StageError> {
        assert!(
            !(self.panics && *batch == self.at),
            "micro-batch {batch} is bad"
        );
        let total: Tensor<TrainBackend, 1> = trainee.heads.logit_scale.val();
        Ok(Losses::new(total.clone() * total, Vec::new()))
    }

    fn validate(
        &self,
        _: &Trainee<<TrainBackend as burn::tensor::backend::AutodiffBackend>::InnerBackend>,
    ) -> Result<Vec<(String, f64)>, StageError> {
        Ok(Vec::new())
    }
}

fn fails(stage: &Failing) -> run::Result<(Trainee<TrainBackend>, bool)> {
    let context = context([64, 64], 1);
    let device = Default::default();
    TrainBackend::seed(&device, 1);
    let trainee = Trainee::new(&context.model, context.name_count(), &device);
    let mut config: StageConfig = stage_config("clip", 6, 1);
    config.trainable = vec!["logit_scale".into()];
    let folder = tempfile::tempdir().unwrap();
    let options = run_options(folder.path());
    let job = StageJob {
        config: &config,
        index: 0,
        options: &options,
        resume: None,
    };
    train_stage(stage, &job, trainee, &[device; 3])
}

#[test]
fn a_device_that_fails_ends_the_run_with_its_error() {
    let _turn = alone();
    // Steps take micro-batches 0 1 2, 3 4 5 and so on: one of the first device, one of another.
    for at in [3, 7] {
        let error = fails(&Failing { at, panics: false }).unwrap_err();
        let expected = format!("micro-batch {at} is missing");
        assert_eq!(error.to_string(), expected);
    }
    let panicked = std::panic::catch_unwind(|| {
        fails(&Failing {
            at: 4,
            panics: true,
        })
        .map(drop)
    });
    assert!(panicked.is_err());
    // The next run is unaffected by the failed ones.
    assert!(
        fails(&Failing {
            at: 1_000,
            panics: false
        })
        .unwrap()
        .1
    );
}
