//! Configurations shipped with the project.

use std::fs;
use std::path::Path;

use anyref_train::ablation::AblationConfig;
use anyref_train::config::TrainConfig;

#[test]
fn every_configuration_is_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut read = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let checked = if path.ends_with("ablation.json") {
            let config: AblationConfig = serde_json::from_str(&text).unwrap();
            config.check().map_err(|error| format!("{error:#}"))
        } else {
            let config: TrainConfig = serde_json::from_str(&text).unwrap();
            config.check().map_err(|error| error.to_string())
        };
        checked.unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        read += 1;
    }
    assert!(read >= 5, "{read}");
}
