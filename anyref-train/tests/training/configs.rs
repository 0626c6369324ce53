//! The configurations that come with the project.

use std::fs;
use std::path::Path;

use anyref_train::ablation::AblationConfig;
use anyref_train::run::config::TrainConfig;

#[test]
fn every_configuration_is_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut read = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let checked = if path.ends_with("ablation.json") {
            serde_json::from_str::<AblationConfig>(&text).map(|config| config.check())
        } else {
            serde_json::from_str::<TrainConfig>(&text).map(|config| Ok(config.check()?))
        };
        checked
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        read += 1;
    }
    assert!(read >= 5, "{read}");
}
