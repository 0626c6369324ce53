//! Composed scenes of coloured shapes with the questions asked about them.
//!
//! ```sh
//! cargo run --release -p anyref-data --example compose_scenes
//! cargo run --release -p anyref-data --example compose_scenes -- FOLDER [COUNT]
//! ```
//!
//! With a `FOLDER`, the pictures are written there.

use std::path::Path;

use anyhow::{Context, Result};
use anyref_data::scenes::{InstructionConfig, SceneConfig, Scenes, Split};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.get(1).map_or(Ok(3), |count| count.parse())?;
    let scenes = Scenes::shapes(SceneConfig::default())?;
    let asked = InstructionConfig {
        per_scene: 2,
        ..InstructionConfig::default()
    };
    // A scene is a function of split and index: the same ones each time.
    for index in 0..count {
        let scene = scenes.scene(Split::Train, index);
        println!("scene {index}:");
        for object in &scene.objects {
            let [x0, y0, x1, y1] = object.bounds;
            println!("  {} in {x0},{y0},{x1},{y1}", object.name);
        }
        for instruction in scenes.instructions(&scene, &asked, 0) {
            println!("  {} {}", instruction.question, instruction.answer);
        }
        if let Some(folder) = arguments.first() {
            let path = Path::new(folder).join(format!("{index}.png"));
            let saved = scene.image.save(&path);
            saved.with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}
