//! Helpers shared by the data set tests.

use std::path::Path;

use anyref_data::scenes::{InstructionConfig, Kind, KindWeights, SceneConfig, Scenes};

/// Shapes, and stamps if they were fetched.
pub fn sets() -> Vec<(&'static str, Scenes)> {
    let mut sets = vec![("shapes", Scenes::shapes(SceneConfig::default()).unwrap())];
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
    if data.join("stamps").is_dir() {
        let (stamps, backgrounds) = (data.join("stamps"), data.join("backgrounds"));
        let backgrounds = backgrounds.is_dir().then_some(backgrounds.as_path());
        let set = Scenes::stamps(&stamps, backgrounds, SceneConfig::default()).unwrap();
        sets.push(("stamps", set));
    }
    sets
}

pub fn questions(kind: Kind) -> InstructionConfig {
    InstructionConfig {
        weights: KindWeights::only(kind),
        ..Default::default()
    }
}
