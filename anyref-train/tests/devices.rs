//! Training step on the GPU against the same step on the CPU.
#![cfg(all(
    feature = "flex",
    any(feature = "wgpu", feature = "vulkan", feature = "cuda")
))]
#![recursion_limit = "256"]

#[allow(dead_code, reason = "the training tests use the rest")]
#[path = "../../anyref-core/tests/core/common.rs"]
mod common;
#[allow(dead_code, reason = "the training tests use the rest")]
#[path = "training/support.rs"]
mod support;

use anyref_ops::testing::fill;
use anyref_train::Stage;
use anyref_train::Trainee;
use anyref_train::config::Precision;
use anyref_train::run::{StageJob, train_stage};
use anyref_train::stages::InstructStage;
use burn::backend::{Autodiff, Flex};
use burn::tensor::backend::{AutodiffBackend, Backend};

use support::{context, run_options, stage_config};

/// Decrease of the loss by one step of instructions, in f32, with fixed weights; and the loss
/// before.
fn step<B: AutodiffBackend>(precision: Precision) -> [f64; 2] {
    let context = context([64, 64], 2);
    let mut config = stage_config("instruct", 1, 2);
    config.precision = precision;
    // AdamW's first step has the sign of each gradient and a fixed size; with this epsilon it is
    // nearly proportional to the gradient.
    config.epsilon = 1.0;
    config.learning_rate = 0.05;
    config.clip_norm = 1.0;
    let stage = InstructStage::new(&context, config.clone()).unwrap();
    let trainee = Trainee::<B>::new(&context.model, context.name_count(), &Default::default());
    let trainee = fill(trainee, 3, 0.1);
    let batch = Stage::<B>::batch(&stage, 0).unwrap();
    let loss = |trainee: &Trainee<B>| stage.loss(trainee, &batch).unwrap().value();
    let before = loss(&trainee);
    let folder = tempfile::tempdir().unwrap();
    let options = run_options(folder.path());
    let job = StageJob {
        config: &config,
        index: 0,
        options: &options,
        resume: None,
    };
    let (trainee, complete) = train_stage(&stage, &job, trainee, &[Default::default()]).unwrap();
    assert!(complete);
    [before - loss(&trainee), before]
}

/// Compares f32, and half precision if the device has it.
fn a_step_is_that_of_the_processor<B: Backend>() {
    let expected = step::<Autodiff<Flex>>(Precision::F32);
    assert!(expected[0] > 0.0, "nothing is learned: {expected:?}");
    for (precision, most) in [
        (Precision::F32, 5e-3),
        (Precision::F16, 2e-2),
        (Precision::Bf16, 1e-1),
    ] {
        let computed = |dtype| B::supports_dtype(&Default::default(), dtype);
        if !precision.half().is_none_or(computed) {
            continue;
        }
        let found = step::<Autodiff<B>>(precision);
        println!("processor {expected:?} GPU, {precision:?}: {found:?}");
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(
                (found - expected).abs() < most * expected.abs(),
                "{precision:?}: GPU {found} processor {expected}"
            );
        }
    }
}

#[cfg(feature = "wgpu")]
#[test]
fn a_step_on_wgpu_is_the_step_on_the_processor() {
    a_step_is_that_of_the_processor::<burn::backend::Wgpu>();
}

#[cfg(feature = "vulkan")]
#[test]
fn a_step_on_vulkan_is_the_step_on_the_processor() {
    a_step_is_that_of_the_processor::<burn::backend::Vulkan>();
}

#[cfg(feature = "cuda")]
#[test]
fn a_step_on_cuda_is_the_step_on_the_processor() {
    a_step_is_that_of_the_processor::<burn::backend::Cuda>();
}
