//! Steps without a finite gradient change nothing, are counted, and end a run that has no others; a
//! failed device ends any run.

use std::panic::catch_unwind;
use std::path::Path;
use std::thread;

use anyref_train::Trainee;
use anyref_train::run::checkpoint::{newest, position};
use anyref_train::run::{self, RunOptions, StageJob, train_stage};
use anyref_train::{Losses, Stage, StageError};
use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::common::TestBackend;
use crate::support::{TrainBackend, alone, context, metrics, run_options, stage_config, weights};

/// Stage that brings a number to 0, except in the steps `bad`, whose loss is NaN.
struct Sometimes {
    bad: std::ops::Range<u64>,
    /// Step at which the device fails.
    failing: Option<u64>,
}

/// Panics as a device thread of CubeCL does, after which it continues.
fn fail_device() {
    let thread = thread::Builder::new().name("DSU-0-0".into());
    let caught = thread.spawn(|| catch_unwind(|| panic!("a kernel does not compile")));
    assert!(caught.unwrap().join().unwrap().is_err());
}

impl Stage<TrainBackend> for Sometimes {
    type Batch = u64;

    fn batch(&self, step: u64) -> Result<u64, StageError> {
        Ok(step)
    }

    fn loss(
        &self,
        trainee: &Trainee<TrainBackend>,
        batch: &u64,
    ) -> Result<Losses<TrainBackend>, StageError> {
        if self.failing == Some(*batch) {
            fail_device();
        }
        let total: Tensor<TrainBackend, 1> = trainee.heads.logit_scale.val();
        let factor = if self.bad.contains(batch) {
            f64::NAN
        } else {
            1.0
        };
        Ok(Losses::new(total.clone() * total * factor, Vec::new()))
    }

    fn validate(&self, _: &Trainee<TestBackend>) -> Result<Vec<(String, f64)>, StageError> {
        Ok(Vec::new())
    }
}

/// Continues for `steps` steps, from the newest checkpoint.
fn go(run: &Path, bad: std::ops::Range<u64>, steps: u64) -> run::Result<bool> {
    go_on(run, Sometimes { bad, failing: None }, steps)
}

fn go_on(run: &Path, stage: Sometimes, steps: u64) -> run::Result<bool> {
    let context = context([64, 64], 1);
    let device = Default::default();
    TrainBackend::seed(&device, 1);
    let trainee = Trainee::new(&context.model, context.name_count(), &device);
    // Draws the weights now.
    let _ = trainee.valid();
    let mut config = stage_config("clip", 40, 1);
    config.trainable = vec!["logit_scale".into()];
    let options = RunOptions {
        checkpoint_every: 1,
        stop_after: Some(steps),
        ..run_options(run)
    };
    let checkpoint = newest(&run.join("checkpoints"))?;
    let at = checkpoint.as_deref().map(position).transpose()?;
    let trainee = match &checkpoint {
        Some(path) => {
            anyref_train::run::checkpoint::load_weights(path, trainee, &Default::default())?
        }
        None => trainee,
    };
    let resume = checkpoint.as_deref().zip(at.as_ref());
    let job = StageJob {
        config: &config,
        index: 0,
        options: &options,
        resume,
    };
    let trained = train_stage(&stage, &job, trainee, &[device])?;
    Ok(trained.1)
}

fn scale(run: &Path) -> f32 {
    let all = weights(run).into_iter();
    let mut scales = all.filter(|(name, _)| name.contains("logit_scale"));
    scales.next().unwrap().1[0]
}

#[test]
fn they_are_passed_over_and_counted() {
    let _turn = alone();
    let run = tempfile::tempdir().unwrap();
    let run = run.path();
    go(run, 2..5, 2).unwrap();
    let before = scale(run);
    go(run, 2..5, 2).unwrap();
    assert_eq!(scale(run), before);
    let at = position(&newest(&run.join("checkpoints")).unwrap().unwrap()).unwrap();
    assert_eq!((at.step, at.skipped, at.skipped_in_a_row), (4, 2, 2));
    go(run, 2..5, 2).unwrap();
    assert!(scale(run) < before);
    let skipped: Vec<_> = metrics(run)
        .iter()
        .map(|line| line["skipped"].as_f64())
        .collect();
    let counted = [None, None, Some(1.0), Some(2.0), Some(3.0), Some(3.0)];
    assert_eq!(skipped, counted);
}

/// The limit holds however often a run is stopped.
#[test]
fn many_in_a_row_end_the_run() {
    let _turn = alone();
    let run = tempfile::tempdir().unwrap();
    let run = run.path();
    go(run, 1..40, 6).unwrap();
    let kept = scale(run);
    let error = go(run, 1..40, 30).unwrap_err().to_string();
    assert!(
        error.starts_with("10 steps in a row had no finite gradient"),
        "{error}"
    );
    assert_eq!(scale(run), kept);
    let at = position(&newest(&run.join("checkpoints")).unwrap().unwrap()).unwrap();
    assert_eq!((at.step, at.skipped_in_a_row), (10, 9));
}

#[test]
fn a_failed_device_ends_a_run_before_its_next_checkpoint() {
    let _turn = alone();
    let run = tempfile::tempdir().unwrap();
    let stage = Sometimes {
        bad: 0..0,
        failing: Some(2),
    };
    let error = go_on(run.path(), stage, 6).unwrap_err().to_string();
    assert!(error.contains("the device failed"), "{error}");
    let newest = newest(&run.path().join("checkpoints")).unwrap().unwrap();
    assert_eq!(position(&newest).unwrap().step, 2);
    // Another run starts with a count of 0.
    go(run.path(), 0..0, 1).unwrap();
}
