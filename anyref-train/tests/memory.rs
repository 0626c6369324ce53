//! Check that a training step holds its weights once.
#![cfg(feature = "flex")]
#![recursion_limit = "256"]

#[allow(dead_code, reason = "the training tests use the rest")]
#[path = "../../anyref-core/tests/core/common.rs"]
mod common;
#[allow(dead_code, reason = "the training tests use the rest")]
#[path = "training/support.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyref_core::AnyRefConfig;
use anyref_train::config::Precision;
use anyref_train::run::{RunOptions, StageJob, train_stage};
use anyref_train::{Losses, Stage, StageError, Trainee};
use burn::backend::{Autodiff, Flex};
use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use support::{alone, run_options, stage_config};

type B = Autodiff<Flex>;

/// Allocator that counts the allocated bytes.
struct Counting;

static PRESENT: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator as they are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let present = PRESENT.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(present, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        PRESENT.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Stage with a loss on all trained weights, which reads the memory at the beginning and at the end
/// of a step.
#[derive(Default)]
struct Squares {
    /// Bytes at the beginning of a step.
    before: AtomicUsize,
    /// Largest number of additional bytes during a step.
    most: AtomicUsize,
}

impl Stage<B> for Squares {
    type Batch = ();

    fn batch(&self, _: u64) -> Result<(), StageError> {
        Ok(())
    }

    fn loss(&self, trainee: &Trainee<B>, (): &()) -> Result<Losses<B>, StageError> {
        let present = PRESENT.load(Ordering::Relaxed);
        self.before.store(present, Ordering::Relaxed);
        MOST.store(present, Ordering::Relaxed);
        let mut sum = Sum(Tensor::zeros([1], &Default::default()));
        trainee.visit(&mut sum);
        Ok(Losses::new(sum.0, Vec::new()))
    }

    fn validate(&self, _: &Trainee<Flex>) -> Result<Vec<(String, f64)>, StageError> {
        let most = MOST.load(Ordering::Relaxed) - self.before.load(Ordering::Relaxed);
        self.most.store(most, Ordering::Relaxed);
        Ok(Vec::new())
    }
}

struct Sum(Tensor<B, 1>);

impl ModuleVisitor<B> for Sum {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let weights = param.val();
        if weights.is_require_grad() {
            let squares = (weights.clone() * weights).sum();
            self.0 = self.0.clone() + squares.cast(burn::tensor::DType::F32);
        }
    }
}

/// Bytes as multiples of the trained weights' bytes in f32.
struct Memory {
    /// Bytes beyond the weights in f32, at the beginning of the step.
    held: f64,
    /// Largest number of additional bytes during the step.
    step: f64,
    /// Bytes of the model's weights in f32.
    model: f64,
}

fn memory(precision: Precision) -> Memory {
    let mut model = AnyRefConfig::tiny();
    // Many weights of about the same size.
    model.llm.hidden_size = 128;
    model.llm.intermediate_size = 256;
    model.llm.num_hidden_layers = 12;
    let device = Default::default();
    B::seed(&device, 1);
    let trainee = Trainee::<B>::new(&model, 3, &device);
    // Draws all weights now.
    let _ = trainee.valid();
    let mut config = stage_config("instruct", 1, 1);
    config.trainable = vec!["^anyref\\.llm\\.model\\.layers".into()];
    config.precision = precision;
    let trained = 4 * trainee.anyref.llm.model.layers.num_params();
    let all = 4 * trainee.anyref.num_params();
    let folder = tempfile::tempdir().unwrap();
    let options = RunOptions {
        validate_every: 1,
        ..run_options(folder.path())
    };
    let job = StageJob {
        config: &config,
        index: 0,
        options: &options,
        resume: None,
    };
    let stage = Squares::default();
    let present = PRESENT.load(Ordering::Relaxed);
    train_stage(&stage, &job, trainee, &[device]).unwrap();
    let share = |bytes: usize| bytes as f64 / trained as f64;
    Memory {
        held: share(stage.before.into_inner() - present),
        step: share(stage.most.into_inner()),
        model: share(all),
    }
}

/// Gradients are freed as moments are made: two for a weight. A copy of the old weights would be a
/// third.
#[test]
fn a_step_holds_moments_and_no_second_copy_of_the_weights() {
    let _turn = alone();
    let memory = memory(Precision::F32);
    println!("{} {}", memory.held, memory.step);
    assert!(memory.held < 0.1, "{} before the step", memory.held);
    assert!(
        (1.9..2.5).contains(&memory.step),
        "{} weights more in a step",
        memory.step
    );
}

/// Every weight, trained or not, has one copy in half precision.
#[test]
fn half_precision_holds_one_copy() {
    let _turn = alone();
    let memory = memory(Precision::Bf16);
    println!("{} {}", memory.held, memory.model / 2.0);
    let copies = memory.held / (memory.model / 2.0);
    assert!((0.8..1.2).contains(&copies), "{copies} copies");
}
