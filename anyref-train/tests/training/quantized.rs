//! Adapters over a language model whose frozen weights are in blocks (QLoRA).

use std::fs;
use std::path::{Path, PathBuf};

use anyref_core::AnyRef;
use anyref_core::quantization::BlockType;
use anyref_llm::LoraConfig;
use anyref_train::config::{InitialWeights, Precision, TrainConfig};
use anyref_train::run::checkpoint::newest;
use anyref_train::run::{Plan, Which, export_adapter, export_checkpoint, launch};
use anyref_weights::Checkpoint;
use serde_json::{Value, json};

use crate::common::TestBackend;
use crate::support::{TrainBackend, alone, folders, metrics, stage, train_config};

const PROJECTION: &str = "anyref.llm.model.layers.0.mlp.down_proj.base_layer.weight";

fn go(config: &TrainConfig, run: &Path, steps: Option<u64>) -> bool {
    launch::<TrainBackend>(config, &folders(run), steps, &Default::default()).unwrap()
}

/// A model that has learned a little, as the start of the others.
fn start(folder: &Path) -> PathBuf {
    let run = folder.join("start");
    let mut config = train_config(vec![stage("instruct", 3, 2)]);
    config.validate_every = 100;
    assert!(go(&config, &run, None));
    run.join("model")
}

/// Adapters on most projections.
fn adapting(start: Option<&Path>, steps: u64) -> TrainConfig {
    let mut asked = stage("instruct", steps, 2);
    asked["trainable"] = json!(["\\.lora_[ab]\\."]);
    let mut config = train_config(vec![asked]);
    config.start = start.map(Path::to_owned);
    let modules = ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"];
    config.model.lora = Some(LoraConfig {
        dropout: 0.0,
        target_modules: modules.map(str::to_owned).into(),
        ..Default::default()
    });
    config.validate_every = 100;
    config
}

/// Sum of a step's losses, by step.
fn losses(run: &Path) -> Vec<f64> {
    let lines = metrics(run).into_iter();
    let steps = lines.filter(|line| line["kind"] == "train");
    let of_step = |line: Value| {
        let fields = line.as_object().unwrap().iter();
        let other = [
            "kind",
            "stage",
            "step",
            "learning_rate",
            "gradient_norm",
            "loss_scale",
        ];
        fields
            .filter(|(name, _)| !other.contains(&name.as_str()))
            .map(|(_, value)| value.as_f64().unwrap())
            .sum()
    };
    steps.map(of_step).collect()
}

/// Losses of all steps are those over floats, in f32 and in bf16, to a hundredth.
#[test]
fn adapters_learn_over_blocks_as_over_floats() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let start = start(folder.path());
    let run = |name: &str, quantize: Option<BlockType>, precision: Precision| {
        let run = folder.path().join(name);
        let mut config = adapting(Some(&start), 8);
        config.quantize = quantize;
        config.stages[0].precision = precision;
        assert!(go(&config, &run, None));
        losses(&run)
    };
    let exact = run("f32", None, Precision::F32);
    let half = run("bf16", None, Precision::Bf16);
    assert_eq!(exact.len(), 8);
    for (name, block_type) in [("q8_0", BlockType::Q8_0), ("q4_0", BlockType::Q4_0)] {
        let found = run(name, Some(block_type), Precision::F32);
        for (found, (exact, half)) in found.iter().zip(exact.iter().zip(&half)) {
            let error = (found / exact - 1.0).abs();
            assert!(error > 1e-7 && error < 0.01, "{name}: {found} {exact}");
            let error = (found / half - 1.0).abs();
            assert!(error < 0.01, "{name}: {found} {half}");
        }
    }
    let mixed = run("mixed", Some(BlockType::Q8_0), Precision::Bf16);
    for (found, half) in mixed.iter().zip(&half) {
        assert!((found / half - 1.0).abs() < 0.01, "{found} {half}");
    }
}

/// A run that was stopped goes on as if it had not been, whether its blocks come from a start or
/// from the checkpoint.
#[test]
fn a_stopped_run_goes_on_over_the_same_blocks() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let start = start(folder.path());
    for (name, start) in [("started", Some(start.as_path())), ("drawn", None)] {
        let mut config = adapting(start, 4);
        config.quantize = Some(BlockType::Q4_0);
        let [straight, resumed] =
            ["straight", "resumed"].map(|kind| folder.path().join(format!("{name}-{kind}")));
        assert!(go(&config, &straight, None));
        assert!(!go(&config, &resumed, Some(2)));
        assert!(go(&config, &resumed, None));
        assert_eq!(metrics(&straight), metrics(&resumed));
        let ends = [&straight, &resumed].map(|run| newest(&run.join("checkpoints")));
        let ends = ends.map(|end| end.unwrap().unwrap());
        for file in ["model.safetensors", "optimizer.safetensors"] {
            let [a, b] = ends.each_ref().map(|end| fs::read(end.join(file)).unwrap());
            assert!(a == b, "{name}: {file} differs");
        }
        // What the start has is left out, and what was drawn is there in blocks.
        let checkpoint = Checkpoint::open(ends[0].join("model.safetensors")).unwrap();
        let kept = checkpoint.get(PROJECTION).map(|entry| entry.block_type());
        let expected = start.is_none().then_some(Some(BlockType::Q4_0));
        assert_eq!(kept, expected, "{name}");

        exported(&config, &straight);
    }
}

/// The finished model keeps blocks and adapters apart, as an exported checkpoint does; adapters are
/// exported alone, too.
fn exported(config: &TrainConfig, run: &Path) {
    let device = Default::default();
    let model = run.join("model");
    let anyref = AnyRef::<TestBackend>::load(&model, &device).unwrap();
    assert!(anyref.model.llm.has_lora());
    assert_eq!(anyref.model.llm.block_tensors("").len(), 14);
    let again = run.join("again");
    export_checkpoint::<TrainBackend>(config, &folders(run), Which::Newest, &again, &device)
        .unwrap();
    let [a, b] = [&model, &again].map(|folder| fs::read(folder.join("model.safetensors")).unwrap());
    assert!(a == b, "the models differ");
    let out = run.join("adapter");
    export_adapter::<TrainBackend>(config, &folders(run), Which::Newest, &out, &device).unwrap();
    let adapter = Checkpoint::open(out.join("adapter_model.safetensors")).unwrap();
    assert_eq!(adapter.len(), 2 * 2 * 5);
}

#[test]
fn blocks_that_are_trained_or_read_twice_are_refused() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let refused = |config: &TrainConfig, run: &str| {
        let run = folders(&folder.path().join(run));
        let device = Default::default();
        let error = launch::<TrainBackend>(config, &run, Some(0), &device).unwrap_err();
        let line = format!("{error:#}");
        assert!(!line.contains('\n'), "{line}");
        line
    };
    let mut config = train_config(vec![stage("instruct", 2, 1)]);
    config.quantize = Some(BlockType::Q8_0);
    let line = refused(&config, "trained");
    assert!(
        line.contains("base_layer.weight, which `quantize` keeps in blocks of Q8_0"),
        "{line}"
    );
    assert!(
        line.contains("leave `quantize` out, or train adapters"),
        "{line}"
    );
    let run = folders(&folder.path().join("plan"));
    let plan = Plan::new::<TrainBackend>(&config, &run, &Default::default());
    assert!(plan.unwrap_err().to_string().contains("`quantize`"));

    let mut config = adapting(Some(folder.path()), 2);
    config.quantize = Some(BlockType::Q8_0);
    config.initial.push(InitialWeights {
        from: "elsewhere".into(),
        parts: vec!["llm.model".into()],
    });
    let line = refused(&config, "twice");
    assert!(line.contains("`initial` brings \"llm.model\""), "{line}");

    let mut config = adapting(None, 2);
    config.quantize = Some(BlockType::Q8_0);
    assert!(!go(&config, &folder.path().join("run"), Some(0)));
    config.quantize = Some(BlockType::Q4_0);
    let line = refused(&config, "run");
    assert!(line.contains("another `quantize`"), "{line}");

    let mut unknown = serde_json::to_value(&config).unwrap();
    assert_eq!(unknown["quantize"], "q4_0");
    unknown["quantize"] = "q6_k".into();
    let error = serde_json::from_value::<TrainConfig>(unknown).unwrap_err();
    assert!(
        error.to_string().contains("use q8_0, q4_0 or q4_k"),
        "{error}"
    );
}

/// The configuration of the 7B model, before any weights are there.
#[test]
fn the_plan_counts_blocks_by_their_bytes() {
    let read = |name: &str| -> TrainConfig {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let run = tempfile::tempdir().unwrap();
    let plan = |config: &TrainConfig| {
        Plan::new::<TrainBackend>(config, &folders(run.path()), &Default::default()).unwrap()
    };
    let mut config = read("anyref-7b-qlora.json");
    let blocks = plan(&config);
    let llm = |plan: &Plan| {
        let mut parts = plan.stages[0].parts.iter();
        let part = parts.find(|part| part.name == "llm").unwrap();
        (part.in_blocks, part.block_bytes, part.bytes())
    };
    let (values, bytes, all) = llm(&blocks);
    // 32 layers of four matrices 4096 x 4096 and three of 4096 x 11008.
    assert_eq!(values, 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008));
    assert_eq!(bytes, values as u64 / 32 * 18);
    assert!(
        blocks.to_string().contains("in blocks: 3.64 GB"),
        "{blocks}"
    );
    assert!(
        blocks.to_string().contains("12.7 GB with the above"),
        "{blocks}"
    );
    config.quantize = None;
    let (values, bytes, floats) = llm(&plan(&config));
    assert_eq!((values, bytes), (0, 0));
    assert!(floats - all > 20_000_000_000, "{floats} {all}");
}
