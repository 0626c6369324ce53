//! Trains a model on composed scenes of coloured shapes, and asks the model for one.
//!
//! ```sh
//! cargo run --release -p anyref-train --example train_shapes
//! cargo run --release -p anyref-train --example train_shapes -- STEPS
//! ```
//!
//! Every stage of `configs/shapes.json` is cut to `STEPS` steps, 4 when left out: enough to see the
//! losses fall. `cargo xtask train --config configs/shapes.json` trains to the end.

use anyhow::{Context, Result};
use anyref_core::{AnyRef, Prompt, Reference};
use anyref_data::scenes::{Scenes, Split};
use anyref_train::config::{StageConfig, TrainConfig};
use anyref_train::run::{Folders, Launch, Progress};
use burn::backend::{Autodiff, Flex};

const CONFIG: &str = "configs/shapes.json";

/// Prints the losses of each step.
#[derive(Debug)]
struct Losses;

impl Progress for Losses {
    fn stage_started(&self, stage: &StageConfig, _done: u64) {
        println!("{}:", stage.kind);
    }

    fn step_ended(&self, done: u64, metrics: &[(String, f64)]) {
        let losses: Vec<String> = metrics
            .iter()
            .take_while(|(name, _)| name != "learning_rate")
            .map(|(name, value)| format!("{name} {value:.3}"))
            .collect();
        println!("  step {done}: {}", losses.join(", "));
    }
}

fn main() -> Result<()> {
    let steps = std::env::args()
        .nth(1)
        .map_or(Ok(4), |steps| steps.parse())?;
    let text = std::fs::read_to_string(CONFIG)
        .with_context(|| format!("{CONFIG}: run this in the repository's root"))?;
    let mut config: TrainConfig = serde_json::from_str(&text)?;
    for stage in &mut config.stages {
        (stage.steps, stage.warmup) = (steps, 0);
        stage.validation_scenes = 2;
    }

    let folder = tempfile::tempdir()?;
    let folders = Folders {
        run: folder.path().into(),
        stamps: "unused".into(),
        backgrounds: None,
    };
    let launch = Launch {
        progress: &Losses,
        ..Launch::new(&config, &folders)
    };
    launch.run::<Autodiff<Flex>>(&[Default::default()])?;

    // The model folder is one as any other.
    let model = AnyRef::<Flex>::load(&folder.path().join("model"), &Default::default())?;
    let scene = Scenes::shapes(config.scenes.clone())?.scene(Split::Validation, 0);
    let name = &scene.objects[0].noun;
    let picture = model.picture(&scene.image)?;
    let answer = model.segment(&picture, &Prompt::new([Reference::Text(name.clone())]))?;
    println!("{name}: {:?}, {} masks", answer.text, answer.masks.len());
    Ok(())
}
