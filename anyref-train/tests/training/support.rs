//! Configurations and helpers shared by the training tests.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyref_core::AnyRefConfig;
use anyref_data::scenes::{InstructionConfig, SceneConfig, Scenes};
use anyref_llm::train_tokenizer;
use anyref_train::config::{StageConfig, TrainConfig};
use anyref_train::run::{Folders, RunOptions};
use anyref_train::stages::{SceneContext, StageContext};
use anyref_weights::Checkpoint;
use burn::backend::Autodiff;
use serde_json::{Value, json};

use crate::common::TestBackend;

pub type TrainBackend = Autodiff<TestBackend>;

/// Guard of the backend's only random number generator: tests that draw weights take turns.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn scene_config(size: [u32; 2]) -> SceneConfig {
    SceneConfig {
        size,
        objects: [2, 3],
        scale: [0.3, 0.6],
        ..Default::default()
    }
}

pub fn context(size: [u32; 2], per_scene: usize) -> SceneContext {
    let scenes = Scenes::shapes(scene_config(size)).unwrap();
    let mut tokenizer = train_tokenizer(scenes.all_texts(), 560).unwrap();
    tokenizer.add_anyref_tokens().unwrap();
    let mut model = AnyRefConfig::tiny();
    model.llm.vocab_size = tokenizer.vocab_size();
    let asked = InstructionConfig {
        per_scene,
        reference_size: 48,
        ..Default::default()
    };
    let stage = StageContext::new(model, tokenizer, 1).unwrap();
    SceneContext::new(stage, scenes, asked)
}

/// Configuration of a stage with its usual trained parameters.
pub fn stage(kind: &str, steps: u64, batch: usize) -> Value {
    let trainable = match kind {
        "clip" => json!([
            "^anyref\\.vision_tower\\.",
            "^heads\\.(names|visual|logit_scale)"
        ]),
        "sam" => json!(["^anyref\\.(image_encoder|mask_decoder|prompt_encoder)\\."]),
        "audio" => json!(["^anyref\\.audio_encoder\\.", "^heads\\.sound"]),
        _ => json!([
            "^anyref\\.(mm_projector|audio_projector|box_projector|llm|text_hidden_fcs|mask_decoder)\\."
        ]),
    };
    json!({
        "kind": kind, "steps": steps, "batch": batch, "learning_rate": 3e-3, "warmup": 2,
        "decay": "constant", "weight_decay": 0.01, "clip_norm": 1.0, "trainable": trainable,
        "validation_scenes": 2
    })
}

pub fn stage_config(kind: &str, steps: u64, batch: usize) -> StageConfig {
    serde_json::from_value(stage(kind, steps, batch)).unwrap()
}

pub fn train_config(stages: Vec<Value>) -> TrainConfig {
    let config = json!({
        "name": "test", "seed": 3, "model": "tiny", "vocabulary": 560, "shapes": true,
        "scenes": { "size": [64, 64], "objects": [2, 3], "scale": [0.3, 0.6] },
        "instructions": { "per_scene": 2, "reference_size": 48 },
        "stages": stages,
        "checkpoint_every": 2, "validate_every": 2, "keep_checkpoints": 2
    });
    serde_json::from_value(config).unwrap()
}

pub fn folders(run: &Path) -> Folders {
    Folders {
        run: run.into(),
        stamps: "unused".into(),
        backgrounds: None,
    }
}

/// Options of a run into `folder` that neither validates nor keeps intermediate checkpoints.
pub fn run_options(folder: &Path) -> RunOptions<'static> {
    RunOptions {
        folder: folder.into(),
        checkpoint_every: 100,
        validate_every: 100,
        keep: 1,
        seed: 1,
        stop_after: None,
        left_out: Default::default(),
        topology: None,
        progress: &(),
    }
}

/// Weights of a run's newest checkpoint, by name.
pub fn weights(run: &Path) -> Vec<(String, Vec<f32>)> {
    let checkpoint = anyref_train::run::checkpoint::newest(&run.join("checkpoints"));
    values(&checkpoint.unwrap().unwrap().join("model.safetensors"))
}

/// Tensors of a file, by name.
pub fn values(file: &Path) -> Vec<(String, Vec<f32>)> {
    let checkpoint = Checkpoint::open(file).unwrap();
    let values = |name: &str| {
        let data = checkpoint.require(name).unwrap().read().unwrap();
        data.convert::<f32>().to_vec().unwrap()
    };
    let names: Vec<String> = checkpoint
        .tensors()
        .map(|tensor| tensor.name.clone())
        .collect();
    names
        .into_iter()
        .map(|name| (name.clone(), values(&name)))
        .collect()
}

/// Lines of the log without times.
pub fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let fields = value.as_object_mut().unwrap();
        fields.remove("seconds");
        fields.remove("stalled");
        fields.remove("stall_share");
        fields.remove("tokens_per_second");
        value
    };
    text.lines().map(line).collect()
}
